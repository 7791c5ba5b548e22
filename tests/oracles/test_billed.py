"""Files A and B through contracts and bill runs: written down by the verbs of contracts, billed by preview or run, read from charges and documents.

What a contract cannot say is named in ALONE with the reason; those cases run through the functions of the engine (test_a, test_b).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.db import transaction

from tests.oracles.agreed import FAR, MICRO, NOW, Book, Case, Deal, after, bill_all, day
from tests.oracles.published import agree, cases
from topline.billing import actions as billing
from topline.billing.models import Invoice
from topline.contracts import actions, bills, queries
from topline.contracts.models import Amendment, CreditMove
from topline.engine.rating.credit_notes import Chosen
from topline.kernel import clock, money
from topline.kernel.errors import DomainError

D = Decimal
Inputs = dict[str, Any]
JAN, FEB = date(2024, 1, 1), date(2024, 2, 1)
APR, MAY = date(2024, 4, 1), date(2024, 5, 1)
UNITS = {"1": "month", "12": "year"}
LENGTH = {7: "week", 28: "month", 29: "month", 30: "month", 31: "month", 365: "year"}
WHOLE = 10**9  # minor units of a period that is read as a share


# Prices of what is used


def rows(tiers: list[Inputs], *, of: str = "unit_price_nano") -> list[Inputs]:
    found = []
    for t in tiers:
        rate = t.get("rate") or t.get("rate_percent")
        price = {"share_ppm": int(D(rate) * 10_000)} if rate else {"unit_price_nano": int(D(t["per_unit"]) * 100 * 10**9)}
        fee = t.get("flat") or t.get("flat_major") or 0
        end = D(t["up_to"] or 0)
        edge = {"up_to_micro": int(end * MICRO)} if end % 1 else {"up_to": int(end) or None}
        found.append({**edge, **price, "flat_fee_minor": int(D(fee) * 100)})
    return found


def decimal(value: Fraction) -> Decimal:
    return D(value.numerator) / D(value.denominator)


def exact(deal: Deal) -> Fraction:
    """What the explanation of a charge adds up to, in major units, before its one rounding."""
    return sum((Fraction(str(s["minor"])) for c in deal.charges() for s in c.explained), Fraction(0)) / 100


def by_quantity(book: Book, i: Inputs) -> Case:
    if "displayed_units" in i or "full_units" in i:
        return (yield from by_days(book, i))
    price: Inputs = {"price_model": i["model"]}
    if i["model"] == "package":
        price |= {"minor": D(i["package_price_major"]) * 100, "package_micro": int(i["package_size"]) * MICRO, "included_micro": int(i["free_units"]) * MICRO}  # fmt: skip
    if "tiers" in i:
        price["tiers"] = rows(i["tiers"])
    deal = book.sign({"meter": "USED", **price}, starts=JAN, ends=FEB)
    units = D(i.get("units") or i["amount_base"])
    said = {"amount": str(D(i["event_amounts_total_cents"]) / 100)} if "event_amounts_total_cents" in i else {}
    if units:
        deal.use(units, **said)
    yield
    steps = [s for c in deal.charges() for s in c.explained]
    paid = sum(Fraction(str(s.get("units", 0))) for s in steps if s.get("unit_price_minor"))
    amount, fees = exact(deal), sum(Fraction(str(s.get("flat_fee_minor", 0))) for s in steps) / 100
    return {"units_per_tier": [D(str(s.get("units", 0))) for s in steps], "amount_major": amount, "unit_amount_major": amount / paid if paid else 0, "paid_units": paid, "flat_major": fees, "per_unit_total_major": amount - fees}  # fmt: skip


def percentage(book: Book, i: Inputs) -> Case:
    def cents(name: str) -> int | None:
        return None if i[name] is None else int(D(i[name]) * 100)

    terms = {
        "price_model": "percentage", "share_ppm": int(D(i["rate_percent"]) * 10_000), "fee_nano": int(D(i["fixed_per_event_major"]) * 100 * 10**9), "free_count": i["free_events"] and int(i["free_events"]),
        "free_minor": cents("free_amount_major"), "each_least_minor": cents("min_per_event_major"), "each_most_minor": cents("max_per_event_major"),
    }  # fmt: skip
    deal = book.sign({"meter": "USED", **terms}, starts=JAN, ends=FEB)
    deal.use(*i["event_values"])
    yield
    (step,) = deal.charges()[0].explained
    return {"amount_major": exact(deal), "free_units": D(step["free_minor"]) / 100, "free_event_count": step["given"]}


def graduated_percentage(book: Book, i: Inputs) -> Case:
    if "transactions_major" not in i:
        return (yield from by_quantity(book, i))
    deal = book.sign({"meter": "USED", "price_model": "graduated_percentage", "tiers": rows(i["tiers"])}, starts=JAN, ends=FEB)
    for value in i["transactions_major"]:  # those after the first come late, and stand as differences
        deal.use(value)
        yield
    charged = [D(c.net_minor) / 100 for c in deal.charges()]
    return {"increments_major": charged, "total_major": sum(charged)}


def weighted(book: Book, i: Inputs) -> Case:
    deal = book.sign({"meter": "LEVEL", "method": "time_weighted", "minor": 100_000}, starts=day(i["period_start"][:10]), ends=day(i["period_end_exclusive"][:10]))  # fmt: skip
    for d in i["deltas"]:
        deal.use(d["delta"], meter="LEVEL", at=datetime.fromisoformat(d["at"]))
    yield
    return {"value": Fraction(deal.charges()[0].quantity_micro, MICRO)}


def by_days(book: Book, i: Inputs) -> Case:
    """Units that count for their days: those of a case are put on days of a month that lead to its prorated units."""
    full, prorated = (
        D(i[name]) for name in (("displayed_units", "units") if "displayed_units" in i else ("full_units", "prorated_units"))
    )
    left = int(30 * prorated / full)  # days for which all of them are there at least; some stay a day longer
    longer = int(30 * prorated) - left * int(full)
    price: Inputs = {"tiers": rows(i["tiers"])} if "tiers" in i else {"minor": D(i["unit_price_major"]) * 100}
    model = {"standard": "per_unit"}.get(i["model"], i["model"])
    deal = book.sign({"meter": "HELD", "method": "day_weighted", "price_model": model, **price}, starts=APR, ends=MAY)
    for units, days in ((longer, left + 1), (int(full) - longer, left)):
        if units:
            deal.use(units, meter="HELD", at=datetime(2024, 5, 1) - timedelta(days=days))
    yield
    (step,) = deal.charges()[0].explained
    amount, fee = exact(deal), Fraction(str(step["flat_fee_minor"])) / 100
    return {"amount_major": amount, "unit_amount_major": amount / Fraction(str(step["most_held"])), "flat_major": fee, "per_unit_total_major": amount - fee}  # fmt: skip


def movements(book: Book, i: Inputs) -> Case:
    """Changes of a level, on the days that their prorated units stand for; of what goes the day itself still counts."""
    month = next(n for n in (30, 31) if all(abs(n * share - round(n * share)) < 0.01 for share in shares_of(i)))
    start = APR if month == 30 else JAN
    end = MAY if month == 30 else FEB
    deal = book.sign({"meter": "HELD", "method": "day_weighted", "price_model": "graduated", "tiers": rows(i["tiers"])}, starts=start, ends=end)  # fmt: skip
    for delta, share in zip(i["event_deltas"], shares_of(i), strict=True):
        on = end - timedelta(days=round(month * share) + (D(delta) < 0))
        deal.use(delta, meter="HELD", at=datetime(on.year, on.month, on.day, 9))
    yield
    return {"amount_major": money.round_to_step(decimal(exact(deal)), D("0.01"), "half_away")}


def shares_of(i: Inputs) -> list[D]:
    return [D(p) / D(d) for d, p in zip(i["event_deltas"], i["event_prorated_values"], strict=True)]


def held(book: Book, i: Inputs) -> Case:
    """A level by days, rounded up at five places, that other units stood before."""
    start, end = day(i["period"][0]), after(i["period"][1])
    ended = i.get("subscription_ended", "")[:10]
    changes = [(s["added"], D(1)) for s in i.get("seats", [])] + [
        (s["removed"], -D(1)) for s in i.get("seats", []) if "removed" in s
    ]
    changes += [("2020-01-01", D(c)) for c in i.get("carried", [])] + [(a["on"], D(a["delta"])) for a in i.get("additions", [])]
    book.meter("UP5", "day_weighted", rounding="ceil", round_decimals=5)
    deal = book.sign({"meter": "UP5", "minor": 100_000, "anchor": start}, starts=start, ends=after(ended) if ended else end)
    for on, units in changes:
        deal.use(units, meter="UP5", at=datetime.fromisoformat(on))
    yield
    return {"units": Fraction(deal.charges()[0].quantity_micro, MICRO)}


def blocks(book: Book, i: Inputs) -> Case:
    """Blocks of units, the last tier without an end."""
    kinds = i["units"] if isinstance(i.get("units"), dict) else {"USED": i.get("units")}
    tables = i["tiers"] if isinstance(i["tiers"], dict) else {"USED": i["tiers"]}
    model = {"all tiers": "graduated", "top tier": "volume"}[i["policy"]]
    items = []
    for kind in kinds:
        up_to, table = 0, []
        for t in tables[kind]:
            up_to += int(t["block_size"]) * int(t["max_blocks"] or 0)
            table.append({"up_to": up_to, "unit_price_nano": int(D(t["price_per_block"]) * 100 * 10**9), "block_micro": int(t["block_size"]) * MICRO})  # fmt: skip
        table[-1]["up_to"] = None
        items.append({"meter": kind, "price_model": model, "tiers": table})
    deal = book.sign(*items, starts=JAN, ends=FEB)
    if "records" in i:  # what was invoiced, and then the rest, which comes late
        first = int(D(i["already_invoiced"])) * int(i["tiers"][0]["block_size"])
        deal.use(first)
        yield
        deal.use(sum(int(r["units"]) for r in i["records"]) - first)
        yield
        was, late = deal.charges()
        return {"rated": D(was.net_minor + late.net_minor) / 100, "invoice": D(late.net_minor) / 100}
    for kind, units in kinds.items():
        deal.use(units, meter=kind)
    yield
    return {"per_tier": [D(str(s["minor"])) / 100 for c in deal.charges() for s in c.explained], "total": D(sum(deal.by_item())) / 100}  # fmt: skip


def capacity(book: Book, i: Inputs) -> Case:
    """A price by the limits of several meters, each at its peak."""
    table = [{"when": [f"{book.meter(unit, 'max') and book.name}{unit}<={limit}" for unit, limit in (t["limits"] or {}).items()], "unit_price_nano": int(t["price"]) * 100 * 10**9} for t in i["tiers"]]  # fmt: skip
    deal = book.sign({"meter": next(iter(i["peak_units"])), "method": "max", "price_model": "capacity", "tiers": table}, starts=JAN, ends=FEB)  # fmt: skip
    for unit, peak in i["peak_units"].items():
        deal.use(1, peak, meter=unit)
    yield
    return {"total": D(sum(deal.by_item())) / 100}


def least(book: Book, i: Inputs) -> Case:
    """A least amount of a period, of a part of it by its days."""
    span = i.get("covered")
    covered = (after(span[1]) - day(span[0])).days if span else int(i["covered_days"])
    full = (after(i["full_period"][1]) - day(i["full_period"][0])).days if "full_period" in i else int(i["full_days"])
    start = day(span[0]) if span else JAN
    least_minor = int(i.get("minimum_cents") or i["commitment_cents"])
    unit = "quarter" if full > 31 else "month"
    deal = book.sign({"meter": "USED", "minor": 1, "minimum_minor": least_minor, "unit": unit}, starts=start, ends=start + timedelta(days=covered))  # fmt: skip
    used = int(i.get("used_cents", 0))
    if used:
        deal.use(used)
    yield
    (charge,) = deal.charges()
    assert (charge.full_end - charge.full_start).days == full
    return {
        "true_up_cents": charge.net_minor - used, "commitment_due_cents": charge.net_minor,
        "precise_cents": Fraction(least_minor * (charge.end - charge.start).days, (charge.full_end - charge.full_start).days) - used,
    }  # fmt: skip


# Parts of periods, and changes inside them


def fee(book: Book, i: Inputs) -> Case:
    price = int(i["full_price_cents"])
    if "billed_from" in i:
        start, end, free = day(i["billed_from"]), after(i["billed_to"]), int(i["trial_days_in_period"])
        unit, anchor = LENGTH[int(i["full_period_days"])], start
    else:
        start, end, free, unit, anchor = day(i["started"]), after(i["terminated"]), 0, i["interval"], day(i["full_period"][0])
    trial = {"free_until": start + timedelta(days=free)} if free else {}
    deal = book.sign({"minor": price, "unit": unit, "anchor": anchor, **trial}, starts=start, ends=end)
    yield
    charges = deal.charges()
    if not charges:
        return {"amount_cents": 0, "billed_days": 0}
    (c,) = charges
    return {"amount_cents": c.net_minor, "billed_days": c.days, "full_period_days": c.full_days, "precise_cents": Fraction(price * c.days, c.full_days)}  # fmt: skip


def upgrade(book: Book, i: Inputs) -> Case:
    if "billed_from" in i:
        return (yield from fee(book, i))
    if "new_addon_cents" in i:
        return (yield from add_ons(book, i))
    start, end, on = day(i["full_period"][0]), after(i["full_period"][1]), day(i["changed_on"])
    deal = book.sign({"minor": i["old_price_cents"], "tax_class": book.tax(i["tax_percent"])}, starts=start, ends=end)
    yield
    plan = {"description": "New plan", "unit_price_nano": int(i["new_price_cents"]) * 10**9}
    deal.amend("plan", on, item_id=deal.item(), item=plan, mode="invoice_now")
    yield
    back = next(line for line in deal.lines() if line.net_minor < 0)
    new = deal.charges()[-1]
    return {"old_credit_note_cents": -(back.net_minor + back.tax_minor), "new_fee_cents": new.net_minor, "remaining_days": new.days}  # fmt: skip


def add_ons(book: Book, i: Inputs) -> Case:
    span = i.get("period") or i["first_period"]
    start, end, on = day(span[0]), after(span[1]), day(i["changed_on"])
    grid = {"anchor": start.replace(day=1)}
    old = {"minor": i["old_addon_cents"], "description": "Shared", **grid}
    base = [{"minor": i["old_base_cents"], "description": "Base", "in_advance": False, **grid}] if "old_base_cents" in i else []
    deal = book.sign(old, *base, starts=start, ends=end)
    yield_first = len(base)
    if yield_first:
        deal.amend("remove", on, item_id=deal.item(1))
    yield
    first = next(c.net_minor for c in deal.charges() if c.item.description == "Shared")
    known = {c.pk for c in deal.charges()}
    deal.amend("price", on, item_id=deal.item(), unit_price_nano=int(i["new_addon_cents"]) * 10**9)
    more = {"description": "New", "quantity_micro": MICRO, "unit_price_nano": int(i["new_only_addon_cents"]) * 10**9, "unit": "month", "tax_class": "none", **grid}  # fmt: skip
    deal.amend("add", on, item=more)
    yield
    later = [c for c in deal.charges() if c.pk not in known]
    return {
        "first_old_addon_cents": first, "shared_addon_due_cents": sum(c.net_minor for c in later if c.item.description == "Shared"),
        "new_addon_due_cents": sum(c.net_minor for c in later if c.item.description == "New"), "old_base_due_cents": sum(c.net_minor for c in deal.charges() if c.item.description == "Base"),
    }  # fmt: skip


def downgrade(book: Book, i: Inputs) -> Case:
    anchor, on = day(i["anchor"]), day(i["requested_on"])
    end = anchor.replace(year=anchor.year + 1)
    deal = book.sign({"minor": i["old_price_cents"], "unit": i["old_interval"]}, starts=anchor, ends=end, on_downgrade="at_period_end")  # fmt: skip
    plan = {"description": "New plan", "unit_price_nano": int(i["new_price_cents"]) * 10**9, "unit": i["new_interval"]}
    deal.amend("plan", on, item_id=deal.item(), item=plan)
    effective = Amendment.objects.get(contract_id=deal.pk).effective_on
    yield
    new = deal.charges()[-1]
    return {
        "effective_on": str(effective), "credit_note_cents": -sum(c.net_minor for c in deal.charges() if c.net_minor < 0), "first_new_fee_cents": new.net_minor,
        "new_period": [str(new.start), str(new.end - timedelta(days=1))], "new_billed_days": new.days,
    }  # fmt: skip


def terminated(book: Book, i: Inputs) -> Case:
    start, end = day(i["full_period"][0]), after(i["full_period"][1])
    item = {"minor": i["full_price_cents"], "tax_class": book.tax(i["tax_percent"]), "unit": LENGTH[(end - start).days]}
    deal = book.sign(item, starts=start, ends=end)
    yield
    deal.amend("terminate", after(i["last_billed_day"]))
    yield
    note = deal.documents()[-1]
    assert note.kind == "credit_note"
    cut = deal.charges()[-1]
    return {"unused_days": cut.full_days - cut.days, "credit_subtotal_cents": note.net_minor, "credit_tax_cents": note.tax_minor, "credit_total_cents": note.total_minor}  # fmt: skip


def after_goodwill(book: Book, i: Inputs) -> Case:
    """A change after a credit note by hand: the day's change gives back no more than that left."""
    start, end, on = day(i["item"]["start"]), day(i["item"]["end"]), day(i["changed_on"])
    plain, cut = (book.sign({"minor": D(i["item"]["amount"]) * 100}, starts=start, ends=end) for _ in range(2))
    yield
    (bill,) = cut.documents()
    adjusted = int(D(i["goodwill_adjustment"]) * 100)
    chosen = Chosen(position=1, net_minor=adjusted)
    billing.credit_invoice(actor=book.actor, invoice_id=bill.pk, issue_on=NOW, lines=[chosen], reason="Goodwill")
    for deal in (plain, cut):
        deal.amend("price", on, item_id=deal.item(), unit_price_nano=int(D(i["new_monthly_price"]) * 100 * 10**9))
    yield
    whole, back = (D(-min(c.net_minor for c in deal.charges())) / 100 for deal in (plain, cut))
    note = cut.documents()[-1]
    return {"uncapped_repair": whole, "repair": back, "new_charge": D(cut.charges()[-1].net_minor) / 100, "account_credit": D(note.net_minor) / 100}  # fmt: skip


