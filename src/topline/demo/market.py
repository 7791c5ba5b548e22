"""The demo company's market: segments with sizes, three competitors with a year of prices, cards of which one is stale, what customers say."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta

import polars as pl
from django.db import transaction

from topline.demo.script import Customer
from topline.flows import daily
from topline.kernel import clock
from topline.kernel.actor import Actor
from topline.market import battlecards, briefs, competitors, experience, segments
from topline.team.models import Member

SEGMENTS = [  # name, what it is, accounts, yearly spend in cents, source
    ("Enterprise", "Groups with more than 1,000 people. Buying takes two quarters and a tender; they ask for single sign-on, an audit trail and a named contact.", 2_400, 96_000_000_00, "Branch study of the chamber of commerce"),
    ("Mid-market", "Companies of 100 to 1,000 people with a finance team of their own. The head of finance decides, usually within a quarter.", 14_500, 174_000_000_00, "Branch study of the chamber of commerce"),
    ("Small business", "Up to 100 people; the owner or the office manager decides, often after a free month. Price and set-up time matter most.", 210_000, 315_000_000_00, "Federal statistics, own estimate of spend"),
    ("Public sector", "Towns, counties and their utilities. They buy by tender alone; we have not offered here yet.", 11_000, 88_000_000_00, "Register of public tenders"),
]  # fmt: skip
RIVALS = [  # name, website, notes, owner, segments
    ("Quellwerk Systems", "https://quellwerk.example", "Founded by former auditors; strong in groups, sells through partners.", "Sam Sales", ["Enterprise", "Mid-market"]),
    ("Tallgrass Cloud", "https://tallgrass.example", "From overseas, prices in dollars, buys its growth with long free periods.", "Sam Sales", ["Mid-market", "Small business"]),
    ("Kontorwind", "https://kontorwind.example", "The cheapest that small companies find; support by forum.", "Rita Ops", ["Small business"]),
]  # fmt: skip
PRODUCTS = [  # competitor, product, our code, currency, unit, price in cents a year ago, changes: days before the end and new price
    (0, "Core", "PLAT", "EUR", "company and year", 1_068_000, [(200, 1_104_000), (30, 1_188_000)]),
    (0, "Consolidation", "", "EUR", "company and year", 540_000, []),
    (0, "Named seats", "", "EUR", "user and year", 46_800, [(150, 50_400)]),
    (0, "Care Plus", "SUPP", "EUR", "company and year", 252_000, [(200, 288_000)]),
    (1, "Tallgrass Pro", "PLAT", "USD", "company and year", 838_800, [(240, 898_800)]),
    (1, "Tallgrass Seat", "", "USD", "user and year", 34_800, [(240, 37_200), (90, 32_400)]),
    (1, "Insight", "ANLY", "USD", "company and year", 412_800, []),
    (2, "Starter", "PLAT", "EUR", "company and year", 178_800, [(120, 154_800)]),
    (2, "Arbeitsplatz", "", "EUR", "user and year", 14_400, []),
    (2, "Free", "", "EUR", "company and year", 0, []),
]  # fmt: skip
ASSESSED = [  # competitor, theme, kind, statement, evidence, source, weight
    (0, "offering", "strength", "Consolidates groups across countries", "Shown in two tenders; ours needs an export.", "Tender of a plant maker, spring", 3),
    (0, "offering", "weakness", "No cash forecast", "Their partners sell a spreadsheet for it.", "Partner day, own notes", 2),
    (0, "pricing", "weakness", "Every module is priced apart", "A usual offer has seven lines.", "Offer seen at a customer", 2),
    (0, "experience", "weakness", "Projects take six months", "Three customers told so when they changed to us.", "Interviews after the change", 3),
    (1, "offering", "strength", "Best reports out of the box", "Buyers praise them unasked.", "Reviews, read in full", 2),
    (1, "pricing", "strength", "Six months free with a contract of three years", "On their page since summer.", "https://tallgrass.example/offer", 3),
    (1, "experience", "weakness", "Nobody answers before noon", "Support sits nine hours behind.", "Tickets of a customer who came to us", 2),
    (2, "offering", "weakness", "No approvals and no audit trail", "Auditors refuse it.", "Two lost customers of theirs", 3),
    (2, "pricing", "strength", "An eighth of our price", "Price page.", "https://kontorwind.example/preise", 3),
    (2, "experience", "strength", "Set up in an afternoon", "Tried it ourselves.", "Own trial", 2),
]  # fmt: skip
CARDS = [  # competitor, reviewed days before the end, how to win, landmines, objections, proof
    (0, 140, "Show the cash forecast on their own bank file in the first meeting, then the date on which they would be live.", "How long did your last project with them take?\nWho pays when the seventh module is needed?",
     [{"objection": "They do groups better", "answer": "Consolidation yes. Ask who needs it this year; we export to the tool they have."}], "Kolossal Anlagenbau went live in five weeks."),
    (1, 25, "Speak of response times and of data that stays here; put our price for three years beside theirs with the free months taken out.", "Where does your data lie?\nWhat does month seven cost?",
     [{"objection": "Six months are free", "answer": "Over three years that is a sixth; our list is below that without a lock-in."}], "Two customers came back within a year; both speak to prospects."),
    (2, 12, "Do not meet them on price. Ask how the auditor signs off, and show approvals.", "Who approves a payment today?",
     [{"objection": "You cost eight times as much", "answer": "Against a write-off that nobody approved. Count one and compare."}], ""),
]  # fmt: skip
TOPICS = ["Set-up", "Invoices", "Price", "Support", "Reports", "Bank files"]
WORDS = ["Works as promised.", "Took longer than we were told.", "Quick help, thank you.", "Too dear for what we use.", "", "The forecast saved our month."]  # fmt: skip
SCORES = {
    "nps": (0, [1, 0, 1, 1, 2, 3, 5, 9, 14, 16, 12]),
    "csat": (1, [2, 3, 6, 16, 14]),
    "ticket": (0, []),
}  # lowest score, how often each is told
TOLD = 180  # records of experience


def play(*, actor: Actor, seed: int, start: date, end: date, customers: Sequence[tuple[int, Customer]]) -> None:
    """Describe the market of the company until `end`, every fact written down on its day. The same seed tells the same."""
    dice = random.Random(seed)  # noqa: S311  (a play, not a secret)
    members = dict(Member.objects.values_list("name", "id"))
    with _on(end - timedelta(days=400)):
        for name, what, accounts, spend, source in SEGMENTS:
            segments.describe_segment(
                actor=actor, name=name, description=what, accounts=accounts * 97 // 100, spend_minor=spend * 94 // 100, on=clock.today(), source=f"{source}, last year",
            )  # fmt: skip
        ids = [
            competitors.add_competitor(actor=actor, name=name, website=site, notes=notes, owner_id=members[owner], segments=met)
            for name, site, notes, owner, met in RIVALS
        ]
    _prices(actor, ids, end)
    with _on(end - timedelta(days=150)):
        for rival, theme, kind, statement, evidence, source, weight in ASSESSED:
            competitors.add_assessment(
                actor=actor, competitor_id=ids[rival], theme=theme, kind=kind, statement=statement, evidence=evidence, source=source, weight=weight, since=clock.today(),
            )  # fmt: skip
    for rival, ago, win, mines, objections, proof in CARDS:
        with _on(end - timedelta(days=ago)):
            battlecards.write_battlecard(
                actor=actor, competitor_id=ids[rival], how_to_win=win, landmines=mines, objections=objections, proof=proof, on=clock.today(),
            )  # fmt: skip
    with _on(end):
        for name, _, accounts, spend, source in SEGMENTS:
            segments.describe_segment(actor=actor, name=name, accounts=accounts, spend_minor=spend, on=end - timedelta(days=40), source=source)  # fmt: skip
        experience.record_experience(actor=actor, records=_told(dice, start, end, customers, ids))
        path = [(f"segment:{SEGMENTS[1][0]}", "Where most of our money comes from"), (f"competitor:{ids[0]}", "Whom we meet in every second tender"), (f"segment:{SEGMENTS[0][0]}", "Where the large deals are"),
                (f"competitor:{ids[1]}", "Why buyers speak of free months"), (f"competitor:{ids[2]}", "When price comes first"), ("product:PLAT", "What most deals begin with")]  # fmt: skip
        briefs.set_reading_path(actor=actor, steps=path)
        for key, _ in path[:2]:
            briefs.mark_read(actor=actor, brief=key, member_id=members["Sam Sales"])
        daily.keep_cards_fresh(actor=actor, as_of=end)


def _prices(actor: Actor, ids: list[int], end: date) -> None:
    """Each price as it was seen, the day after it came into force."""
    seen: dict[int, list[tuple[int, dict[str, object]]]] = {}
    for rival, product, code, currency, unit, cents, changes in PRODUCTS:
        for ago, price in [(365, cents), *changes]:
            day = end - timedelta(days=ago)
            row = {"product": product, "compares_with": code, "currency": currency, "unit_price_nano": price * 10**9, "unit": unit, "valid_from": day,
                   "seen_on": day + timedelta(days=1), "source": f"{RIVALS[rival][1]}/prices"}  # fmt: skip
            seen.setdefault(ago, []).append((ids[rival], row))
    for ago in sorted(seen, reverse=True):
        with _on(end - timedelta(days=ago - 1)):
            for competitor_id in ids:
                rows = [row for pk, row in seen[ago] if pk == competitor_id]
                if rows:
                    competitors.add_competitor_prices(actor=actor, competitor_id=competitor_id, prices=pl.DataFrame(rows))


def _told(dice: random.Random, start: date, end: date, customers: Sequence[tuple[int, Customer]], ids: list[int]) -> pl.DataFrame:
    """What customers told since they are customers: mostly of us, some of the competitors that they know."""
    rows = []
    for n in range(TOLD):
        kind = "nps" if n % 15 < 9 else "csat" if n % 15 < 12 else "ticket"
        rival = ids[0] if n % 15 in (0, 1) else ids[1] if n % 30 == 2 else None
        lowest, weights = SCORES[kind]
        customer_id, told = dice.choice(customers)
        first = max(told.since, start, end - timedelta(days=360))
        score = (
            max(lowest, dice.choices(range(lowest, lowest + len(weights)), weights)[0] - (2 if rival else 0)) if weights else None
        )
        rows.append(
            {"customer_id": customer_id, "competitor_id": rival if kind != "ticket" else None, "kind": kind, "score": score, "on": first + timedelta(days=dice.randrange((end - first).days + 1)),
             "topic": dice.choice(TOPICS), "text": dice.choice(WORDS), "response_minutes": int(dice.lognormvariate(4.6, 0.9)) if kind == "ticket" else None}
        )  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"competitor_id": pl.Int64, "score": pl.Int64, "response_minutes": pl.Int64})


@contextmanager
def _on(day: date) -> Iterator[None]:
    """The clock on a morning, in one transaction."""
    with clock.at(datetime.combine(day, time(8), tzinfo=UTC)), transaction.atomic():
        yield
