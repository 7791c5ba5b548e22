"""What will happen to the demo company: drawn once from a seed, before anything is booked. Knows no table."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta

FIRST = ["Alpen", "Nord", "Rhein", "Isar", "Hansa", "Baltic", "Delta", "Nova", "Terra", "Orion", "Vega", "Helio", "Kranich", "Falken", "Silber", "Eisen", "Linden", "Berg",
         "Fluss", "Stern", "Atlas", "Zenit", "Polar", "Merkur", "Sonnen"]  # fmt: skip
SECOND = [
    "Werk",
    "Tech",
    "Logistik",
    "Medien",
    "Energie",
    "Bau",
    "Pharma",
    "Handel",
    "Systeme",
    "Optik",
    "Chemie",
    "Textil",
    "Motoren",
    "Daten",
    "Robotik",
]
FORMS = ["GmbH", "AG", "GmbH & Co. KG", "SE", "UG"]
SEGMENTS = ["Enterprise", "Mid-market", "Small business"]
SERVICES = [
    "Platform licence",
    "Support plan",
    "Implementation",
    "Data migration",
    "Training days",
    "Analytics module",
    "Additional seats",
]
BIG = "Kolossal Anlagenbau AG"


@dataclass
class Customer:
    """size  median invoice in euros; late  mean days after the due day; spread  standard deviation of it"""

    name: str
    segment: str
    terms_days: int
    size: int
    late: float
    spread: float
    country: str
    every_days: int
    disputes: float
    since: date


@dataclass
class Sale:
    """An invoice: net in cents, and when it is paid (None: not yet), in which parts."""

    customer: int
    on: date
    service: str
    net_minor: int
    paid: list[tuple[date, int]] = field(default_factory=list)
    credited_minor: int = 0
    unmatched: bool = False


@dataclass
class Script:
    """Everything that happens, in order of day."""

    customers: list[Customer]
    sales: list[Sale]
    costs: list[tuple[date, str, str, int]]  # day, account role, text, cents
    paydays: list[date]
    pay_minor: list[tuple[str, str, int]]  # person, group, cents per period
    opening_minor: int


TAX_PPM = 190_000
EMPLOYER_PPM = 210_000


def write(*, seed: int, start: date, end: date) -> Script:
    """Draw two years: customers with habits, seasonal sales, payments, costs, payroll; cash is tight at the end."""
    dice = random.Random(seed)  # noqa: S311  (a play, not a secret)
    customers = _customers(dice, start, end)
    sales = [
        sale
        for index, customer in enumerate(customers)
        for sale in _sales(dice, index, customer, end)
        if _is_ours(index, customer, sale.on, end)
    ]
    sales.append(Sale(customers_index(customers, BIG), end - timedelta(days=105), "Plant control system", 118_000_000))
    sales.sort(key=lambda s: (s.on, s.customer))
    people = _people(dice)
    payroll = sum(p[2] for p in people)
    paydays = [
        day for n in range(60) if start <= (day := _last_friday(end) - timedelta(days=14 * n) + timedelta(days=14)) <= end
    ][::-1]
    costs = _costs(dice, start, end)
    taken = sum(a for s in sales for day, a in s.paid if day <= end)
    spent = sum(c[3] for c in costs) + len(paydays) * _with_employer(payroll)
    # what is left on the last day covers a little more than half of the next payroll
    return Script(customers, sales, costs, paydays, people, opening_minor=int(_with_employer(payroll) * 0.62) - taken + spent)


def customers_index(customers: list[Customer], name: str) -> int:
    """Place of a customer by name."""
    return next(i for i, c in enumerate(customers) if c.name == name)


def _customers(dice: random.Random, start: date, end: date) -> list[Customer]:
    names = [f"{a}{b.lower()} {dice.choice(FORMS)}" for a in FIRST for b in SECOND]
    dice.shuffle(names)
    found = []
    for name in names[:149]:
        segment = dice.choices(SEGMENTS, [2, 5, 8])[0]
        size = {"Enterprise": 9_000, "Mid-market": 3_200, "Small business": 900}[segment]
        habit = dice.choices([(-3, 3), (4, 5), (14, 9), (35, 20)], [30, 40, 22, 8])[0]
        joined = start + timedelta(days=dice.choice([0, 0, 0, dice.randrange(0, (end - start).days - 60)]))
        found.append(
            Customer(
                name, segment, dice.choice([14, 30, 30, 30, 45, 60]), int(size * dice.lognormvariate(0, 0.4)), habit[0], habit[1], dice.choices(["DE", "AT", "NL", "FR"], [12, 2, 1, 1])[0],
                dice.choice([30, 30, 30, 61, 91]), dice.choice([0, 0, 0.02, 0.06]), joined,
            )
        )  # fmt: skip
    found.append(Customer(BIG, "Enterprise", 30, 24_000, 22, 8, "DE", 30, 0.0, start))
    return found


def _sales(dice: random.Random, index: int, customer: Customer, end: date) -> list[Sale]:
    found = []
    day = customer.since + timedelta(days=dice.randrange(customer.every_days))
    while day <= end:
        issued = _business_day(day)
        if issued > end:
            break
        season = (
            1.0
            + 0.25 * (issued.month in (11, 12))
            - 0.2 * (issued.month in (7, 8))
            + 0.12 * ((issued - customer.since).days / 365)
        )
        net = int(customer.size * season * dice.lognormvariate(0, 0.25)) * 100
        found.append(_paid(dice, Sale(index, issued, dice.choice(SERVICES), max(net, 5_000)), customer))
        day += timedelta(days=customer.every_days)
    return found


def _is_ours(index: int, customer: Customer, on: date, end: date) -> bool:
    """Some small customers left within the year, and some of them came back."""
    silent = {7: (330, 0), 11: (420, 100)}.get(index % 19) if customer.segment == SEGMENTS[2] else None
    return silent is None or not end - timedelta(days=silent[0]) < on <= end - timedelta(days=silent[1])


def _paid(dice: random.Random, sale: Sale, customer: Customer) -> Sale:
    """When and how the customer pays: late as is their habit, now and then in two parts, or less a credited dispute."""
    total = gross(sale, customer)
    due = sale.on + timedelta(days=customer.terms_days)
    day = _business_day(max(sale.on + timedelta(days=2), due + timedelta(days=round(dice.gauss(customer.late, customer.spread)))))
    if customer.name == BIG and dice.random() < 0.5:
        day += timedelta(days=30)
    if dice.random() < customer.disputes:
        sale.credited_minor = total // 10
        day = _business_day(day + timedelta(days=30))
    rest = total - sale.credited_minor
    if dice.random() < 0.03:
        sale.paid = [(day, rest // 2), (_business_day(day + timedelta(days=20)), rest - rest // 2)]
    else:
        sale.paid = [(day, rest)]
    sale.unmatched = dice.random() < 0.02
    return sale


def gross(sale: Sale, customer: Customer) -> int:
    """The invoice's total: German customers pay tax, others account for it themselves."""
    return sale.net_minor + (_half_up(sale.net_minor * TAX_PPM) if customer.country == "DE" else 0)