def repair(book: Book, i: Inputs) -> Case:
    if "goodwill_adjustment" in i:
        return (yield from after_goodwill(book, i))
    items = i.get("items") or [i["item"]]
    start, end = day(items[0]["start"]), day(items[-1]["end"])
    unit = "year" if (day(items[0]["end"]) - start).days > 31 else "month"
    deal = book.sign({"minor": D(items[0]["amount"]) * 100, "unit": unit}, starts=start, ends=end)
    yield
    for on, until in i.get("pauses") or ([i["pause"]] if "pause" in i else []):
        deal.amend("pause", day(on), until=day(until))
    on = i.get("replaced_from") or i.get("changed_on") or i.get("cancelled_on") or (i["removed"][0] if "removed" in i else None)
    if on:
        deal.amend("remove", day(on), item_id=deal.item())
    yield
    kept = [D(c) / 100 for c in deal.by_item()]
    back = sum(c.net_minor for c in deal.charges() if c.net_minor < 0)
    several = "pauses" in i or "pause" in i
    if "cancelled_on" in i:
        return {"repair": D(-back) / 100, "earned": kept[0]}
    return {"kept": kept if several else kept[0], "repair": D(back) / 100, "new_item": D(i.get("new_item_amount", 0))}


# Periods


def interval(text: str) -> tuple[str, int]:
    count, _, unit = text.rpartition(" ")
    return unit.rstrip("s"), {"two": 2}.get(count) or int(count or 1)


