"""Briefs: one page on a segment, a competitor or (by a room further down) a product, made from what is known today; and the path on which a newcomer reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from topline.books.models import Entity
from topline.kernel import clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.errors import Invalid, NotFound, ensure
from topline.kernel.money import format_amount
from topline.market import battlecards, competitors, experience, prices, segments
from topline.market.models import Competitor, ReadingStep, ReadMark
from topline.team.models import Member
from topline.ui.format import day

FIGURE = re.compile(r"−?[\d,]+(\.\d+)?( [A-Z]{3})?|–")  # a number, or an amount with its currency
LISTED = 6  # rows and sentences of a section, so that a brief stays one page
MAX_STEPS = 100


@dataclass(frozen=True)
class Section:
    """A part of a brief: sentences, and a table where head is given; all as text."""

    title: str
    sentences: list[str] = field(default_factory=list)
    head: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    @property
    def figures(self) -> list[bool]:
        """Which columns hold figures and nothing else, to be set to the right."""
        return [bool(self.rows) and all(FIGURE.fullmatch(row[place]) for row in self.rows) for place in range(len(self.head))]


@dataclass(frozen=True)
class Brief:
    """One page: facts at the top, sections below. `key` names it: `segment:Enterprise`, `competitor:3`, `product:PLAT`."""

    key: str
    title: str
    what: str
    as_of: date
    facts: list[tuple[str, str]]
    sections: list[Section]


@dataclass(frozen=True)
class Kind:
    """A kind of brief: which there are (titles by subject), and how one is made (raises NotFound)."""

    titles: Callable[[], dict[str, str]]
    make: Callable[..., Brief]


@dataclass(frozen=True)
class Step:
    """A place on the reading path; read_on is when the asking member read it."""

    position: int
    key: str
    title: str
    why: str
    read_on: date | None


@action("market.set_reading_path")
def set_reading_path(*, actor: Actor, steps: Sequence[tuple[str, str]]) -> int:
    """Say which briefs a newcomer reads, in which order; returns how many there are. Marks of readers stay.

    steps  key of the brief and why it stands there. Raises: NotFound (no such brief), Invalid (twice, too many).
    """
    keys = [key for key, _ in steps]
    ensure(len(keys) == len(set(keys)), Invalid("A brief stands on the path once.", field="steps"))
    ensure(len(keys) <= MAX_STEPS, Invalid(f"A path has at most {MAX_STEPS} briefs.", field="steps"))
    known = titles()
    for key in keys:
        _ensure_known(key, known)
    before = list(ReadingStep.objects.order_by("position").values_list("brief", flat=True))
    ReadingStep.objects.all().delete()
    ReadingStep.objects.bulk_create(
        [ReadingStep(position=n, brief=key, why=why.strip()[:200]) for n, (key, why) in enumerate(steps, start=1)]
    )
    changed("reading_path", 1, before={"briefs": before}, after={"briefs": keys})
    return len(keys)


@action("market.mark_read")
def mark_read(*, actor: Actor, brief: str, is_read: bool = True, member_id: int | None = None) -> str:
    """A member has read a brief, or takes the mark back; returns the brief's key. Marking twice changes nothing.

    member_id  whose mark, where a job of the system says it; a member marks for oneself alone
    Raises: NotFound (no such brief, no such member), Invalid (another's mark).
    """
    own = actor.member_id
    reader = own if member_id is None else member_id
    ensure(own in (None, reader), Invalid("Everybody marks what they read themselves.", field="member_id"))
    if reader is None or not Member.objects.filter(pk=reader).exists():
        raise NotFound("Who has read it?", field="member_id", remedy="Sign in, or name a member.")
    _ensure_known(brief, titles())
    if is_read:
        ReadMark.objects.get_or_create(member_id=reader, brief=brief, defaults={"read_at": clock.now()})
    else:
        ReadMark.objects.filter(member_id=reader, brief=brief).delete()
    changed("member", reader, after={"brief": brief, "is_read": is_read})
    return brief


def titles() -> dict[str, str]:
    """Every brief that can be made, by key: segments first, then competitors still about, then what other rooms brief on."""
    return {f"{kind}:{subject}": title for kind, of in KINDS.items() for subject, title in of.titles().items()}


def reading_path(member_id: int | None) -> list[Step]:
    """The path with a member's marks; briefs whose subject is gone are left out."""
    known = titles()
    read = dict(ReadMark.objects.filter(member_id=member_id).values_list("brief", "read_at")) if member_id else {}
    steps = [s for s in ReadingStep.objects.order_by("position")[:MAX_STEPS] if s.brief in known]
    return [
        Step(n, s.brief, known[s.brief], s.why, read[s.brief].date() if s.brief in read else None)
        for n, s in enumerate(steps, start=1)
    ]


def readers() -> list[tuple[str, int]]:
    """How many briefs of the path each member has read, the keenest first (at most 200); those who have read none are not listed."""
    on_path = list(ReadingStep.objects.values_list("brief", flat=True)[:MAX_STEPS])
    marks = ReadMark.objects.filter(brief__in=on_path, member__is_active=True).values_list("member__name", flat=True)
    counted: dict[str, int] = {}
    for name in marks[: MAX_STEPS * 200]:
        counted[name] = counted.get(name, 0) + 1
    return sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:200]


