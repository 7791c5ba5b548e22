"""How a published case is compared, and the two tests that every file of cases has.

A file's module maps each area to a function from inputs to figures. Cases marked disputed are left out; cases that cannot be
expressed, or that we believe wrong, are named there with the reason, and told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import pytest
import yaml

from tests.conftest import SHARED
from topline.kernel.errors import DomainError

Area = Callable[[dict[str, Any]], dict[str, Any]]


def cases(file: str) -> list[dict[str, Any]]:
    path = SHARED / "oracles" / f"{file}.yaml"
    return yaml.safe_load(path.read_text())["cases"] if path.is_file() else []


def number(value: Any) -> Fraction | None:
    try:
        return Fraction(str(value))
    except ValueError:
        return None


def agree(found: Any, expected: Any, tolerance: Fraction = Fraction(0)) -> bool:
    """Equal as numbers, to half of the last decimal that the source prints; text, dates and nothing are equal or not."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(agree(f, e, tolerance) for f, e in zip(found, expected, strict=True))
    if isinstance(expected, dict):
        return all(str(k) in found and agree(found[str(k)], v, tolerance) for k, v in expected.items())
    if isinstance(expected, bool) or number(expected) is None or found is None:
        return bool(found == expected)
    printed = len(str(expected).partition(".")[2])
    close = max(tolerance, Fraction(1, 2 * 10**printed) if printed else Fraction(0))
    return abs(Fraction(found) - Fraction(str(expected))) <= close


def publish(
    file: str,
    areas: Mapping[str, Area],
    *,
    not_expressed: Mapping[str, str] | None = None,
    believed_wrong: Mapping[str, str] | None = None,
) -> tuple[Callable[..., None], Callable[..., None]]:
    """The tests of one file: every case comes out as published, and the count is told.

    not_expressed, believed_wrong  case id: the reason
    """
    left = {**(not_expressed or {}), **(believed_wrong or {})}
    every = cases(file)
    standing = [c for c in every if c["check"] != "disputed"]
    ready = [c for c in standing if c["id"] not in left]

    @pytest.mark.parametrize("case", ready, ids=[c["id"] for c in ready])
    def comes_out(shared, case):
        if case["expected"].get("result") == "error":
            with pytest.raises(DomainError):
                areas[case["area"]](case["inputs"])
            return
        found = areas[case["area"]](case["inputs"])
        tolerance = Fraction(case.get("tolerance", 0))
        for name, value in case["expected"].items():
            assert agree(found[name], value, tolerance), (name, found[name], value, case["note"])

    def told(shared, capsys):
        assert not {c["area"] for c in standing} - set(areas), "areas without a mapping"
        assert not set(left) - {c["id"] for c in standing}, "reasons for cases that are not in the file"
        assert len(not_expressed or {}) <= len(every) * 0.05
        with capsys.disabled():
            disputed = len(every) - len(standing)
            print(f"\noracles {file}: {len(ready)} ran, {len(not_expressed or {})} not expressed, {len(believed_wrong or {})} believed wrong, {disputed} disputed", end="")  # fmt: skip
            for case, reason in left.items():
                print(f"\n  {case}: {reason}", end="")

    return comes_out, told