def previewed(
    book: Book, i: Inputs, *, price: Any = WHOLE, ends: date | None = None, start: str | None = None, **item: Any
) -> Deal:
    """A contract of one item that is only looked at: the run of the others does not bill it."""
    facts = {k: item.pop(k) for k in ("month_days",) if k in item}
    return book.sign({"minor": price} | item, starts=day(start or i["start"]), ends=ends, **facts)


def cycles(book: Book, i: Inputs) -> Case:
    ends = day(i["end_exclusive"]) if i["end_exclusive"] else None
    deal = previewed(book, i, ends=ends, unit=UNITS[i.get("interval_months", "1")], day=int(i["billing_day"]))
    found = deal.shown(day(i["target"]))["net_minor"].to_list()
    deal.amend("terminate", day(i["start"]))
    return {"cycles": sum(round(Fraction(c, WHOLE), int(i["fraction_decimals"])) for c in found)}
    yield


def fixed_month(book: Book, i: Inputs) -> Case:
    start = day(i["start"])
    deal = previewed(book, i, ends=day(i["end_exclusive"]), unit="year", month_days=int(i["month_length"]))
    return {"days": deal.shown(start)["days"][0]}
    yield


def leading(book: Book, i: Inputs) -> Case:
    until = day(i["next_cycle_day"])
    found = {}
    for name, month_days in (("fraction_fixed_30", 30), ("fraction_calendar", None)):
        deal = previewed(book, i, ends=until, day=until.day, month_days=month_days)
        found[name] = Fraction(deal.shown(until)["net_minor"][0], WHOLE)
    return found
    yield


