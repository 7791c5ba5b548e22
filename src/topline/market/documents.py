"""Documents that market hands out: a brief as PDF, one page."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typst

from topline.market.briefs import Brief
from topline.ui.format import day

TEMPLATE = Path(__file__).resolve().parent / "templates" / "market" / "brief.typ"


def brief_pdf(brief: Brief, *, company: str) -> bytes:
    """A brief as PDF, with the figures that its page shows."""
    pdf: bytes = typst.compile(str(TEMPLATE), sys_inputs=inputs(brief, company=company))
    return pdf


def inputs(brief: Brief, *, company: str) -> dict[str, str]:
    """What the template reads."""
    sections = [{**asdict(section), "figures": section.figures} for section in brief.sections]
    return {"data": json.dumps({**asdict(brief), "sections": sections, "as_of": day(brief.as_of), "company": company})}