def _people(dice: random.Random) -> list[tuple[str, str, int]]:
    groups = [
        ("Engineering", 30, 3_100),
        ("Sales", 14, 2_700),
        ("Support", 12, 2_000),
        ("Operations", 8, 2_200),
        ("Management", 4, 4_800),
    ]
    return [
        (f"{group} {n + 1:02d}", group, int(base * dice.uniform(0.85, 1.25)) * 100)
        for group, count, base in groups
        for n in range(count)
    ]


def _costs(dice: random.Random, start: date, end: date) -> list[tuple[date, str, str, int]]:
    found = []
    month = start.replace(day=1)
    while month <= end:
        for day, role, text, low, high in (
            (2, "operating_expense", "Office rent", 31_000, 31_000), (10, "tax_payable", "Value added tax", 42_000, 58_000), (14, "operating_expense", "Cloud hosting", 24_000, 30_000),
            (20, "operating_expense", "Contractors", 18_000, 34_000), (28, "bank_fees", "Account fees", 140, 190),
        ):  # fmt: skip
            on = _business_day(month.replace(day=day))
            if start <= on <= end:
                found.append((on, role, text, dice.randint(low, high) * 100))
        month = (month + timedelta(days=32)).replace(day=1)
    return found


def _with_employer(pay: int) -> int:
    return pay + _half_up(pay * EMPLOYER_PPM)


def _half_up(ppm: int) -> int:
    return (2 * ppm + 1_000_000) // 2_000_000


def _business_day(day: date) -> date:
    return day + timedelta(days={5: 2, 6: 1}.get(day.weekday(), 0))


def _last_friday(day: date) -> date:
    return day - timedelta(days=(day.weekday() - 4) % 7)