def fixed_amount(book: Book, i: Inputs) -> Case:
    end = day(i["end_exclusive"])
    deal = previewed(book, i, price=D(i["price"]) * 100, ends=end, day=end.day, month_days=int(i["month_length"]))
    return {"amount": D(deal.shown(end)["net_minor"][0]) / 100}
    yield


def next_date(book: Book, i: Inputs) -> Case:
    unit, every = interval(i["interval"])
    grid = {"day": int(i["billing_day"])} if unit == "month" else {"anchor": day(i["series_start"])}
    start = day(i["from_date"])
    deal = previewed(book, i, start=i["from_date"], ends=start + timedelta(days=90), unit=unit, every=every, **grid)
    return {"next_billing_date": str(deal.shown(start)["end"][0])}
    yield


def arrears(book: Book, i: Inputs) -> Case:
    deal = previewed(book, i, ends=day(i["target"]) + timedelta(days=90), day=int(i["billing_day"]), in_advance=False)
    return {"periods": [[str(a), str(b)] for a, b in deal.shown(day(i["target"])).select("start", "end").iter_rows()]}
    yield


def generation(book: Book, i: Inputs) -> Case:
    unit, every = interval(i.get("interval", "month"))
    grid = {"day": int(i["billing_day"])} if "billing_day" in i else {}
    price, target = D(i["prices"][0] if "prices" in i else i["price"]) * 100, day(i["target"])
    deal = previewed(book, i, price=price, ends=target + timedelta(days=200), unit=unit, every=every, **grid)
    if "prices" in i:
        plan = {"description": "New plan", "unit_price_nano": int(D(i["prices"][1]) * 100 * 10**9)}
        deal.amend("plan", day(i["changed_on"]), item_id=deal.item(), item=plan, mode="restart")
    found = deal.shown(target)
    return {"lines": found.height, "total": D(found["net_minor"].sum()) / 100, "periods": [[str(a), str(b)] for a, b in found.select("start", "end").iter_rows()]}  # fmt: skip
    yield


