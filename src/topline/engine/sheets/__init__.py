"""Sheets that people and banks send (CSV, TSV, XLSX), read with suspicion and turned into typed frames.

`read_sheet` makes text cells with their row numbers and says what it detected; a `Profile` (YAML) says which column means
what and how amounts and days are written; `typed` makes a frame of money, days and text, and a list of problems, each with
row, column, one sentence and its cure. Nothing is guessed silently.
"""

from topline.engine.sheets.profile import Column, Profile, load_profile, load_profiles, parse_profile
from topline.engine.sheets.reader import Sheet, SheetRefused, read_sheet
from topline.engine.sheets.typed import Typed, typed

__all__ = [
    "Column",
    "Profile",
    "Sheet",
    "SheetRefused",
    "Typed",
    "load_profile",
    "load_profiles",
    "parse_profile",
    "read_sheet",
    "typed",
]
