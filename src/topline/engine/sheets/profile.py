"""What the columns of a kind of sheet mean: a small language in YAML, read strictly."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from topline.kernel.errors import Invalid

ColumnType = Literal["text", "amount", "date", "integer", "currency"]
DateOrder = Literal["dmy", "mdy", "ymd", "detect"]
DecimalMark = Literal[".", ","]


class ProfileInvalid(Invalid):
    """A profile says something that is not part of its language."""

    code = "profile_invalid"


@dataclass(frozen=True)
class Column:
    """One thing to take from a sheet.

    header    the column's name there, or several by which it goes (compared without case and blanks)
    required  whether an empty cell is a problem; present: whether the column must be there, though its cells may be empty; negate: turn the sign of amounts; default: for empty cells
    replace   cells that a file writes otherwise than everybody else: what stands there to what is meant
    """

    header: tuple[str, ...] = ()
    type: ColumnType = "text"
    required: bool = False
    present: bool = False
    negate: bool = False
    default: str = ""
    replace: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """How to read one kind of sheet.

    kind          receivables, payments, customers, payroll, bank, rates, products, reps, opportunities, quotas
    headers       names of the columns in their order, for a file that has no header
    constants     facts that the file lacks: currency, entity, bank_account, terms, ...
    skip_if_empty columns without which a row is no record (blank lines, footers)
    fold          text columns of rows that lack the `skip_if_empty` columns are appended to the record above
    folder, file  the name under which several files are imported together, and the name of this one among them
    footer        rows below the last one with a day in the first `skip_if_empty` column are the sheet's closing words
    facts         cells outside the records: name to {above: rows above the header, or below: rows after the last record, cell: place from 1}
    """

    id: str
    kind: str
    title: str
    columns: dict[str, Column]
    decimal_mark: DecimalMark | None = None
    date_order: DateOrder = "detect"
    constants: dict[str, Any] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    skip_if_empty: tuple[str, ...] = ()
    fold: tuple[str, ...] = ()
    footer: bool = False
    facts: dict[str, dict[str, int]] = field(default_factory=dict)
    delimiter: str | None = None
    drop_nul: bool = False
    notes: str = ""
    folder: str = ""
    file: str = ""

    @property
    def currency(self) -> str:
        """The currency of amounts in rows that do not name one."""
        return str(self.constants.get("currency", ""))


def load_profile(path: Path) -> Profile:
    """Read the one profile of a file.

    Raises: ProfileInvalid with the file, the key and what is allowed.
    """
    return parse_profile(_text(path), name=path.name)


def parse_profile(text: str, *, name: str) -> Profile:
    """The one profile that a text in YAML holds; `name` is how refusals call it. Raises: as load_profile."""
    found = _parsed(text, name)
    if len(found) != 1:
        raise ProfileInvalid(f"{name} holds {len(found)} profiles, not one.", field="profile")
    return found[0]


@cache
def load_profiles(folder: Path) -> dict[str, Profile]:
    """All profiles of a folder by id; a file may hold several, parted by `---`. Raises: ProfileInvalid."""
    return {profile.id: profile for path in sorted(folder.glob("*.yaml")) for profile in _parsed(_text(path), path.name)}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ProfileInvalid(f"{path.name} is not YAML: {error}.", field="profile") from error


def _parsed(text: str, name: str) -> list[Profile]:
    try:
        return [_profile(raw, name) for raw in yaml.safe_load_all(text)]
    except yaml.YAMLError as error:
        raise ProfileInvalid(f"{name} is not YAML: {error}.", field="profile") from error


def _profile(raw: Any, name: str) -> Profile:
    if not isinstance(raw, dict) or not isinstance(raw.get("columns"), dict):
        raise ProfileInvalid(f"{name} needs a mapping `columns`.", field="profile")
    _known(raw, {f.name for f in fields(Profile)}, name)
    columns = {column: _column(spec, f"{name}: {column}") for column, spec in raw.pop("columns").items()}
    raw["headers"] = tuple(str(h) for h in raw.get("headers", ()))
    for key in ("skip_if_empty", "fold"):
        if key in raw:
            raw[key] = tuple(raw[key])
            _known(dict.fromkeys(raw[key]), set(columns), f"{name}: {key}")
    if raw.get("footer") and not raw.get("skip_if_empty"):
        raise ProfileInvalid(f"{name}: footer needs skip_if_empty, whose first column holds the days.", field="profile")
    for fact, place in raw.get("facts", {}).items():
        _known(place, {"above", "below", "cell"}, f"{name}: {fact}")
    try:
        return Profile(columns=columns, **raw)
    except TypeError as error:
        raise ProfileInvalid(
            f"{name}: {error}.", field="profile", remedy="A profile needs id, kind, title and columns."
        ) from error


def _column(spec: Any, where: str) -> Column:
    if isinstance(spec, str):
        return Column(header=(spec,))
    if not isinstance(spec, dict):
        raise ProfileInvalid(f"{where} must name a header.", field="profile")
    _known(spec, {f.name for f in fields(Column)}, where)
    header = spec.pop("header", ())
    return Column(header=(header,) if isinstance(header, str) else tuple(header), **spec)


def _known(given: dict[str, Any], allowed: set[str], where: str) -> None:
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise ProfileInvalid(
            f"{where} does not know {unknown[0]!r}.", field="profile", remedy=f"Use {', '.join(sorted(allowed))}."
        )