def ends_first(book: Book, i: Inputs) -> Case:
    deal = previewed(book, i, ends=day(i["end_exclusive"]), day=int(i["billing_day"]))
    bills.tried(lambda: deal.pk, as_of=day(i["target"]))
    return {}
    yield


def anniversary(book: Book, i: Inputs) -> Case:
    anchor = day(i["anchor"])
    advance = "count" in i or bool(i.get("current_usage"))
    deal = previewed(book, i, start=i["anchor"], ends=anchor.replace(year=anchor.year + 7, day=28), unit=i["interval"], in_advance=advance)  # fmt: skip
    on = day(i.get("asked_on") or i.get("billing_day") or str(date(anchor.year + 3, 1, 1)))
    spans = [(a, b - timedelta(days=1)) for a, b in deal.shown(on).select("full_start", "full_end").iter_rows()]
    if "count" in i:
        return {"periods": [[str(a), str(b)] for a, b in spans[: int(i["count"])]]}
    return {"period_start": str(spans[-1][0]), "period_end": str(spans[-1][1])}
    yield


def length(book: Book, i: Inputs) -> Case:
    deal = previewed(book, i, start=i["period"][0], ends=after(i["period"][1]))
    return {"days": deal.shown(after(i["period"][1]))["days"][0]}
    yield


# Discounts


def discounts(book: Book, i: Inputs) -> Case:
    fees = i.get("fees_cents") or [f["cents"] for f in i["fees"]]
    taxes = i.get("tax_percent") or ([f["tax_percent"] for f in i["fees"]] if "fees" in i else [])
    classes = [{"tax_class": book.tax(t)} for t in taxes] or [{}] * len(fees)
    deal = book.sign(*({"minor": f} | c for f, c in zip(fees, classes, strict=True)), starts=JAN, ends=FEB)
    given = i.get("coupons") or [{"fixed_cents": c} for c in i.get("coupons_cents", [i["coupon_cents"]] if "coupon_cents" in i else [])]  # fmt: skip
    if "coupon" in i:
        given = [{"fixed_cents": i.get("amount_cents"), "percent": i.get("percent")}]
    if "fees" in i:
        given = [{"fixed_cents": f["coupon_cents"], "of": n} for n, f in enumerate(i["fees"]) if f["coupon_cents"] != "0"]
    unit = {"once": "once"}.get(i.get("frequency", ""), "month")
    for n, c in enumerate(given):
        actions.add_discount(
            actor=book.actor, contract_id=deal.pk, name=f"C{n}", starts_on=JAN, unit=unit, periods=int(i["remaining_periods"]) if "remaining_periods" in i else None, share_ppm=int(D(c["percent"]) * 10_000) if c.get("percent") else None,
            amount_minor=int(c["fixed_cents"]) if c.get("fixed_cents") else None, item_id=deal.item(c["of"]) if "of" in c else None,
        )  # fmt: skip
    yield
    charged = {c.item_id: c.net_minor for c in deal.charges()}
    off = [int(f) - charged.get(deal.item(n), 0) for n, f in enumerate(fees)]
    told = queries.discounts(deal.pk, on=JAN)
    documents = deal.documents()
    net, tax = (sum(getattr(d, name) for d in documents) for name in ("net_minor", "tax_minor"))
    by_line = {line.position: line.tax_minor for line in deal.lines()}
    return {
        "discount_cents": sum(off), "per_fee_cents": off, "discount_per_fee_cents": off, "coupon_ends": not told[0]["holds"], "remaining_cents": told[0]["left_minor"], "remaining_periods": told[0]["periods_left"],
        "coupons_used": sum(1 for t in told if t["taken_minor"] > 0), "subtotal_cents": net, "fees_cents": sum(map(int, fees)), "coupons_cents": sum(off), "tax_cents": tax, "total_cents": net + tax,
        "tax_per_fee_cents": [by_line[n] for n in sorted(by_line)], "blended_tax_percent": Fraction(tax * 100, net) if net else 0,
    }  # fmt: skip


# Credits, commitments, peaks, and bills inside a period


