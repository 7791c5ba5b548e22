"""The sales forecast as people make it: quotas in force, what is won and open, and calls, for everybody in the tree of the team."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from topline.books import rates
from topline.catalog import queries as catalog
from topline.catalog.models import Product
from topline.engine import quotas as engine
from topline.engine.deals import categories
from topline.engine.deals.accuracy import scores
from topline.kernel import bulk, money
from topline.kernel.errors import Invalid, ensure
from topline.pipeline import figures, queries
from topline.pipeline.models import ForecastCall, FrozenSalesForecast, Quota

STALE_DAYS = 7  # a call older than this is marked: the meeting is weekly
YEAR = timedelta(days=365)
NAIVE = "last period"
MOST_LINES = 40  # families and measures with quotas of their own
OPEN = ["commit", "best_case", "pipeline"]
CALLS = list(ForecastCall.Category.values)
ROW = {
    "rep_id": pl.Int64, "name": pl.String, "lead_id": pl.Int64, "level": pl.Int64, "quota_minor": pl.Int64, "quota_set": pl.Boolean,
    "won_minor": pl.Int64, "commit": pl.Int64, "best_case": pl.Int64, "pipeline": pl.Int64, "undated": pl.Int64,
    "won_year": pl.Int64, "closed_year": pl.Int64,
    **{f"{c}_call": pl.Int64 for c in CALLS}, **{f"{c}_by": pl.String for c in CALLS}, "called_on": pl.Date, "stale_days": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True)
class Board:
    """The forecast of [start, end) as of the end of a day, in one currency, rolled up by the teams of that day, or of the period's last one.

    rows      one row per node, the company first, everybody below their lead: rep_id (none for the company), name, lead_id, level;
              quota_minor and quota_set (false: the sum of those below); won_minor; the open deals of each category alone (commit, best_case,
              pipeline) that are expected before the end or on no day (undated: how many), and with all surer ones (commit_forecast,
              most_likely_forecast, best_case_forecast, open_pipeline); attainment, remaining_minor, pace, on_pace_minor; win_rate (by
              value, of the year before), coverage, needed, gap_minor; the number that counts of each call (commit_call, ..) and where it is
              from (commit_by: override, own call, sum), called_on, stale_days
    segments  one row per segment of the open pipeline: segment, remaining_minor (of the company's quota, by what the segments brought in
              the year before), open_minor, win_rate, coverage, needed, gap_minor
    street    quotas of all people to the company's quota; 1.1 = 10 % over-assigned. None without
    fairness  whether attainment follows the territory
    """

    as_of: date
    start: date
    end: date
    currency: str
    rows: pl.DataFrame
    segments: pl.DataFrame
    street: float | None
    fairness: engine.Fairness

    @property
    def company(self) -> dict[str, Any]:
        """The first row."""
        return self.rows.row(0, named=True)

    @property
    def gone(self) -> float:
        """Share of the period's working days that are over."""
        return engine.gone_share(start=self.start, end=self.end, today=self.as_of + timedelta(days=1))


