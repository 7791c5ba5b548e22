"""The form of a case's assumptions: read from the fields of its page, by the packaged table of what can be changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from topline.cases import assumptions
from topline.cases.assumptions import EDITABLE, FACTS, SETTINGS
from topline.kernel.errors import Invalid

GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")  # commas between thousands


def told_by(fields: Mapping[str, Any], computed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Assumptions as the action takes them, from fields named `setting-NAME`, `fact-NAME` and `OPTION-NAME`.

    computed  what stood in the fields (with what documents say); a field that was left as it stood is no change
    Raises: Invalid for what is no number.
    """
    options: dict[str, dict[str, float]] = {}
    for key in assumptions.catalogue():
        for name in EDITABLE:
            text = str(fields.get(f"{key}-{name}", "")).strip()
            if text and (value := _number(text, f"{key}-{name}")) != computed.get(key, {}).get(name):
                options.setdefault(key, {})[name] = value
    settings = {n: _number(str(fields[f"setting-{n}"]), n) for n in SETTINGS if str(fields.get(f"setting-{n}", "")).strip()}
    return {"settings": settings, "facts": {name: f"fact-{name}" in fields for name in FACTS}, "options": options}


def _number(text: str, field: str) -> float:
    if "," in text and not GROUPED.fullmatch(text):  # 1,5 is one and a half to some, fifteen to nobody
        raise Invalid(f"{text!r} is no number.", field=field, remedy="Write digits, with a point for decimals.")
    try:
        value = float(text.replace(",", ""))
    except ValueError as error:
        raise Invalid(f"{text!r} is no number.", field=field, remedy="Write digits, with a point for decimals.") from error
    return int(value) if value.is_integer() else value