def wallet(book: Book, i: Inputs) -> Case:
    if "top_up_credits" in i:
        deal = book.sign({"minor": 1}, starts=JAN, ends=FEB)
        units = round(D(i["top_up_credits"]) * MICRO)  # an input holds at most six decimals
        credit = deal.sell("Top-up", None, units_micro=units, unit_nano=int(D(i["rate"]) * 100 * 10**9), unit_name="credits")
        yield
        return {"credits": D(credit.units_micro or 0) / MICRO, "invoice_cents": credit.invoice and credit.invoice.total_minor, "balance_cents": credit.amount_minor}  # fmt: skip
    if "fee_exact_cents" in i:
        ours = own(book, tax_rounding="document")
        items = [{"minor": c, "tax_class": book.tax(i["tax_percent"])} for c in i["fee_exact_cents"]]
        deal = ours.sign(*items, starts=JAN, ends=FEB)
        deal.sell("Wallet", int(i["wallet_balance_cents"]))
        ours.bill()
        (bill,) = deal.documents()[1:]
        left = bill.total_minor - bill.from_credits_minor
        return {"fees_cents": bill.net_minor, "tax_cents": bill.tax_minor, "total_before_credit_cents": bill.total_minor, "prepaid_credit_cents": bill.from_credits_minor, "total_cents": left}  # fmt: skip
    items = [
        {"description": e["metric"], "meter": e["metric"], "minor": D(e["price"]) * 100} | ({"tax_class": book.tax(e["tax_percent"])} if "tax_percent" in e else {})
        for e in i["events_major"]
    ]  # fmt: skip
    deal = book.sign(*items, starts=JAN, ends=FEB)
    only = [f"meter:{book.meter(code)}" for code in i["wallet_limited_to"]]
    start = deal.sell("Wallet", int(D(i["wallet_major"]) * 100), pays_for=only).left_minor
    for e in i["events_major"]:
        deal.use(1, meter=e["metric"])
    yield
    paid = {m.position: -m.amount_minor for m in CreditMove.objects.filter(kind="drawn", credit__contract_id=deal.pk)}
    used = [paid.get(n, 0) for n in range(1, len(items) + 1)]
    return {"credit_used_major": [D(u) / 100 for u in used], "balance_after_major": [D(start - sum(used[: n + 1])) / 100 for n in range(len(used))]}  # fmt: skip


def wallets_in_turn(book: Book, i: Inputs) -> Case:
    kinds = {"usage": {"meter": "USED"}, "base": {}}
    fees = i["fees_incl_tax_cents"]
    deal = book.sign(*({"minor": 1 if f["kind"] == "usage" else f["cents"]} | kinds[f["kind"]] for f in fees), starts=JAN, ends=FEB)  # fmt: skip
    scope = {"usage": ["use"], "base": ["fees"]}
    for n, w in enumerate(i["wallets_in_priority_order"]):
        only = [] if w["scope"] == "all" else [one for s in w["scope"] for one in scope[s]]
        deal.sell(w["name"], int(w["balance_cents"]), priority=n, pays_for=only)
    for f in fees:
        if f["kind"] == "usage":
            deal.use(f["cents"])
    yield
    drawn: dict[str, int] = {}
    for m in CreditMove.objects.filter(kind="drawn", credit__contract_id=deal.pk).select_related("credit"):
        drawn[m.credit.name] = drawn.get(m.credit.name, 0) - m.amount_minor
    return {"drawn_cents": drawn}


def pledge(least: Any, **facts: Any) -> Inputs:
    return {"description": "Commitment", "price_model": "commitment", "minimum_minor": int(least), **facts}


def true_up(book: Book, i: Inputs) -> Case:
    span = i.get("period") or i["first_period"]
    start, end = day(span[0]), after(span[1])
    grid = {"anchor": start.replace(day=1)}
    items = [{"minor": i["base_cents"], "description": "Base", **grid}, pledge(i["commitment_cents"], **grid)]
    if "usage_cents" in i:
        items.append({"meter": "USED", "minor": 1, "description": "Use", **grid})
    ends = end if "downgrade_applied" not in i else end.replace(year=end.year + 1)
    deals = [book.sign(*items, starts=start, ends=ends) for _ in range(2)]
    if "coupon_cents" in i:
        actions.add_discount(actor=book.actor, contract_id=deals[0].pk, name="Coupon", starts_on=start, unit="month", amount_minor=int(i["coupon_cents"]))  # fmt: skip
    if "downgrade_applied" in i:
        deals[0].amend("price", day(i["downgrade_applied"][:10]), item_id=deals[0].item(), unit_price_nano=10**9)
    for deal in deals:
        if "usage_cents" in i:
            deal.use(i["usage_cents"], at=datetime(start.year, start.month, start.day, 12))
    yield
    told = []
    for deal in deals:
        first = [c for c in deal.charges() if c.start == start]
        filled = next(c for c in first if c.item.description == "Commitment")
        told.append({"true_up_cents": filled.net_minor, "base_cents": first[0].net_minor, "total_cents": sum(c.net_minor for c in first), "period_billed": [str(filled.start), str(filled.end - timedelta(days=1))]})  # fmt: skip
    return {**told[0], "true_up_cents_without_coupon": told[1]["true_up_cents"]}


def minimum(book: Book, i: Inputs) -> Case:
    if "used_by_filter_cents" not in i:
        return (yield from least(book, i))
    tax, start = {"tax_class": book.tax(i["tax_percent"])}, day(i["covered"][0])
    used = i["used_by_filter_cents"]
    deal = book.sign(*({"meter": f"F{n}", "minor": 1, **tax} for n in range(len(used))), pledge(i["minimum_cents"], **tax), starts=start, ends=after(i["covered"][1]))  # fmt: skip
    for n, cents in enumerate(used):
        if cents != "0":
            deal.use(cents, meter=f"F{n}", at=datetime(start.year, start.month, start.day, 12))
    yield
    (document,) = deal.documents()
    line = deal.lines()[-1]
    assert (start + timedelta(days=int(i["full_days"]))).day == 1
    return {"true_up_cents": line.net_minor, "true_up_tax_cents": line.tax_minor, "invoice_fees_cents": document.net_minor, "invoice_tax_cents": document.tax_minor}  # fmt: skip


