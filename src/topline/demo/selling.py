"""The demo company's selling: a catalog, a team and fifteen months of deals, drawn from the same seed and written by the actions."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

from topline.catalog import actions as catalog
from topline.catalog import queries as catalog_queries
from topline.kernel.actor import Actor
from topline.pipeline import actions as pipeline
from topline.pipeline import people

DAYS = 455
QUOTED_DAYS = 150  # deals that ended within them after a proposal were quoted
UNITS = {
    "PLAT": "company and year",
    "ANLY": "company and year",
    "SUPP": "company and year",
    "IMPL": "project",
    "MIGR": "project",
    "TRAI": "day",
}
PRODUCTS = [  # code, name, family, list price a year ago and now, cost (euros)
    ("PLAT", "Platform licence", "Software", 11_400, 12_000, 1_900), ("ANLY", "Analytics module", "Software", 4_500, 4_800, 700), ("SUPP", "Support plan", "Services", 3_400, 3_600, 1_500),
    ("IMPL", "Implementation", "Services", 8_800, 9_200, 6_100), ("MIGR", "Data migration", "Services", 6_500, 6_500, 4_300), ("TRAI", "Training days", "Services", 1_350, 1_400, 620),
]  # fmt: skip
WHAT = {
    "PLAT": "Groups of companies close their books, see their cash and report in one place. A licence for one company and year, users without limit.",
    "ANLY": "Figures and forecasts on the platform's data, by whatever groups them. Needs the platform licence.",
    "SUPP": "Somebody who knows your set-up answers within four hours on working days.", "IMPL": "Set-up of the platform with your accounts and your first close, as a project of six weeks.",
    "MIGR": "Two years of entries brought over from the system before, proved to the cent.", "TRAI": "A day with your team on its own data, on site or by video.",
}  # fmt: skip
TEAM = [("Mona Manager", "", "DACH"), ("Sam Sales", "Mona Manager", "North"), ("Lena Brandt", "Mona Manager", "South"), ("Jonas Keller", "Mona Manager", "North"), ("Ines Haas", "Mona Manager", "Austria"),
        ("Paul Winter", "Mona Manager", "South")]  # fmt: skip
MOVED = "Ines Haas"  # was led by Sam Sales until ten months ago
LEFT = "Paul Winter"  # left three months ago; what he sold stays his
STAGES = ["prospecting", "qualified", "proposal", "negotiation"]
CATEGORY = {"prospecting": "pipeline", "qualified": "pipeline", "proposal": "best_case", "negotiation": "commit"}
GOES_ON = {"prospecting": 0.74, "qualified": 0.72, "proposal": 0.7, "negotiation": 0.74}
STAYS = {"prospecting": 9, "qualified": 14, "proposal": 16, "negotiation": 12}  # days, median
SOURCES = ["Website", "Referral", "Trade fair", "Partner", "Outbound"]
LOSSES = [
    ("Price", "Kontorwind"),
    ("Missing function", "Quellwerk Systems"),
    ("No budget", "nobody"),
    ("No answer", "nobody"),
    ("Price", "Tallgrass Cloud"),
    ("Timing", "nobody"),
]
STEPS = [
    "Call the head of IT",
    "Send the offer",
    "Show the product to the team",
    "Agree the start",
    "Wait for legal",
    "Meet on site",
]


@dataclass(frozen=True)
class Ending:
    """How a deal ends: won, or lost for a reason to somebody; list_minor is what its lines cost by the list."""

    stage: str
    list_minor: int
    on: date
    loss_reason: str
    competitor: str


@dataclass
class Deal:
    """A deal as it will be on the last day, with every change that led there."""

    facts: dict[str, Any]
    products: list[tuple[str, int]]
    now: dict[str, str] = field(default_factory=dict)
    history: list[tuple[str, str, str, date]] = field(default_factory=list)

    def becomes(self, on: date, **values: Any) -> None:
        """Facts change on a day; what stays as it is leaves no trace."""
        for name, value in values.items():
            after = "" if value is None else str(value)
            if (before := self.now.get(name, "")) != after:
                self.history.append((name, before, after, on))
                self.now[name] = after

    def before_its_end(self) -> Ending:
        """Take the last word back, so that a quote brings it: the deal stands open as before the day on which it ended."""
        on = self.facts["closed_on"]
        told = Ending(
            self.now["stage"], self.facts["list_minor"], on, self.now.get("loss_reason", ""), self.now.get("competitor", "")
        )
        for name, before, _, day in self.history:
            if day == on:
                self.now[name] = before
        self.history = [change for change in self.history if change[3] < on]
        self.facts["closed_on"] = None
        return told


def write(*, seed: int, customers: int, end: date) -> list[Deal]:
    """Draw the deals of fifteen months; knows no table. The seller is told by the place in TEAM."""
    dice = random.Random(seed * 1_009)  # noqa: S311  (a play, not a secret)
    found = []
    for n in range(DAYS):
        day = end - timedelta(days=DAYS - 1 - n)
        count = dice.choices([0, 1, 2, 3], [28, 40, 22, 10])[0] if day.weekday() < 5 else 0
        found += [_deal(dice, day, customers, end) for _ in range(count)]
    return found


def stock(*, actor: Actor) -> dict[str, int]:
    """Write down what is sold, with what it costs; returns ids by name."""
    frame = pl.DataFrame(
        {"code": [p[0] for p in PRODUCTS], "name": [p[1] for p in PRODUCTS], "family": [p[2] for p in PRODUCTS], "description": [WHAT[p[0]] for p in PRODUCTS], "unit": [UNITS[p[0]] for p in PRODUCTS], "unit_cost_nano": [p[5] * 100 * 10**9 for p in PRODUCTS], "cost_currency": "EUR"}
    )  # fmt: skip
    made = catalog.add_products(actor=actor, products=frame)
    return dict(zip(frame["name"], made["product_id"], strict=True))


def units(name: str, net_minor: int) -> int:
    """How many units of a product an amount is at about its list price, in millionths: tenths of a unit, one at least of a tenth."""
    price = next((p[4] * 100 for p in PRODUCTS if p[1] == name), None)
    return 10**6 if price is None else max(round(10 * net_minor / price), 1) * 10**5


def play(
    *, actor: Actor, entity_id: int, customers: list[int], names: list[str], members: dict[str, int], seed: int, end: date
) -> list[tuple[int, Ending]]:
    """Write prices, team and deals; returns the deals whose quotes are still to be played, by id, with how each ends."""
    ids = dict(catalog_queries.find(pl.Series([p[0] for p in PRODUCTS])).iter_rows())
    products = pl.DataFrame({"code": [p[0] for p in PRODUCTS], "product_id": [ids[p[0]] for p in PRODUCTS]})
    book = catalog.add_price_book(actor=actor, key="partners", name="Partners")
    start, raised = end - timedelta(days=DAYS + 30), end - timedelta(days=200)
    for since, of, share in ((start, 3, 100), (raised, 4, 100), (raised, 4, 85)):
        prices = products.select(
            "product_id", currency=pl.lit("EUR"), unit_price_nano=pl.Series([p[of] * share * 10**9 for p in PRODUCTS]), valid_from=pl.lit(since),
            price_book_id=pl.lit(book if share < 100 else None, dtype=pl.Int64),
        )  # fmt: skip
        catalog.add_prices(actor=actor, prices=prices)
    team = pl.DataFrame(
        {
            "name": [t[0] for t in TEAM], "manager": [t[1] for t in TEAM], "region": [t[2] for t in TEAM], "member_id": [members.get(t[0]) for t in TEAM],
            "joined_on": start, "left_on": [end - timedelta(days=90) if t[0] == LEFT else None for t in TEAM],
        },
        schema_overrides={"member_id": pl.Int64, "left_on": pl.Date},
    )  # fmt: skip
    sellers = people.add_reps(actor=actor, reps=team)["rep_id"].to_list()
    moved = sellers[[t[0] for t in TEAM].index(MOVED)]
    people.change_rep(actor=actor, rep_id=moved, changes={"manager_id": sellers[1]}, led_from=people.ALWAYS)
    people.change_rep(actor=actor, rep_id=moved, changes={"manager_id": sellers[0]}, led_from=end - timedelta(days=300))
    deals = write(seed=seed, customers=len(customers), end=end)
    heads, lines, changes, endings = [], [], [], {}
    for n, deal in enumerate(deals):
        closed = deal.facts["closed_on"]
        if closed and end - timedelta(days=QUOTED_DAYS) < closed < end and "amount" in deal.now:
            endings[n] = deal.before_its_end()
        now, facts = deal.now, deal.facts
        heads.append(
            {"ref": str(n), "name": f"{facts['title']} for {names[facts['customer']]}", "rep_id": sellers[int(now["rep"])], "stage": now["stage"], "currency": "EUR",
             "customer_id": customers[facts["customer"]], "category": now["category"], "amount_minor": int(now["amount"]) if now.get("amount") else None, "opened_on": facts["opened_on"],
             "engaged_on": facts["engaged_on"], "close_on": date.fromisoformat(now["close_on"]) if now.get("close_on") else None, "closed_on": facts["closed_on"], "source": facts["source"],
             "next_step": now.get("next_step", ""), "loss_reason": now.get("loss_reason", ""), "competitor": now.get("competitor", "")}
        )  # fmt: skip
        lines += [{"ref": str(n), "product_id": ids[code], "quantity_micro": count * 10**6} for code, count in deal.products]
        for name, before, after, on in deal.history:
            told = [str(sellers[int(t)]) if name == "rep" and t else t for t in (before, after)]
            changes.append({"ref": str(n), "field": name, "before": told[0], "after": told[1], "effective_on": on})
    days = dict.fromkeys(("engaged_on", "close_on", "closed_on"), pl.Date)
    made = pipeline.add_opportunities(
        actor=actor, entity_id=entity_id, opportunities=pl.DataFrame(heads, schema_overrides={"amount_minor": pl.Int64, **days}, infer_schema_length=None),
        lines=pl.DataFrame(lines), history=pl.DataFrame(changes), known_on=end,
    )["opportunity_id"]  # fmt: skip
    return [(int(made[n]), ending) for n, ending in endings.items()]


def _deal(dice: random.Random, opened: date, customers: int, end: date) -> Deal:
    """One deal from its first day: through the stages until it is won, lost or the play ends."""
    chosen = dice.choices(PRODUCTS, [5, 3, 3, 2, 1, 2], k=dice.choice([1, 1, 2]))
    products = list({p[0]: (p[0], dice.choice([1, 1, 1, 2, 3])) for p in chosen}.values())
    worth = sum(next(p[4] for p in PRODUCTS if p[0] == code) * count for code, count in products)
    sells = [n for n, t in enumerate(TEAM) if t[1] and (t[0] != LEFT or opened < end - timedelta(days=90))]
    deal = Deal(
        {"title": chosen[0][1], "customer": dice.randrange(customers), "opened_on": opened, "engaged_on": None, "closed_on": None, "source": dice.choice(SOURCES), "list_minor": 100 * worth}, products
    )  # fmt: skip
    skill = 0.06 * (int(dice.random() * 3) - 1)
    day, expected = opened, opened + timedelta(days=dice.randrange(20, 60))
    deal.becomes(opened, stage="prospecting", category="pipeline", rep=dice.choice(sells))
    for stage in STAGES:
        if stage != "prospecting":
            deal.becomes(day, stage=stage, category=CATEGORY[stage])
        if stage == "qualified":
            deal.facts["engaged_on"] = day
            deal.becomes(day, close_on=max(expected, day))
        if stage == "proposal":
            deal.becomes(day, amount=int(worth * dice.uniform(0.82, 1.05)) * 100)
        if stage != "prospecting" and dice.random() < 0.8:
            deal.becomes(day, next_step=dice.choice(STEPS))
        if stage == "negotiation" and dice.random() < 0.25:
            deal.becomes(day, category="best_case")  # the seller is less sure than the stage says
        until = day + timedelta(days=max(1, round(STAYS[stage] * dice.lognormvariate(0, 0.8))))
        # a day that passes without an end is pushed by a month, mostly
        while stage != "prospecting" and expected < until and expected <= end:
            pushed = expected + timedelta(days=30)
            if dice.random() < 0.7:
                deal.becomes(max(expected, day), close_on=pushed)
            expected = pushed
        if until > end:
            return deal
        day = until
        if dice.random() > GOES_ON[stage] + skill:
            reason, competitor = dice.choice(LOSSES)
            deal.facts["closed_on"] = day
            deal.becomes(day, stage="lost", category="omitted", loss_reason=reason, competitor=competitor)
            return deal
        if stage == "proposal" and dice.random() < 0.4:
            deal.becomes(day, amount=int(int(deal.now["amount"]) * dice.uniform(0.85, 1.02)) // 100 * 100)
    deal.facts["closed_on"] = day
    deal.becomes(day, stage="won", category="closed")
    return deal
