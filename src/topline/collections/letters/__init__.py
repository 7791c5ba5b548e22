"""Letters of the ladder by language: one file a language, each with the same letters."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from string import Template

import yaml

FOLDER = Path(__file__).resolve().parent
DEFAULT = "en"


def languages() -> list[str]:
    """Languages that letters are written in."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def letters() -> list[str]:
    """Keys of the letters that there are."""
    return sorted(_letters(DEFAULT))


def letter(key: str, language: str, **facts: str) -> tuple[str, str]:
    """Subject and body of a letter; a language that we do not write falls back to English.

    facts  person, numbers, count, total, seller. Raises: KeyError for a letter that is not there.
    """
    short = language.lower()[:2]
    text = _letters(short if short in languages() else DEFAULT)[key]
    return Template(text["subject"]).substitute(facts), Template(text["body"]).substitute(facts)


@lru_cache(maxsize=16)
def _letters(language: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load((FOLDER / f"{language}.yaml").read_text(encoding="utf-8"))
    return found