def brief(key: str, *, entity: Entity, as_of: date, ours: pl.DataFrame | None = None) -> Brief:
    """The brief of a key as of a day.

    ours  our price points, where they are not those of the list (see `prices.position`)
    Raises: NotFound.
    """
    kind, _, subject = key.partition(":")
    if kind not in KINDS:
        raise _unknown(key)
    return KINDS[kind].make(subject, entity=entity, as_of=as_of, ours=ours)


def segment_brief(name: str, *, entity: Entity, as_of: date, ours: pl.DataFrame | None = None) -> Brief:
    """Who is in a segment, how large it is, what share is ours, who competes at which prices, what customers say."""
    view = segments.segment(name, entity=entity, as_of=as_of, ours=ours)
    said = experience.experience(as_of=as_of, segment=name)
    home = entity.currency
    facts = [
        ("Accounts", f"{view.size.accounts:,} ({day(view.size.on)}, {view.size.source})" if view.size and view.size.accounts else "not known"),
        ("Yearly spend", f"{format_amount(view.size.spend_minor, view.size.currency)} {view.size.currency}" if view.size and view.size.spend_minor else "not known"),
        ("Our customers", f"{view.customers:,}{_of(view.share_of_accounts, 'of the accounts')}"),
        ("Billed in a year", f"{format_amount(view.billed_minor, home)} {home}{_of(view.share_of_spend, 'of the spend')}"),
        ("Price index", index_words(view.index)),
    ]  # fmt: skip
    rivals = [[who, *_rival(pk, as_of)] for pk, who in view.competitors[:LISTED]]
    largest = segments.customers_of(name, entity=entity, as_of=as_of, limit=LISTED)
    sections = [
        Section("What it is", [view.description or "It is not described yet."]),
        Section("Who competes", [] if rivals else ["No competitor is known in it."], ["Competitor", "Products", "Strongest", "Weakest"] if rivals else [], rivals),
        _prices_section(as_of=as_of, entity=entity, segment=name, ours=ours),
        Section("What customers say, in a year", _said(said.us, tickets=True)),
        Section("Our largest customers", [] if largest else ["We have no customer in it."], ["Customer", "Country", f"Billed in a year, {home}"] if largest else [],
                [[str(c["name"]), str(c["country"]), format_amount(int(str(c["billed_minor"])), home)] for c in largest]),
    ]  # fmt: skip
    return Brief(f"segment:{name}", name, "Segment", as_of, facts, sections)


