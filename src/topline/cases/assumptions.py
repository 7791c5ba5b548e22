"""What is assumed of each option: packaged defaults with their sources, what a case changes of them, and what own outcomes taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from topline.engine.large_debt import Assumption, learned
from topline.kernel.errors import Invalid, ensure

FILE = Path(__file__).resolve().parent / "options.yaml"
WAITING, SETTLEMENT, HOLD, WRITE_OFF = "waiting", "settlement", "hold", "write_off"
# what a person may change of an option, with the least and the most that makes sense
EDITABLE: dict[str, tuple[str, float, float]] = {
    "chance_percent": ("Chance, %", 0, 100),
    "days": ("Days", 0, 1000),
    "share_percent": ("Share, %", 0, 100),
    "cost_percent": ("Fee, %", 0, 100),
    "fixed": ("Fixed cost", 0, 100_000_000),
    "churn_percent": ("Leaves, %", 0, 100),
}
SETTINGS: dict[str, tuple[str, float, float]] = {
    "line_percent": ("Credit line, % a year", 0, 1000),
    "gap_percent": ("Cash when a payroll is at risk, % a year", 0, 1000),
    "safe_percent": ("A payroll is safe from, in 100", 1, 99),
    "margin_percent": ("Margin on future sales, %", 0, 100),
}
FACTS = {
    "has_hold_clause": "The contract lets us suspend service",
    "is_goods": "Goods under United States law",
    "is_insured": "A credit insurance covers this customer",
    "is_insolvent": "The customer cannot pay (insolvent)",
}
SHARED = {"share_percent": 100, "cost_percent": 0, "fixed": 0, "churn_percent": 0, "parts": 1, "every_days": 30, "first_percent": None, "waits": True, "adds": False,
          "needs_approval": False, "by": "Nobody"}  # fmt: skip


class ImpossibleAssumption(Invalid):
    """A probability above one, a settlement above the whole debt, a negative cost."""

    code = "impossible_assumption"


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """An option as it stands in the packaged file: what is assumed, why, and the steps that carry it out."""

    key: str
    name: str
    source: str
    needs: str
    by: str
    needs_approval: bool
    steps: tuple[dict[str, Any], ...]
    values: Mapping[str, Any]


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


@lru_cache(maxsize=1)
def catalogue() -> dict[str, OptionSpec]:
    """All options in the order in which they are tried; waiting first."""
    rows = [{**SHARED, **row} for row in _file()["options"]]
    return {
        row["key"]: OptionSpec(
            row["key"], row["name"], row["source"], row["needs"], row["by"], row["needs_approval"], tuple(row["steps"]), row
        )
        for row in rows
    }


def settings_of(changes: Mapping[str, Any]) -> dict[str, float]:
    """Rates and limits: the packaged ones with what a case changes."""
    return {**_file()["settings"], **changes.get("settings", {})}


def settings_source() -> str:
    """Where the packaged rates come from."""
    return str(_file()["settings_source"])


def facts_of(changes: Mapping[str, Any]) -> dict[str, bool]:
    """What the documents do not tell of a debt; false until somebody says so."""
    return {**dict.fromkeys(FACTS, False), **changes.get("facts", {})}


def read_changes(told: Mapping[str, Any]) -> dict[str, Any]:
    """Changes as they are kept: only what is known and lies within what can be, and only where it differs from the packaged value.

    told     {settings: {name: number}, facts: {name: bool}, options: {key: {name: number}}}
    Raises: ImpossibleAssumption (field names option and value), Invalid (unknown name).
    """
    ensure(
        set(told) <= {"settings", "facts", "options"},
        Invalid("Only settings, facts and options can be changed.", field="assumptions"),
    )
    known = catalogue()
    for key in told.get("options", {}):
        ensure(key in known, Invalid(f"{key!r} is no option.", field="options", remedy=f"Use one of {', '.join(known)}."))
    options = {
        key: _within(values, EDITABLE, known[key].values, where=f"{known[key].name}: ", field=f"{key}-")
        for key, values in told.get("options", {}).items()
    }
    facts = told.get("facts", {})
    ensure(
        set(facts) <= set(FACTS) and all(isinstance(v, bool) for v in facts.values()),
        Invalid("A fact is one of the known ones, true or false.", field="facts", remedy=f"Use {', '.join(FACTS)}."),
    )
    return {
        "settings": _within(told.get("settings", {}), SETTINGS, _file()["settings"], where="", field=""),
        "facts": {name: value for name, value in facts.items() if value},
        "options": {key: values for key, values in options.items() if values},
    }


def values_of(key: str, changes: Mapping[str, Any], computed: Mapping[str, Any]) -> dict[str, Any]:
    """What is assumed of an option: the packaged values, what the debt's documents say instead, and what the case changes."""
    return {**catalogue()[key].values, **computed, **changes.get("options", {}).get(key, {})}


def assumption(key: str, values: Mapping[str, Any], *, unit: int, won: int = 0, tried: int = 0) -> Assumption:
    """What the engine weighs: the values, with own outcomes in the chance; unit: minor units in one of the currency."""
    first = values["first_percent"]
    return Assumption(
        key=key,
        chance=learned(values["chance_percent"] / 100, won=won, tried=tried),
        days=int(values["days"]),
        share=values["share_percent"] / 100,
        parts=values["parts"],
        every_days=values["every_days"],
        first=None if first is None else first / 100,
        cost_percent=values["cost_percent"],
        fixed_minor=round(values["fixed"] * unit),
        churn=values["churn_percent"] / 100,
        waits=values["waits"],
        adds=values["adds"],
        needs_approval=values["needs_approval"],
    )


def _within(
    values: Mapping[str, Any], known: Mapping[str, tuple[str, float, float]], packaged: Mapping[str, Any], *, where: str, field: str
) -> dict[str, float]:  # fmt: skip
    kept = {}
    for name, value in values.items():
        ensure(name in known, Invalid(f"{name!r} cannot be assumed.", field=f"{field}{name}"))
        label, low, high = known[name]
        ensure(
            isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high,
            ImpossibleAssumption(
                f"{where}{label} is {value}; it must lie between {low:,.0f} and {high:,.0f}.", field=f"{field}{name}"
            ),
        )
        if value != packaged.get(name):
            kept[name] = float(value) if name != "days" else int(value)
    return kept