def quarter(day: date) -> tuple[date, date]:
    """The calendar quarter of a day: its first day, and the day after its last."""
    start = date(day.year, 3 * ((day.month - 1) // 3) + 1, 1)
    return start, date(start.year + start.month // 10, (start.month + 2) % 12 + 1, 1)


def team_day(*, end: date, as_of: date) -> date:
    """The day whose teams a period is rolled up by: its last one, or the day of the report while the period runs."""
    return min(as_of, end - timedelta(days=1))


def quotas_in_force(
    *, entity_id: int, start: date, end: date, as_of: date, family: str = "", measure: str = "bookings"
) -> pl.DataFrame:
    """What each owner is to sell in a period, as it was known on a day: the last row of each owner and period. One statement.

    A period without quotas of its own is the sum of the shorter ones inside it, such as a year of its quarters.
    returns  one row per owner and currency: scope, rep_id, currency, amount_minor, source, note, set_on
    """  # fmt: skip
    found = Quota.objects.filter(
        entity_id=entity_id, starts_on__gte=start, ends_on__lte=end, set_on__lte=as_of, family=family, measure=measure
    )
    rows = bulk.read(found.order_by("id").values("id", "scope", "rep_id", "starts_on", "ends_on", "amount_minor", "currency", "source", "note", "set_on"))  # fmt: skip
    last = rows.unique(["scope", "rep_id", "starts_on", "ends_on"], keep="last", maintain_order=True)
    exact = last.filter((pl.col("starts_on") == start) & (pl.col("ends_on") == end))
    inside = last.join(exact.select("scope", "rep_id"), on=["scope", "rep_id"], how="anti", nulls_equal=True)
    inside = inside.filter(_apart(inside))
    keys = ["scope", "rep_id", "currency"]
    summed = pl.concat([exact, inside]).group_by(keys, maintain_order=True)
    return summed.agg(pl.col("amount_minor").sum(), pl.col("source").last(), pl.col("note").last(), pl.col("set_on").max())


def quotas_by_line(*, entity_id: int, start: date, end: date, as_of: date, currency: str) -> list[dict[str, Any]]:
    """Quotas of one product line, and those that count deals: what each owner is to sell of them in a period, and what they have won.

    A deal of several product lines counts for each with its part of the list prices of the day on which it was won.
    returns  one row per owner, family and measure: name, scope, family (empty: all), measure, currency, quota_minor, won_minor (deals where
             the measure counts them), attainment, remaining_minor; the company first. Work: nine statements and one per family and measure
    Raises: RateMissing where a deal or quota is in a currency without a rate.
    """
    inside = Quota.objects.filter(entity_id=entity_id, starts_on__gte=start, ends_on__lte=end, set_on__lte=as_of)
    found = inside.exclude(family="", measure=Quota.Measure.BOOKINGS).values_list("family", "measure").distinct()
    kinds = list(found.order_by("family", "measure")[:MOST_LINES])
    if not kinds:
        return []
    book = figures.book(entity_id=entity_id, as_of=as_of)
    won = _converted(figures.closed(book, since=start, until=end).filter(pl.col("state") == "won"), currency, as_of)
    parts = _by_family(won.select("opportunity_id", "rep_id", "minor", "closed_on", "currency"), entity_id=entity_id)
    reps = queries.reps(on=team_day(end=end, as_of=as_of))
    above = dict(reps.select("rep_id", "manager_id").iter_rows())
    names = dict(reps.select("rep_id", "name").iter_rows())
    rows = []
    for family, measure in kinds:
        mine = parts if family == "" else parts.filter(pl.col("family") == family)
        is_count = measure == Quota.Measure.DEALS
        told = pl.col("opportunity_id").n_unique().cast(pl.Int64) if is_count else pl.col("minor").sum()
        own = dict(mine.group_by("rep_id").agg(told).iter_rows())
        set_for = quotas_in_force(entity_id=entity_id, start=start, end=end, as_of=as_of, family=family, measure=measure)
        if not is_count:
            set_for = _converted(set_for, currency, as_of).with_columns(amount_minor="minor")
        for quota in set_for.to_dicts():
            rep = quota["rep_id"]
            below = {rep} if quota["scope"] == "person" else {r for r in above if rep is None or rep in _line(r, above)}
            came = sum(own.get(r, 0) for r in below)
            rows.append(
                {"name": "Company" if rep is None else names[rep], "scope": quota["scope"], "family": family, "measure": measure, "currency": "" if is_count else currency, "quota_minor": quota["amount_minor"],
                 "won_minor": came, "attainment": came / quota["amount_minor"] if quota["amount_minor"] else None, "remaining_minor": max(quota["amount_minor"] - came, 0)}
            )  # fmt: skip
    order = {"company": 0, "team": 1, "person": 2}
    return sorted(rows, key=lambda r: (r["family"], r["measure"], order[r["scope"]], r["name"]))


def _line(rep_id: int, above: dict[int, int | None]) -> set[int]:
    """A person and everybody who leads them, one above the other."""
    found, at = set(), rep_id
    while at is not None and at not in found:
        found.add(at)
        at = above.get(at)  # type: ignore[assignment]
    return found


def _by_family(won: pl.DataFrame, *, entity_id: int) -> pl.DataFrame:
    """Won deals shared out over the families of their products by list prices, alike where one has none: opportunity_id, rep_id, family, minor."""
    families = bulk.read(Product.objects.values("id", "family")).rename({"id": "product_id"})
    lines = queries.lines(entity_id=entity_id).join(won.select("opportunity_id", on="closed_on"), on="opportunity_id")
    priced = catalog.prices(lines).join(families, on="product_id", how="left")
    worth = pl.col("quantity_micro").cast(pl.Float64) * pl.col("unit_price_nano").cast(pl.Float64)
    known = worth.is_not_null().all().over("opportunity_id") & (worth.sum().over("opportunity_id") > 0)
    share = pl.when(known).then(worth / worth.sum().over("opportunity_id")).otherwise(1 / pl.len().over("opportunity_id"))
    shares = priced.with_columns(share=share).group_by("opportunity_id", "family").agg(pl.col("share").sum())
    whole = won.select("opportunity_id", "rep_id", "minor").join(shares, on="opportunity_id", how="left")
    return whole.select("opportunity_id", "rep_id", pl.col("family").fill_null(""), minor=(pl.col("minor") * pl.col("share").fill_null(1.0)).round().cast(pl.Int64))  # fmt: skip


def calls_in_force(*, entity_id: int, start: date, end: date, as_of: date) -> pl.DataFrame:
    """The last call of each person and category about a period, and the last override of it, as known on a day. One statement.

    returns  one row per person, category and kind: rep_id, category, is_override, amount_minor (null: taken back), currency, made_on, note,
             actor_key
    """
    found = ForecastCall.objects.filter(entity_id=entity_id, starts_on=start, ends_on=end, made_on__lte=as_of).order_by(
        "made_on", "id"
    )
    rows = bulk.read(
        found.values("rep_id", "category", "is_override", "amount_minor", "currency", "made_on", "note", "actor_key")
    )
    return rows.unique(["rep_id", "category", "is_override"], keep="last", maintain_order=True)


def open_worth(*, entity_id: int, as_of: date, currency: str) -> pl.DataFrame:
    """What everybody's open deals are worth: rep_id, open_minor."""
    mine = figures.book(entity_id=entity_id, as_of=as_of).filter(pl.col("state") == "open")
    return _converted(mine, currency, as_of).group_by("rep_id").agg(open_minor=pl.col("minor").sum())


def past_bookings(*, entity_id: int, before: date, as_of: date, days: int, periods: int, currency: str) -> pl.DataFrame:
    """What everybody won in each of some periods of equal length before a day, as far as it was known; none of them is left out for
    having brought nothing, unless nobody did.

    returns  one row per person and period: owner i64, period i64 (1 the last), won_minor i64
    """
    book = figures.book(entity_id=entity_id, as_of=as_of)
    ended = figures.closed(book, since=before - timedelta(days=days * periods), until=before).filter(pl.col("state") == "won")
    back = ((pl.lit(before) - pl.col("closed_on")).dt.total_days() - 1) // days + 1
    won = _converted(ended, currency, as_of).group_by(period=back, owner="rep_id").agg(won_minor=pl.col("minor").sum())
    everybody = won.select("owner").unique().join(won.select("period").unique(), how="cross")
    full = everybody.join(won, on=["owner", "period"], how="left").with_columns(pl.col("won_minor").fill_null(0))
    return full.select("owner", "period", "won_minor").sort("owner", "period")


def board(*, entity_id: int, start: date, end: date, as_of: date, currency: str = "") -> Board:
    """Quota, won, open deals and calls of everybody for a period, as it was known at the end of a day; see Board.

    currency  into which other amounts are turned at the rate of the day; that of most deals unless told
    Raises: Invalid (period), RateMissing where deals, quotas or calls are in a currency without a rate. Work: a fixed number of statements.
    """
    ensure(start < end, Invalid("A period ends after it starts.", field="until", remedy="Correct one of the two days."))
    book = figures.book(entity_id=entity_id, as_of=as_of)
    currency = currency or next(iter(figures.currencies(book)), "EUR")
    money.ensure_currency(currency)
    deals = _converted(book, currency, as_of)
    people = queries.reps(on=team_day(end=end, as_of=as_of))
    own = _own(deals, start=start, end=end, as_of=as_of)
    quotas = _converted(quotas_in_force(entity_id=entity_id, start=start, end=end, as_of=as_of), currency, as_of)
    calls = _converted(calls_in_force(entity_id=entity_id, start=start, end=end, as_of=as_of), currency, as_of)
    nodes = _nodes(people, own, quotas, calls, as_of)
    told = categories.cumulative(nodes.with_columns(closed="won_minor")).drop("closed", "most_likely", "closed_only")
    told = engine.attainment(told.with_columns(_quota=pl.col("quota_minor"), quota_minor=pl.col("quota_minor").fill_null(0)), start=start, end=end, today=as_of + timedelta(days=1), working=True)  # fmt: skip
    told = told.with_columns(quota_minor="_quota", win_rate=_rate("won_year", "closed_year"), open_minor="open_pipeline")
    rows = engine.coverage(told).drop("_quota", "won_year", "closed_year", "open_minor")
    company = rows.row(0, named=True)
    people_quota = quotas.filter(pl.col("scope") == "person")["minor"].to_list()
    set_for_all = quotas.filter(pl.col("scope") == "company")["minor"].sum()
    potential = people.select("rep_id").join(own.select("rep_id", potential="open_minor"), on="rep_id", how="left")
    judged = rows.join(potential, on="rep_id").filter(pl.col("quota_set") & ~pl.col("rep_id").is_in(people["manager_id"].drop_nulls().implode()))  # fmt: skip
    return Board(
        as_of, start, end, currency, rows, _segments(deals, company["remaining_minor"] or 0, as_of=as_of, end=end),
        engine.over_assignment(people_quota, target_minor=int(set_for_all)) if people_quota else None,
        engine.fairness(judged.select("attainment", potential=pl.col("potential").fill_null(0).cast(pl.Float64))),
    )  # fmt: skip


def accuracy(*, entity_id: int, as_of: date, by: str = "method") -> pl.DataFrame:
    """How right frozen figures were about periods that are over: calls and machines, by method, person or week of the period.

    by       method, person or week
    returns  one row per group and method: what the group is, method (call: commit, ..; category: .. with all surer; machine: ..; rehearsed:
             ..), wape, bias (signed), held_80 (share of its ranges that held what came), value_added (over what the period before brought, on
             the same days), n. What came is told as it is known on the day. Empty where nothing is over yet
    """
    ensure(
        by in {"method", "person", "week"}, Invalid(f"{by!r} groups nothing.", field="by", remedy="Use method, person or week.")
    )
    found = FrozenSalesForecast.objects.filter(entity_id=entity_id, ends_on__lte=as_of).order_by("id")
    frozen = bulk.read(found.values("as_of", "starts_on", "ends_on", "kind", "name", "rep_id", "amount_minor", "p10_minor", "p90_minor", "currency"))  # fmt: skip
    frozen = frozen.filter(pl.col("kind").is_in(["call", "machine", "rehearsed", "category"]) & ((pl.col("kind") != "category") | pl.col("name").str.ends_with("_forecast")))  # fmt: skip
    if frozen.is_empty():
        return pl.DataFrame()
    book = figures.book(entity_id=entity_id, as_of=as_of)
    parts = []
    for start, end, currency in (
        frozen.select("starts_on", "ends_on", "currency").unique().sort("starts_on", "ends_on").iter_rows()
    ):
        people = queries.reps(on=team_day(end=end, as_of=as_of))
        joined = frozen.filter((pl.col("starts_on") == start) & (pl.col("ends_on") == end) & (pl.col("currency") == currency))
        for name, since, until in (("actual_minor", start, end), ("before_minor", start - (end - start), start)):
            won = _won(book, people, since, until, currency).rename({"minor": name})
            joined = joined.join(won, on="rep_id", how="left", nulls_equal=True)
        parts.append(joined.with_columns(pl.col("actual_minor", "before_minor").fill_null(0)))
    record = pl.concat(parts).with_columns(method=pl.format("{}: {}", "kind", pl.col("name").str.replace_all("_", " ")), week=(pl.col("as_of") - pl.col("starts_on")).dt.total_days() // 7 + 1)  # fmt: skip
    naive = record.with_columns(method=pl.lit(NAIVE), amount_minor="before_minor", p10_minor=None, p90_minor=None).unique(["as_of", "starts_on", "rep_id"])  # fmt: skip
    names = queries.reps().select("rep_id", person="name")
    both = pl.concat([record, naive], how="vertical_relaxed").join(names, on="rep_id", how="left").with_columns(pl.col("person").fill_null("Company"))  # fmt: skip
    both = both.select(
        "person", "week", "method", "actual_minor", "p10_minor", "p90_minor", forecast_minor="amount_minor",
        on=pl.format("{} {} {}", "as_of", "starts_on", "person"),
    )  # fmt: skip
    if by != "person":
        both = both.filter(pl.col("person") == "Company")
    keys = [] if by == "method" else [by]
    return scores(both, *keys, naive=NAIVE).rename({"snapshots": "n"})


# --- parts ---
def _apart(rows: pl.DataFrame) -> pl.Series:
    """Which periods to add up: those not inside a longer one of the same owner."""
    keep = []
    facts = list(rows.select("scope", "rep_id", "starts_on", "ends_on").iter_rows())
    spans: dict[tuple[Any, Any], list[tuple[date, date]]] = {}
    for scope, rep, start, end in facts:
        spans.setdefault((scope, rep), []).append((start, end))
    for scope, rep, start, end in facts:
        keep.append(not any(s <= start and end <= e and (s, e) != (start, end) for s, e in spans[(scope, rep)]))
    return pl.Series(keep, dtype=pl.Boolean)


def _converted(rows: pl.DataFrame, currency: str, on: date) -> pl.DataFrame:
    """The rows with `minor`, the amount in one currency at the rate of a day; null amounts stay null."""
    amount = "value_minor" if "value_minor" in rows.columns else "amount_minor"
    given = rows.select("currency", amount_minor=pl.col(amount).fill_null(0), on=pl.lit(on))
    return rows.with_columns(
        minor=pl.when(pl.col(amount).is_not_null()).then(rates.convert(given, to=currency)["converted_minor"])
    )


def _own(deals: pl.DataFrame, *, start: date, end: date, as_of: date) -> pl.DataFrame:
    """Everybody's own figures, without those they lead: won, open by category, undated, and what the year before decided."""
    won, is_open = pl.col("state") == "won", pl.col("state") == "open"
    inside = won & (pl.col("closed_on") >= start) & (pl.col("closed_on") < end)
    may_close = is_open & (pl.col("close_on").is_null() | (pl.col("close_on") < end))
    year = pl.col("state").is_in(["won", "lost"]) & (pl.col("closed_on") > as_of - YEAR)
    return deals.group_by("rep_id").agg(
        pl.col("minor").filter(inside).sum().alias("won_minor"),
        *(pl.col("minor").filter(may_close & (pl.col("category") == c)).sum().alias(c) for c in OPEN),
        undated=(may_close & pl.col("close_on").is_null()).sum().cast(pl.Int64),
        open_minor=pl.col("minor").filter(is_open).sum(),
        won_year=pl.col("minor").filter(year & won).sum(),
        closed_year=pl.col("minor").filter(year).sum(),
    )


def _nodes(people: pl.DataFrame, own: pl.DataFrame, quotas: pl.DataFrame, calls: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Company, leads and people as rows, each with the sums of all below."""
    below: dict[int | None, list[int]] = {}
    facts = {r["rep_id"]: r for r in people.to_dicts()}
    for rep_id, r in facts.items():
        below.setdefault(r["manager_id"], []).append(rep_id)
    figure = {r.pop("rep_id"): r for r in own.to_dicts()}
    set_for = {(r["scope"], r["rep_id"]): r["minor"] for r in quotas.to_dicts()}
    said = {(r["rep_id"], r["category"], r["is_override"]): r for r in calls.to_dicts()}
    summed = [c for c in own.columns if c not in {"rep_id", "open_minor"}]
    here = _ever_active(people, own, quotas)

    def node(rep_id: int | None, level: int) -> list[dict[str, Any]]:
        parts = [node(b, level + 1) for b in below.get(rep_id, []) if rep_id is not None or b in here]
        heads = [p[0] for p in parts]
        row: dict[str, Any] = {"rep_id": rep_id, "level": level, "name": "Company", "lead_id": None}
        if rep_id is not None:
            row |= {"name": facts[rep_id]["name"], "lead_id": facts[rep_id]["manager_id"]}
        mine = figure.get(rep_id, {}) if rep_id is not None else {}
        for name in summed:
            row[name] = (mine.get(name) or 0) + sum(h[name] for h in heads)
        row |= _quota_of(rep_id, heads, set_for) | _call_of(rep_id, heads, said, as_of)
        return [row, *(r for p in parts for r in p)]

    return pl.DataFrame(node(None, 0), schema=ROW)


def _ever_active(people: pl.DataFrame, own: pl.DataFrame, quotas: pl.DataFrame) -> set[int]:
    """People without a lead who matter to the tree: they lead somebody, have deals, a quota, or are still here."""
    named = pl.concat([own["rep_id"], quotas["rep_id"].drop_nulls(), people["manager_id"].drop_nulls()])
    return set(named.to_list()) | set(people.filter(pl.col("left_on").is_null())["rep_id"].to_list())


def _quota_of(rep_id: int | None, heads: list[dict[str, Any]], set_for: dict[tuple[str, int | None], int]) -> dict[str, Any]:
    """The quota of a node: the one that was set, else the sum of those below and the person's own."""
    scope = "company" if rep_id is None else "team" if heads else "person"
    if (scope, rep_id) in set_for:
        return {"quota_minor": set_for[(scope, rep_id)], "quota_set": True}
    parts = [h["quota_minor"] for h in heads if h["quota_minor"] is not None]
    if heads and ("person", rep_id) in set_for:
        parts.append(set_for[("person", rep_id)])
    return {"quota_minor": sum(parts) if parts else None, "quota_set": False}


def _call_of(
    rep_id: int | None, heads: list[dict[str, Any]], said: dict[tuple[int | None, str, bool], Any], as_of: date
) -> dict[str, Any]:
    """The number that counts of each category: an override, else the person's own call, else the sum of those below."""
    row: dict[str, Any] = {"called_on": None}
    for category in CALLS:
        override, own = said.get((rep_id, category, True)), said.get((rep_id, category, False))
        parts = [h[f"{category}_call"] for h in heads if h[f"{category}_call"] is not None]
        minor, by = (sum(parts), "sum") if parts else (None, "")
        if own is not None:
            minor, by = own["minor"], "own call"
            row["called_on"] = max(filter(None, (row["called_on"], own["made_on"])))
        if override is not None and override["minor"] is not None:
            minor, by = override["minor"], "override"
        row |= {f"{category}_call": minor, f"{category}_by": by}
    row["stale_days"] = (as_of - row["called_on"]).days if row["called_on"] else None
    return row


def _rate(won: str, closed: str) -> pl.Expr:
    return pl.when(pl.col(closed) > 0).then(pl.col(won) / pl.col(closed))


def _segments(deals: pl.DataFrame, remaining: int, *, as_of: date, end: date) -> pl.DataFrame:
    """Coverage by segment: what remains of the company's quota, by what each brought in the year before."""
    year = pl.col("state").is_in(["won", "lost"]) & (pl.col("closed_on") > as_of - YEAR)
    won = pl.col("state") == "won"
    may_close = (pl.col("state") == "open") & (pl.col("close_on").is_null() | (pl.col("close_on") < end)) & pl.col("category").is_in(OPEN)  # fmt: skip
    named = deals.with_columns(segment=pl.when(pl.col("segment") == "").then(pl.lit("none")).otherwise("segment"))
    rows = named.group_by("segment").agg(
        open_minor=pl.col("minor").filter(may_close).sum(), won_year=pl.col("minor").filter(year & won).sum(),
        closed_year=pl.col("minor").filter(year).sum(),
    ).sort("segment")  # fmt: skip
    brought = rows["won_year"].to_list()
    parts = money.split(remaining, brought) if sum(brought) > 0 else [0] * len(brought)
    told = rows.with_columns(remaining_minor=pl.Series(parts, dtype=pl.Int64), win_rate=_rate("won_year", "closed_year"))
    return engine.coverage(told).drop("won_year", "closed_year")


def _won(book: pl.DataFrame, people: pl.DataFrame, start: date, end: date, currency: str) -> pl.DataFrame:
    """What everybody with all whom they lead won in a period, at the rates of its last day: rep_id (none for the company), minor."""
    inside = book.filter((pl.col("state") == "won") & (pl.col("closed_on") >= start) & (pl.col("closed_on") < end))
    own = _converted(inside, currency, end - timedelta(days=1)).group_by("rep_id").agg(pl.col("minor").sum())
    above = dict(people.select("rep_id", "manager_id").iter_rows())
    sums: dict[int | None, int] = {None: 0}
    for rep_id, minor in own.iter_rows():
        sums[None] += minor
        node = rep_id
        while node is not None:
            sums[node] = sums.get(node, 0) + minor
            node = above.get(node)
    return pl.DataFrame({"rep_id": list(sums), "minor": list(sums.values())}, schema={"rep_id": pl.Int64, "minor": pl.Int64})
