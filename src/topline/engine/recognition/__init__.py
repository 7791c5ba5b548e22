"""Revenue recognition: the five steps of IFRS 15 and ASC 606 as functions over frames.

Contracts and their obligations come in, amounts and schedules come out, exact to the minor unit: parts always add up to the
whole by largest remainder. Nothing here posts; a what-if is the same call on other columns.
"""

from __future__ import annotations

from topline.engine.recognition.allocation import allocate
from topline.engine.recognition.balances import balances
from topline.engine.recognition.schedules import schedule

__all__ = ["allocate", "balances", "schedule"]