def seats(book: Book, i: Inputs) -> Case:
    first, *others = (int(q) for q in i["quantity_sequence"])
    deal = book.sign({"minor": i["unit_price_cents"], "quantity_micro": first * MICRO, "by_peak": True}, starts=JAN, ends=FEB)
    for n, quantity in enumerate(others):
        yield
        deal.amend("quantity", date(2024, 1, 10 + n), item_id=deal.item(n), quantity_micro=quantity * MICRO)
    yield
    charged = {c.item_id: c.net_minor for c in deal.charges()}
    return {"invoice_amounts_cents": [charged.get(deal.item(n), 0) for n in range(len(i["quantity_sequence"]))]}


def rounded(book: Book, i: Inputs) -> Case:
    decimals = int(i["decimals"] or 0)
    code = f"{i['function']}{decimals}"
    book.meter(code, rounding=i["function"], round_decimals=decimals)
    deal = book.sign({"meter": code, "minor": 1}, starts=JAN, ends=FEB)
    deal.use(i["units"], meter=code)
    yield
    return {"units": Fraction(deal.charges()[0].quantity_micro or 0, MICRO)}


def own(book: Book, time_zone: str = "UTC", **facts: str) -> Book:
    """A company of its own, whose runs no other case waits for."""
    book.count += 1
    return Book(f"{book.name}own{book.count}", time_zone, **facts)


def progressive(book: Book, i: Inputs) -> Case:
    """Runs of days inside a period, each billed on its day."""
    ours, use = own(book), {"meter": "USED", "minor": 1, "description": "Use"}

    def billed(on: date) -> int | None:
        known = {c.pk for c in deal.charges()}
        with clock.at(on):
            ours.bill(on)
        return sum(c.net_minor for c in deal.charges() if c.pk not in known) or None

    if "usage_steps_cents" in i:
        every = {"bill_every_minor": int(i["recurring_threshold_cents"])} if i["recurring_threshold_cents"] else {}
        deal = ours.sign(use | {"bill_at_minor": [int(v) for v in i["thresholds_cents"]]} | every, starts=JAN, ends=FEB)
        found = []
        for n, cents in enumerate(i["usage_steps_cents"]):
            deal.use(cents, at=datetime(2024, 1, 5 + n))
            found.append(billed(date(2024, 1, 5 + n)))
        rest = billed(FEB) or 0
        fees = sum(c.net_minor for c in deal.charges())
        return {"invoices_cents": found, "period_fees_cents": fees, "progressive_credit_cents": fees - rest, "final_usage_due_cents": rest}  # fmt: skip
    if "base_cents" in i:
        start, on = day(i["period"][0]), day(i["terminated"])
        use |= {"bill_at_minor": [int(i["progressive_invoiced_cents"])]}
        deal = ours.sign({"minor": i["base_cents"], "in_advance": False, "description": "Base"}, use, starts=start)
        deal.use(i["usage_cents"], at=datetime(on.year, on.month, 5))
        early = billed(on.replace(day=6)) or 0
        deal.amend("terminate", on if i["replaced_by_upgrade"] else after(i["terminated"]))
        last = billed(FAR) or 0
        return {"fees_cents": early + last, "credit_cents": early, "total_cents": last}
    steps = [int(v) for v in i["progressive_invoices_on_charge_1_cents"]]
    deal = ours.sign(use | {"bill_at_minor": steps}, {"meter": "OTHER", "minor": 1, "description": "Other"}, starts=JAN, ends=FEB)
    for n, upto in enumerate(steps):
        deal.use(upto - (steps[n - 1] if n else 0), at=datetime(2024, 1, 5 + n))
        billed(date(2024, 1, 5 + n))
    one, two = (int(v) for v in i["charge_fees_cents"])
    deal.use(one - steps[-1], at=datetime(2024, 1, 20)), deal.use(two, meter="OTHER", at=datetime(2024, 1, 20))
    before = deal.charges()[-1].pk
    billed(FEB)
    back = next(c.net_minor for c in deal.charges() if c.pk > before and c.item.description == "Use")
    assert deal.by_item() == [one, two]
    return {"credit_cents": steps[-1] + back, "new_credit_note_cents": -back}
    yield


# Days of a company


def local_week(book: Book, i: Inputs) -> Case:
    ours = own(book, i["timezone"])
    with clock.at(datetime.fromisoformat(i["started_utc"]).replace(tzinfo=UTC)):
        start = clock.today(ours.entity.time_zone)
    deal = ours.sign({"minor": i["price_cents"], "unit": "week", "anchor": start - timedelta(days=start.weekday())}, starts=start)
    found = deal.shown(start)
    return {"billed_days": found["days"][0], "amount_cents": found["net_minor"][0]}
    yield


def local_month(book: Book, i: Inputs) -> Case:
    """Of four events, the two that lie in the month that is closed by then where the company is."""
    ours = own(book, i["timezone"])
    bounds = [datetime(2022, 1, 1, 5), datetime(2022, 2, 1, 4, 59, 59)]
    deal = ours.sign({"meter": "USED", "minor": 1}, starts=date(2021, 12, 1))
    for at, units in ((bounds[0] - timedelta(seconds=1), 1), (bounds[0], 10), (bounds[1], 100), (bounds[1] + timedelta(seconds=1), 1_000)):  # fmt: skip
        deal.use(units, at=at)
    with clock.at(datetime.fromisoformat(i["billing_day"]).replace(tzinfo=UTC)):
        today = clock.today(ours.entity.time_zone)
        ours.bill(today)
    last = deal.charges()[-1]
    assert (last.full_start, last.net_minor) == (date(2022, 1, 1), 110)
    return {"period_start_utc": bounds[0].isoformat(), "period_end_utc": bounds[1].isoformat()}
    yield


def local_day(book: Book, i: Inputs) -> Case:
    ours = own(book, i["account_timezone"])
    with clock.at(datetime.fromisoformat(i["started_utc"]).replace(tzinfo=UTC)):
        start = clock.today(ours.entity.time_zone)
    deal = ours.sign({"minor": 1}, starts=start)
    return {"billing_day": deal.shown(start)["full_start"][0].day}
    yield