def competitor_brief(subject: str, *, entity: Entity, as_of: date, ours: pl.DataFrame | None = None) -> Brief:
    """What a competitor offers at which prices, where it is strong and weak, how to win, and what is said of it and of us."""
    if not (subject.isdecimal() and len(subject) < 19):
        raise _unknown(f"competitor:{subject}")
    competitor_id = int(subject)
    found = competitors.competitor(competitor_id)
    card = battlecards.battlecard(competitor_id)
    fresh = battlecards.freshness(as_of=as_of, competitor_id=competitor_id)
    us, them = experience.against(competitor_id, as_of=as_of)
    facts = [
        ("Website", found.website or "not known"),
        ("Met in", ", ".join(competitors.segments_of([competitor_id])[competitor_id]) or "no segment yet"),
        ("Kept fresh by", found.owner.name if found.owner else "nobody yet"),
        ("Battlecard", f"reviewed {day(card.reviewed_on)}{', stale' if fresh and fresh[0].is_stale else ''}" if card else "not written yet"),
    ]  # fmt: skip
    themes = [
        Section(
            view.title,
            [f"+ {a.statement}" for a in view.strengths[: LISTED // 2]] + [f"− {a.statement}" for a in view.weaknesses[: LISTED // 2]]
            or ["Nothing is written down yet."],
        )
        for view in competitors.assessments(competitor_id, as_of=as_of)
    ]  # fmt: skip
    win = (
        [card.how_to_win, *(f"Ask: {line}" for line in card.landmines.splitlines()[:3])]
        if card
        else ["No battlecard is written yet."]
    )
    objections = [[o["objection"], o["answer"]] for o in card.objections[:3]] if card else []
    table = competitors.prices(as_of=as_of, competitor_id=competitor_id).head(LISTED)
    priced = [
        [r["product"], r["compares_with"] or "–", f"{prices.unit_price(r['unit_price_nano'], r['currency'])} {r['currency']}", r["unit"], day(r["valid_from"])]
        for r in table.to_dicts()
    ]  # fmt: skip
    sections = [
        *([Section("Who they are", [found.notes[:600]])] if found.notes else []),
        Section("What they sell", [] if priced else ["No price is known yet."], ["Product", "Against", "Price", "per", "Since"] if priced else [], priced),
        *themes,
        Section("How to win", win, ["They say", "We answer"] if objections else [], objections),
        Section("What customers say, in a year", [f"Of them: {s}" for s in _said(them)] + [f"Of us: {s}" for s in _said(us)]),
    ]  # fmt: skip
    return Brief(f"competitor:{competitor_id}", found.name, "Competitor", as_of, facts, sections)


def index_words(index: prices.PriceIndex) -> str:
    """The price index as people read it."""
    if index.value is None:
        return f"not known: {index.why_not}"
    side = "dearer" if index.value > 100.5 else "cheaper" if index.value < 99.5 else "alike"
    return f"{index.value:.0f} ({side}; {index.products} of our products, {index.prices} prices)"


def _prices_section(*, as_of: date, entity: Entity, segment: str, ours: pl.DataFrame | None) -> Section:
    found = prices.position(as_of=as_of, currency=entity.currency, ours=ours, segment=segment)
    rows = [
        [r["seller"], r["product"], f"{prices.unit_price(r['unit_price_nano'], r['currency'])} {r['currency']}", r["unit"]]
        for r in found.rows.head(LISTED + 2).to_dicts()
    ]
    return Section(
        "Prices", [] if rows else ["No price is known in it."], ["Seller", "Product", "Price", "per"] if rows else [], rows
    )


def _rival(competitor_id: int, as_of: date) -> list[str]:
    themes = competitors.assessments(competitor_id, as_of=as_of)
    strong = sorted((a for t in themes for a in t.strengths), key=lambda a: -a.weight)
    weak = sorted((a for t in themes for a in t.weaknesses), key=lambda a: -a.weight)
    count = competitors.prices(as_of=as_of, competitor_id=competitor_id).height
    return [str(count), strong[0].statement if strong else "–", weak[0].statement if weak else "–"]


def _said(group: experience.Group, *, tickets: bool = False) -> list[str]:
    told = [
        f"Would recommend (NPS): {experience.words(group.nps)}.",
        f"Content (4 or 5 of 5): {experience.words(group.csat, percent=True)}.",
    ]
    if tickets and group.tickets.per_customer is not None:
        wait = group.tickets.median_minutes
        answer = f", half of them answered within {wait / 60:.1f} hours" if wait is not None else ""
        told.append(f"Tickets a customer: {group.tickets.per_customer:.2f}{answer}.")
    return told


def _of(share: float | None, what: str) -> str:
    told = "under 0.1 %" if share and 100 * share < 0.05 else f"{100 * (share or 0):.1f} %"
    return f", {told} {what}" if share is not None else ""


def _ensure_known(key: str, known: dict[str, str]) -> None:
    ensure(key in known, _unknown(key))


def _unknown(key: str) -> NotFound:
    return NotFound(f"There is no brief {key!r}.", field="brief", remedy="See the list of briefs under Market.")


def _rival_titles() -> dict[str, str]:
    rivals = Competitor.objects.filter(is_active=True).order_by("name").values_list("id", "name")
    return {str(pk): name for pk, name in rivals[: competitors.MAX_COMPETITORS]}


KINDS = {
    "segment": Kind(lambda: {name: name for name in segments.choices()}, segment_brief),
    "competitor": Kind(_rival_titles, competitor_brief),
}  # in the order in which they are listed; rooms further down add theirs when the app starts
