"""Reference rates of statutory late interest: what central banks published for each half-year, and whose rule adds what to it.

Facts with their sources, percent a year. A half-year that stands in no table is not known here; a company writes such a rate down
with its source, and what it wrote takes the place of the tables.

Sources, by table:
EU  Main refinancing rate on the first day of each half-year (Directive 2011/7/EU, article 2(7) and 3(2)). Held against the Banque de
    France's table of policy rates (dates of effect to October 2024) and, for the halves of 2025/26 that follow it, the Bundesbank's
    announcement of the base rate for 1 January 2026 (2.15 in the last operation of December and of June 2025). The rate of July 2026
    is known from a second-hand quotation alone.
UK  Bank Rate on 31 December and 30 June, for the half-year after it (Late Payment of Commercial Debts (Rate of Interest) Order 2002).
    Held against the table of the Pay on Time campaign up to 2024, and the Bank's decisions of June 2024 and 2025 and 18 December 2025.
SE  The Riksbank's reference rate (Interest Act 1975:635, sections 6 and 9): the policy rate at the end of the half-year before, raised
    to the next half point. To July 2023 as listed by kredity.se, held against the Riksbank's notices for July 2014 and July 2023;
    January 2024 as told by capway.se. Since then by that rule from the policy rate: 3.75 from 15 May 2024 and 1.75 held on 18 December
    2025 (Riksbank), 2.75 at the end of 2024 (FocusEconomics), 2.00 from 25 June 2025.
DK  The National Bank's lending rate on 1 January and 1 July (Interest Act, section 5), for debts due from 1 March 2013. To July 2023 as
    listed by forbrug.dk less its 8 points, January 2024 by selandiaadvokater.dk, July 2024 by global-rates.com (3.50 from 6 June 2024),
    January 2025 by Trading Economics (2.75 in December 2024), July 2025 by fx.co (1.75 on 5 June 2025).
PL  The National Bank's reference rate on 1 January and 1 July (Act of 8 March 2013, article 4(3) and 11b), 8 points above it until 2019
    and 10 since; 8 where a public hospital owes. 2016 to 2019 and 2021 by the minister's announcements in Monitor Polski (9.50, 10.10),
    the others by global-rates.com and FocusEconomics (5.75 since 4 October 2023, 5.25 in June 2025, 4.00 in January 2026).
CZ  The National Bank's two-week repo rate on the first day of the half-year in which the delay began; it holds for all of the delay
    (Government decree 351/2013). To July 2021 as listed by kodap.cz, to January 2024 by behounek.eu, July 2024 by lidovky.cz, January 2025
    and 2026 by patria.cz (4.00 and 3.50 held in December), July 2025 by the bank itself (3.50 from 9 May 2025).
HU  The National Bank's base rate on the first day of the half-year (Civil Code, section 6:155), by the bank's own list to November 2023;
    10.75 from 20 December 2023 (444.hu), 7.00 from 19 June 2024 (iriszoffice.hu), 6.50 from 25 September 2024 and through 2025 (bank360.hu).
RO  The National Bank's policy rate on the first day of the half-year (Act 72/2013; Ordinance 13/2011, article 3), as told by the press
    and in Monitorul Oficial since January 2022: 1.75 until 10 January 2022, 3.75 until 6 July 2022, 6.75 until January 2023, 7.00 until
    7 July 2024 (circular 29/2024), 6.50 since August 2024 (adevarul.ro, 19 January 2026). Earlier half-years are not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import inf

from topline.kernel.errors import NotFound

D = Decimal
Half = tuple[int, int]  # year, 1 or 2

TABLES: dict[str, dict[Half, str]] = {
    "EU": {
        (2013, 1): "0.75", (2013, 2): "0.50", (2014, 1): "0.25", (2014, 2): "0.15", (2015, 1): "0.05", (2015, 2): "0.05", (2016, 1): "0.05", (2016, 2): "0.00",
        (2017, 1): "0.00", (2017, 2): "0.00", (2018, 1): "0.00", (2018, 2): "0.00", (2019, 1): "0.00", (2019, 2): "0.00", (2020, 1): "0.00", (2020, 2): "0.00",
        (2021, 1): "0.00", (2021, 2): "0.00", (2022, 1): "0.00", (2022, 2): "0.00", (2023, 1): "2.50", (2023, 2): "4.00", (2024, 1): "4.50", (2024, 2): "4.25",
        (2025, 1): "3.15", (2025, 2): "2.15", (2026, 1): "2.15", (2026, 2): "2.40",
    },
    "UK": {
        (2013, 1): "0.50", (2013, 2): "0.50", (2014, 1): "0.50", (2014, 2): "0.50", (2015, 1): "0.50", (2015, 2): "0.50", (2016, 1): "0.50", (2016, 2): "0.50",
        (2017, 1): "0.25", (2017, 2): "0.25", (2018, 1): "0.50", (2018, 2): "0.50", (2019, 1): "0.75", (2019, 2): "0.75", (2020, 1): "0.75", (2020, 2): "0.10",
        (2021, 1): "0.10", (2021, 2): "0.10", (2022, 1): "0.25", (2022, 2): "1.25", (2023, 1): "3.50", (2023, 2): "5.00", (2024, 1): "5.25", (2024, 2): "5.25",
        (2025, 1): "4.75", (2025, 2): "4.25", (2026, 1): "3.75",
    },
    "SE": {
        (2013, 1): "1.00", (2013, 2): "1.00", (2014, 1): "1.00", (2014, 2): "1.00", (2015, 1): "0.00", (2015, 2): "0.00", (2016, 1): "0.00", (2016, 2): "-0.50",
        (2017, 1): "-0.50", (2017, 2): "-0.50", (2018, 1): "-0.50", (2018, 2): "-0.50", (2019, 1): "-0.50", (2019, 2): "0.00", (2020, 1): "0.00", (2020, 2): "0.00",
        (2021, 1): "0.00", (2021, 2): "0.00", (2022, 1): "0.00", (2022, 2): "0.50", (2023, 1): "2.50", (2023, 2): "3.50", (2024, 1): "4.00", (2024, 2): "4.00",
        (2025, 1): "3.00", (2025, 2): "2.00", (2026, 1): "2.00",
    },
    "DK": {
        (2013, 1): "0.20", (2013, 2): "0.20", (2014, 1): "0.20", (2014, 2): "0.20", (2015, 1): "0.20", (2015, 2): "0.05", (2016, 1): "0.05", (2016, 2): "0.05",
        (2017, 1): "0.05", (2017, 2): "0.05", (2018, 1): "0.05", (2018, 2): "0.05", (2019, 1): "0.05", (2019, 2): "0.05", (2020, 1): "0.05", (2020, 2): "0.05",
        (2021, 1): "0.05", (2021, 2): "-0.35", (2022, 1): "-0.45", (2022, 2): "-0.45", (2023, 1): "1.90", (2023, 2): "3.25", (2024, 1): "3.75", (2024, 2): "3.50",
        (2025, 1): "2.75", (2025, 2): "1.75",
    },
    "PL": {
        (2016, 1): "1.50", (2016, 2): "1.50", (2017, 1): "1.50", (2017, 2): "1.50", (2018, 1): "1.50", (2018, 2): "1.50", (2019, 1): "1.50", (2019, 2): "1.50",
        (2020, 1): "1.50", (2020, 2): "0.10", (2021, 1): "0.10", (2021, 2): "0.10", (2022, 1): "1.75", (2022, 2): "6.00", (2023, 1): "6.75", (2023, 2): "6.75",
        (2024, 1): "5.75", (2024, 2): "5.75", (2025, 1): "5.75", (2025, 2): "5.25", (2026, 1): "4.00",
    },
    "CZ": {
        (2013, 2): "0.05", (2014, 1): "0.05", (2014, 2): "0.05", (2015, 1): "0.05", (2015, 2): "0.05", (2016, 1): "0.05", (2016, 2): "0.05", (2017, 1): "0.05",
        (2017, 2): "0.05", (2018, 1): "0.50", (2018, 2): "1.00", (2019, 1): "1.75", (2019, 2): "2.00", (2020, 1): "2.00", (2020, 2): "0.25", (2021, 1): "0.25",
        (2021, 2): "0.50", (2022, 1): "3.75", (2022, 2): "7.00", (2023, 1): "7.00", (2023, 2): "7.00", (2024, 1): "6.75", (2024, 2): "4.75", (2025, 1): "4.00",
        (2025, 2): "3.50", (2026, 1): "3.50",
    },
    "HU": {
        (2013, 2): "4.25", (2014, 1): "3.00", (2014, 2): "2.30", (2015, 1): "2.10", (2015, 2): "1.50", (2016, 1): "1.35", (2016, 2): "0.90", (2017, 1): "0.90",
        (2017, 2): "0.90", (2018, 1): "0.90", (2018, 2): "0.90", (2019, 1): "0.90", (2019, 2): "0.90", (2020, 1): "0.90", (2020, 2): "0.75", (2021, 1): "0.60",
        (2021, 2): "0.90", (2022, 1): "2.40", (2022, 2): "7.75", (2023, 1): "13.00", (2023, 2): "13.00", (2024, 1): "10.75", (2024, 2): "7.00", (2025, 1): "6.50",
        (2025, 2): "6.50", (2026, 1): "6.50",
    },
    "RO": {
        (2022, 1): "1.75", (2022, 2): "3.75", (2023, 1): "6.75", (2023, 2): "7.00", (2024, 1): "7.00", (2024, 2): "7.00", (2025, 1): "6.50", (2025, 2): "6.50",
        (2026, 1): "6.50",
    },
}  # fmt: skip

EURO_STATES = frozenset(
    ["EU", "AT", "BE", "BG", "CY", "DE", "EE", "ES", "FI", "FR", "GR", "HR", "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PT", "SI", "SK"]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Law:
    """One rule of late interest.

    name      the rate that it refers to, as people call it
    table     whose reference rates: a key of TABLES
    margins   points above the reference rate, from a half-year on, oldest first
    holds     the rate of the half-year in which the delay began holds for all of it
    fixed     the fixed sum for recovery per late part: (of debts below, sum) in order, the last one for all others; in minor units of
              `fixed_in`; where that is not the `currency` of the country, its worth in that
    """

    name: str
    table: str
    margins: tuple[tuple[Half, Decimal], ...] = (((2013, 1), D(8)),)
    holds: bool = False
    fixed: tuple[tuple[float, int], ...] = ((inf, 40_00),)
    fixed_in: str = "EUR"
    currency: str = "EUR"


# The Directive's minimum is 8 points, more where a member state's own rule is known here. States of the Union without the euro refer to
# the rate of their own central bank (article 2(7)(b)). Germany: 9 points above its base rate (BGB 288), which has stood 0.88 below the main
# refinancing rate in every half-year of the table.
# Fixed sums: Directive 2011/7/EU, article 6 (40 euros; CJEU C-78/22: for each late part); Late Payment of Commercial Debts (Interest) Act
# 1998, section 5A; Sweden: Act 1981:739, section 4a (450 kronor); Denmark: 310 kroner (Interest Act, section 9a(3)); Czechia: 1,200 koruna
# (decree 351/2013, section 3); Poland, since 2020: 40, 70 or 100 euros by the size of the debt (Act of 8 March 2013, article 10).
LAWS: dict[str, Law] = {
    "EU": Law("the European Central Bank's main refinancing rate", "EU"),
    "DE": Law("the European Central Bank's main refinancing rate", "EU", (((2013, 1), D("8.12")),)),
    "UK": Law("the Bank of England's Bank Rate", "UK", fixed=((1_000_00, 40_00), (10_000_00, 70_00), (inf, 100_00)), fixed_in="GBP", currency="GBP"),
    "SE": Law("the Riksbank's reference rate", "SE", fixed=((inf, 450_00),), fixed_in="SEK", currency="SEK"),
    "DK": Law("Danmarks Nationalbank's lending rate", "DK", fixed=((inf, 310_00),), fixed_in="DKK", currency="DKK"),
    "PL": Law("the National Bank of Poland's reference rate", "PL", (((2013, 1), D(8)), ((2020, 1), D(10))),
              fixed=((5_000_01, 40_00), (50_000_00, 70_00), (inf, 100_00)), currency="PLN"),
    "CZ": Law("the Czech National Bank's repo rate", "CZ", holds=True, fixed=((inf, 1_200_00),), fixed_in="CZK", currency="CZK"),
    "HU": Law("the Magyar Nemzeti Bank's base rate", "HU", currency="HUF"),
    "RO": Law("the National Bank of Romania's policy rate", "RO", currency="RON"),
}  # fmt: skip


def half_of(day: date) -> Half:
    """The half-year that a day lies in."""
    return day.year, 1 if day.month <= 6 else 2


def first_day(half: Half) -> date:
    """1 January or 1 July."""
    return date(half[0], 1 if half[1] == 1 else 7, 1)


def last_day(half: Half) -> date:
    """30 June or 31 December."""
    return date(half[0], 6, 30) if half[1] == 1 else date(half[0], 12, 31)


def law_of(jurisdiction: str) -> Law:
    """The rule of a jurisdiction: one of LAWS, or a state of the euro. Raises: NotFound."""
    found = LAWS.get(jurisdiction) or (LAWS["EU"] if jurisdiction in EURO_STATES else None)
    if found is None:
        raise NotFound(
            f"There is no late-payment table for {jurisdiction!r}.", field="jurisdiction", remedy="Use the rate of the contract."
        )
    return found


def jurisdiction_of(country: str) -> str:
    """Under whose rule a company's claims fall, by its country; empty where none is known."""
    if country in {"GB", "UK"}:
        return "UK"
    return country if country in LAWS and country != "EU" else "EU" if country in EURO_STATES else ""


def published(jurisdiction: str, half: Half, *, own: Mapping[Half, Decimal]) -> tuple[Decimal, Half]:
    """The reference rate of a half-year, or else of the last one before it that is known, and which half-year that is.

    own  what the company wrote down for this jurisdiction; it goes before the tables
    Raises: NotFound (jurisdiction, nothing known so early).
    """
    table = TABLES[law_of(jurisdiction).table]
    known = max((h for h in (*table, *own) if h <= half), default=None)
    if known is None:
        raise NotFound(
            f"There is no reference rate for {first_day(half)}.",
            field="day",
            remedy="Write it down under Reference rates, or use the rate of the contract.",
        )
    return (own[known] if known in own else D(table[known])), known


def margin(jurisdiction: str, half: Half) -> Decimal:
    """Points above the reference rate in a half-year. Raises: NotFound (jurisdiction)."""
    return [points for since, points in law_of(jurisdiction).margins if since <= max(half, (2013, 1))][-1]