def timeline(book: Book, i: Inputs) -> Case:
    """Subscriptions of one company with phases and ends, each said and billed on its day."""
    ours, changes = own(book), []
    for s in i["subscriptions"]:
        first, *others = s["phases"]
        deal = ours.sign({"minor": D(first["monthly"]) * 100, "day": int(s["billing_day"])}, starts=day(first["start"]))
        for n, phase in enumerate(others):
            price = {"unit_price_nano": int(D(phase.get("annual") or phase["monthly"]) * 100 * 10**9)}
            if "annual" in phase:
                plan = {"description": "Annual", "unit": "year", "anchor": day(phase["start"]), **price}
                changes.append((phase["start"], deal, "plan", {"place": n, "item": plan, "mode": "restart"}))
            else:
                changes.append((phase["start"], deal, "price", {"place": n, **price}))
        if "cancelled" in s:
            changes.append((s["cancelled"], deal, "terminate", {}))
    found = []
    for on in sorted({on for on, *_ in changes} | {on for on, _ in cases_by_id("B")["B-GEN-5"]["expected"]["invoices"]}):
        for _, deal, kind, said in (c for c in changes if c[0] == on):
            place = {"item_id": deal.item(said.pop("place"))} if "place" in said else {}
            deal.amend(kind, day(on), **place, **said)
        with clock.at(day(on)):
            ours.bill(day(on))
        mine = Invoice.objects.filter(entity=ours.entity, issued_on=day(on))
        found.append([on, D(sum(d.net_minor if d.kind == "invoice" else -d.net_minor for d in mine)) / 100])
    return {"invoices": found}
    yield


def cases_by_id(name: str) -> dict[str, Any]:
    return {c["id"]: c for c in cases(name)}


THROUGH = {
    "A": {
        "standard": by_days, "graduated.prorated": movements, "aggregation.prorated_unique": held, "aggregation.prorated_sum": held, "graduated": by_quantity, "volume": by_quantity, "package": by_quantity, "dynamic": by_quantity, "percentage": percentage, "graduated_percentage": graduated_percentage, "aggregation.weighted_sum": weighted,
        "minimum.charge": minimum, "commitment.prorate": least, "proration.start": fee, "proration.trial": fee, "proration.termination": fee, "proration.upgrade": upgrade, "proration.downgrade": downgrade,
        "credit_note.termination": terminated, "coupon": discounts, "coupon.tax": discounts, "tax.blended": discounts, "period.anniversary": anniversary, "period.length": length,
        "wallet": wallet, "wallet.allocation": wallets_in_turn, "commitment.true_up": true_up, "seats.in_advance": seats, "aggregation.rounding": rounded, "progressive_billing": progressive, "period.calendar": local_month, "period.timezone": local_week,
    },
    "B": {
        "alignment.cycles": cycles, "alignment.validation": ends_first, "daycount.fixed_month": fixed_month, "proration.leading": leading, "proration.fixed_month": fixed_amount, "alignment.next_date": next_date,
        "alignment.arrears": arrears, "repair": repair, "repair.credit": repair, "generation": generation, "usage.all_tiers": blocks, "usage.top_tier": blocks, "usage.catch_up": blocks, "usage.capacity": capacity, "alignment.timezone": local_day, "generation.timeline": timeline,
    },
}  # fmt: skip
# What a contract cannot say, so that only the engine's functions are tested with it.
AREAS_ALONE = {
    "credit_note.rounding": "credit notes by hand are no part of a run", "credit_note.coupon": "credit notes by hand are no part of a run",
}  # fmt: skip
ALONE = {
    "A-PGRAD-1": "its changes are on days that do not follow each other", "A-PGRAD-9": "its changes are on days that do not follow each other", "A-CPN-13": "discounts are shared in whole cents",
    "B-REP-12": "the days were billed by another contract", "B-REP-15": "the database refuses it: tests/contracts",
}  # fmt: skip
FILES = {name: [c for c in cases(name) if c["check"] != "disputed"] for name in THROUGH}
READY = {name: [c for c in every if c["area"] in THROUGH[name] and c["id"] not in ALONE] for name, every in FILES.items()}


@pytest.fixture(scope="module")
def billed(shared, django_db_setup, django_db_blocker):
    """The figures of all cases, billed together in one database that is thrown away."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield {name: bill_all(name, ready, THROUGH[name]) for name, ready in READY.items()}
        transaction.set_rollback(True)


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "case"), [(name, c) for name, ready in READY.items() for c in ready], ids=[c["id"] for ready in READY.values() for c in ready])  # fmt: skip
def test_a_published_case_comes_out_of_the_bill_as_published(billed, name, case):
    found = billed[name][case["id"]]
    if case["expected"].get("result") == "error":
        assert isinstance(found, DomainError)
        return
    if isinstance(found, Exception):
        raise found
    for figure, value in case["expected"].items():
        assert agree(found[figure], value, Fraction(case.get("tolerance", 0))), (figure, found[figure], value, case["note"])


def test_what_only_the_engine_can_say_is_named_with_its_reason(shared, capsys):
    every = {c["id"] for found in FILES.values() for c in found}
    assert set(ALONE) <= every and not set(AREAS_ALONE) & {a for areas in THROUGH.values() for a in areas}
    with capsys.disabled():
        for name, found in FILES.items():
            left = {c["id"]: ALONE.get(c["id"]) or AREAS_ALONE[c["area"]] for c in found if c not in READY[name]}
            print(f"\noracles {name}, billed by contracts: {len(READY[name])} of {len(found)}; by the engine alone {len(left)}: {left}", end="")  # fmt: skip
