"""File A through the rating engine: usage prices, proration, periods, commitments, coupons, prepaid credits, credit notes.

Periods in the file end on their last day; ours end on the next (`after`).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from tests.oracles.published import publish
from topline.engine import metering, periods, rating
from topline.engine.documents import round_half_away
from topline.engine.periods import Grid
from topline.engine.rating import commitments, credit_notes, prepaid, proration, tiers
from topline.kernel import money

D = Decimal
Inputs = dict[str, Any]
NO_DATE = pl.lit(None, dtype=pl.Date)


def day(text: str) -> date:
    return date.fromisoformat(text)


def after(text: str) -> date:
    return day(text) + timedelta(days=1)


def ppm(percent: str) -> int:
    return int(D(percent) * 10_000)


def one(frame: pl.DataFrame) -> dict[str, Any]:
    return frame.row(0, named=True)


def decimal(value: Any) -> Decimal | None:
    return None if value is None else D(str(value))


# Prices by quantity


def tier_table(rows: list[Inputs], *, scale: int = 1) -> pl.DataFrame:
    lower, table = D(0), []
    for row in rows:
        upper = decimal(row["up_to"])
        table.append(
            {
                "price_id": 1, "lower": lower, "upper": upper and upper * scale,
                "unit_price": D(row.get("per_unit") or D(row.get("rate") or row.get("rate_percent")) / 100),
                "flat_fee": D(row.get("flat") or row["flat_major"]) * scale,
            }
        )  # fmt: skip
        lower = (upper or lower) * scale
    return pl.DataFrame(table, schema_overrides={"upper": pl.Decimal(38, 15)})


def rated(i: Inputs) -> rating.Rated:
    price: Inputs = {"price_id": 1, "model": {"standard": "per_unit"}.get(i["model"], i["model"])}
    price |= {"unit_price": decimal(i.get("unit_price_major")), "included_units": decimal(i.get("free_units"))}
    if i["model"] == "package":
        price |= {"unit_price": D(i["package_price_major"]), "package_size": D(i["package_size"])}
    full = i.get("displayed_units") or i.get("full_units") or i.get("units") or i.get("amount_base")
    charge: Inputs = {"charge_id": 1, "price_id": 1, "quantity": D(full)}
    if "displayed_units" in i or "full_units" in i:
        charge["billed"] = D(i.get("prorated_units") or i["units"])
    if "event_amounts_total_cents" in i:
        charge["event_amount"] = D(i["event_amounts_total_cents"])
    table = tier_table(i["tiers"]) if "tiers" in i else None
    return rating.rate(pl.DataFrame([charge]), prices=pl.DataFrame([price]), tiers=table)


def by_quantity(i: Inputs) -> Inputs:
    found = rated(i)
    steps = found.rows.filter(pl.col("kind") == "tier")
    fees = sum(steps["flat_fee"].drop_nulls().to_list(), D(0))
    amount = found.lines["exact"][0]
    paid = steps.filter(pl.col("unit_price") > 0)["units"]
    return {
        "amount_major": amount, "unit_amount_major": found.lines["unit_exact"][0], "units_per_tier": steps["units"].to_list(), "flat_major": fees,
        "per_unit_total_major": amount - fees, "paid_units": sum(paid.to_list(), D(0)),
    }  # fmt: skip


def graduated_percentage(i: Inputs) -> Inputs:
    if "transactions_major" not in i:
        return by_quantity(i)
    price = pl.DataFrame([{"price_id": 1, "model": "graduated_percentage"}])
    totals, running = [], D(0)
    for value in i["transactions_major"]:
        running += D(value)
        charge = pl.DataFrame([{"charge_id": 1, "price_id": 1, "quantity": running}])
        totals.append(rating.rate(charge, prices=price, tiers=tier_table(i["tiers"])).lines["exact"][0])
    return {"increments_major": [b - a for a, b in zip([D(0), *totals], totals, strict=False)], "total_major": totals[-1]}


def movements(i: Inputs) -> Inputs:
    frame = pl.DataFrame(
        {
            "charge_id": 1, "price_id": 1, "units": [D(v) for v in i["event_deltas"]], "prorated": [D(v) for v in i["event_prorated_values"]],
        }
    )  # fmt: skip
    exact = rating.rate_movements(frame, tiers=tier_table(i["tiers"])).lines["exact"][0]
    mode = {"ceil": "up", "half_up": "half_away"}[i["compare"]["rounding_2dp"]]
    return {"amount_major": money.round_to_step(exact, D("0.01"), mode)}


def percentage(i: Inputs) -> Inputs:
    price = {
        "price_id": 1, "rate": D(i["rate_percent"]) / 100, "fixed_fee": D(i["fixed_per_event_major"]), "free_count": decimal(i["free_events"]),
        "free_amount": decimal(i["free_amount_major"]), "minimum": decimal(i["min_per_event_major"]), "maximum": decimal(i["max_per_event_major"]),
    }  # fmt: skip
    values = pl.DataFrame({"charge_id": 1, "price_id": 1, "value": [D(v) for v in i["event_values"]]})
    found = rating.rate_percentage(values, prices=pl.DataFrame([price]))
    free = found.rows
    return {
        "amount_major": found.lines["exact"][0], "free_units": sum(free["free"].to_list(), D(0)), "free_event_count": free["wholly_free"].sum(),
    }  # fmt: skip


# Metering


def weighted(i: Inputs) -> Inputs:
    start, end = (datetime.fromisoformat(i[k]) for k in ("period_start", "period_end_exclusive"))
    events = pl.DataFrame(
        {
            "event_id": range(len(i["deltas"])), "meter_id": 1, "at": [datetime.fromisoformat(d["at"]) for d in i["deltas"]],
            "value": [D(d["delta"]) for d in i["deltas"]], "period_start": start, "period_end": end, "subscription": 1,
        }
    )  # fmt: skip
    meters = pl.DataFrame({"meter_id": [1], "method": ["time_weighted"]})
    return {"value": metering.measure(events, meters=meters, by=["subscription"])["quantity"][0]}


def unit_rounding(i: Inputs) -> Inputs:
    units = pl.select(metering.round_units(pl.lit(D(i["units"])), mode=i["function"], decimals=int(i["decimals"] or 0)))
    return {"units": units.item()}


def held(rows: list[tuple[Decimal, str, str | None]], i: Inputs) -> Inputs:
    """Units that came on a day, and went on one."""
    start, end = day(i["period"][0]), after(i["period"][1])
    changes = [(max(day(f), start), u) for u, f, _ in rows] + [(day(u), -units) for units, _, u in rows if u]
    frame = pl.DataFrame(
        {
            "event_id": range(len(changes)), "meter_id": 1, "at": [datetime(on.year, on.month, on.day) for on, _ in changes], "value": [v for _, v in changes],
            "period_start": datetime(start.year, start.month, start.day), "period_end": datetime(end.year, end.month, end.day), "subscription": 1,
        }
    )  # fmt: skip
    meters = pl.DataFrame({"meter_id": [1], "method": ["day_weighted"]})
    total = metering.measure(frame, meters=meters, by=["subscription"])["quantity"][0]
    return {"units": pl.select(metering.round_units(pl.lit(total), mode="ceil", decimals=5)).item()}


def prorated_unique(i: Inputs) -> Inputs:
    ended = i.get("subscription_ended", "")[:10] or None
    return held([(D(1), s["added"], s.get("removed") or ended) for s in i["seats"]], i)


def prorated_sum(i: Inputs) -> Inputs:
    rows = [(D(c), i["period"][0], None) for c in i["carried"]] + [(D(a["delta"]), a["on"], None) for a in i["additions"]]
    return held(rows, i)


# Proration and changes of plan


def part(price: str | int, start: date, end: date, full_start: date, full_end: date, free: int = 0) -> Inputs:
    row = {
        "price_minor": int(price),
        "start": start,
        "end": end,
        "full_start": full_start,
        "full_end": full_end,
        "free_days": free,
    }
    found = one(proration.prorate(pl.DataFrame([row])))
    return {
        "amount_cents": found["amount_minor"], "billed_days": found["billed"], "precise_cents": found["exact"], "full_period_days": found["full"],
    }  # fmt: skip


def fee(i: Inputs) -> Inputs:
    if "full_price_cents" in i and "billed_from" in i:
        start = day(i["billed_from"])
        end = start + timedelta(days=int(i["full_period_days"]))
        return part(i["full_price_cents"], start, after(i["billed_to"]), start, end, int(i["trial_days_in_period"]))
    full = [day(i["full_period"][0]), after(i["full_period"][1])]
    return part(i["full_price_cents"], day(i["started"]), after(i["terminated"]), *full)


def changed(
    old: int, new: int, start: date, end: date, on: date, *, mode: str, paid: int | None = None, paid_from: date | None = None
) -> Inputs:
    row = {
        "old_price_minor": old, "new_price_minor": new, "paid_minor": old if paid is None else paid, "paid_from": paid_from or start,
        "full_start": start, "full_end": end, "changed_on": on, "mode": mode,
    }  # fmt: skip
    return one(proration.change(pl.DataFrame([row])))


def upgrade(i: Inputs) -> Inputs:
    if "billed_from" in i:
        return fee(i)
    if "new_addon_cents" in i:
        return upgrade_with_add_ons(i)
    start, end, on = day(i["full_period"][0]), after(i["full_period"][1]), day(i["changed_on"])
    found = changed(int(i["old_price_cents"]), int(i["new_price_cents"]), start, end, on, mode="invoice_now")
    credit = {
        "price_minor": int(i["old_price_cents"]), "left_minor": int(i["old_price_cents"]), "tax_rate_ppm": ppm(i["tax_percent"]),
        "start": start, "end": end, "ended_on": on,
    }  # fmt: skip
    credited = one(proration.unused_credit(pl.DataFrame([credit])))
    return {
        "old_credit_note_cents": credited["credit_total_minor"], "new_fee_cents": found["charge_minor"], "remaining_days": credited["unused_days"],
    }  # fmt: skip


def upgrade_with_add_ons(i: Inputs) -> Inputs:
    span = i.get("period") or i["first_period"]
    paid_from, end, on = day(span[0]), after(span[1]), day(i["changed_on"])
    start = paid_from.replace(day=1)
    first = part(i["old_addon_cents"], paid_from, end, start, end)["amount_cents"]
    shared = changed(
        int(i["old_addon_cents"]),
        int(i["new_addon_cents"]),
        start,
        end,
        on,
        mode="with_next_invoice",
        paid=first,
        paid_from=paid_from,
    )
    new = part(i["new_only_addon_cents"], on, end, start, end)["amount_cents"]
    base = part(i.get("old_base_cents", 0), start, on, start, end)["amount_cents"]
    return {
        "first_old_addon_cents": first, "shared_addon_due_cents": shared["due_minor"], "new_addon_due_cents": new, "old_base_due_cents": base,
    }  # fmt: skip


def downgrade(i: Inputs) -> Inputs:
    row = {
        "old_price_minor": int(i["old_price_cents"]), "old_unit": i["old_interval"], "old_every": 1, "new_price_minor": int(i["new_price_cents"]),
        "new_unit": i["new_interval"], "new_every": 1,
    }  # fmt: skip
    assert one(proration.direction(pl.DataFrame([row])))["direction"] == "downgrade"
    frame = pl.DataFrame({"on": [day(i["requested_on"])]})
    old = one(periods.periods_holding(periods.add_items(frame, grid=Grid(day(i["anchor"]), i["old_interval"])), on="on"))
    found = changed(
        row["old_price_minor"], row["new_price_minor"], old["full_start"], old["full_end"], old["on"], mode="at_period_end"
    )
    effective = found["effective_on"]
    new = one(
        periods.periods_holding(
            periods.add_items(pl.DataFrame({"on": [effective]}), grid=Grid(day(i["anchor"]), i["new_interval"])), on="on"
        )
    )
    stub = part(row["new_price_minor"], effective, new["full_end"], new["full_start"], new["full_end"])
    return {
        "effective_on": str(effective), "credit_note_cents": found["credit_minor"], "first_new_fee_cents": stub["amount_cents"],
        "new_period": [str(effective), str(new["full_end"] - timedelta(days=1))], "new_billed_days": stub["billed_days"],
    }  # fmt: skip


def seats(i: Inputs) -> Inputs:
    frame = pl.DataFrame(
        {"item_id": 1, "quantity": [int(q) for q in i["quantity_sequence"]], "unit_price": D(i["unit_price_cents"])}
    )
    return {"invoice_amounts_cents": tiers.rate_above_peak(frame)["amount_minor"].to_list()}


# Credit notes


def note_on_termination(i: Inputs) -> Inputs:
    price = int(i["full_price_cents"])
    row = {
        "price_minor": price, "left_minor": price, "tax_rate_ppm": ppm(i["tax_percent"]), "start": day(i["full_period"][0]),
        "end": after(i["full_period"][1]), "ended_on": after(i["last_billed_day"]),
    }  # fmt: skip
    found = one(proration.unused_credit(pl.DataFrame([row])))
    return {
        "unused_days": found["unused_days"], "credit_subtotal_cents": found["credit_minor"], "credit_tax_cents": found["credit_tax_minor"],
        "credit_total_cents": found["credit_total_minor"],
    }  # fmt: skip


def note_rounding(i: Inputs) -> Inputs:
    invoice = totals([{"amount": v, "tax": i["tax_percent"]} for v in i["invoice_items_cents"]])
    notes = pl.DataFrame(
        {
            "invoice_id": 1, "net_minor": [int(v) for v in i["credited_in_order_cents"]], "invoice_net_minor": invoice["net_minor"],
            "invoice_tax_minor": invoice["tax_minor"], "tax_rate_ppm": ppm(i["tax_percent"]),
        }
    )  # fmt: skip
    found = credit_notes.credited_tax(notes)
    return {
        "invoice_tax_cents": invoice["tax_minor"], "invoice_total_cents": invoice["gross_minor"], "credit_taxes_cents": found["tax_minor"].to_list(),
        "credit_totals_cents": found["total_minor"].to_list(),
    }  # fmt: skip


def note_with_coupon(i: Inputs) -> Inputs:
    row = {
        "amount_minor": int(i["fee_cents"]), "discount_minor": int(i["coupon_on_fee_cents"]), "credited_minor": int(i["credited_part_cents"]),
        "tax_rate_ppm": ppm(i["tax_percent"]),
    }  # fmt: skip
    found = one(credit_notes.credited_discount(pl.DataFrame([row])))
    return {
        "coupon_adjustment_cents": found["back_minor"], "credit_subtotal_cents": found["net_minor"], "credit_tax_cents": found["tax_minor"],
        "credit_total_cents": found["total_minor"],
    }  # fmt: skip


# Discounts and tax


def fee_frame(rows: list[Inputs]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "invoice_id": 1, "fee_id": range(len(rows)), "product": [r.get("product", "") for r in rows],
            "amount_minor": [int(r["amount"]) for r in rows], "tax_rate_ppm": [ppm(r.get("tax", "0")) for r in rows],
        }
    )  # fmt: skip


def discount_frame(rows: list[Inputs]) -> pl.DataFrame:
    kinds = {
        "percent_ppm": pl.Int64, "fixed_minor": pl.Int64, "products": pl.List(pl.String), "frequency": pl.String, "periods_left": pl.Int64
    }  # fmt: skip
    return pl.DataFrame(
        [
            {
                "invoice_id": 1, "discount_id": n, "position": n, "percent_ppm": r.get("percent") and ppm(r["percent"]),
                "fixed_minor": r.get("fixed") and int(r["fixed"]), "products": r.get("products"), "frequency": r.get("frequency", "forever"),
                "periods_left": r.get("periods") and int(r["periods"]),
            }
            for n, r in enumerate(rows)
        ],
        schema={"invoice_id": pl.Int64, "discount_id": pl.Int64, "position": pl.Int64, **kinds},
    )  # fmt: skip


def totals(rows: list[Inputs], discounts: list[Inputs] | None = None) -> Inputs:
    found = rating.apply_discounts(fee_frame(rows), discount_frame(discounts or []))
    return one(rating.taxed(found.fees).invoices)


def coupon(i: Inputs) -> Inputs:
    if "coupons" in i:
        given = [{"fixed": c.get("fixed_cents"), "percent": c.get("percent")} for c in i["coupons"]]
    else:
        frequency = {"recurring": "periods"}.get(i["frequency"], i["frequency"])
        given = [
            {
                "fixed": i.get("amount_cents"),
                "percent": i.get("percent"),
                "frequency": frequency,
                "periods": i.get("remaining_periods"),
            }
        ]
    found = rating.apply_discounts(fee_frame([{"amount": v} for v in i["fees_cents"]]), discount_frame(given))
    taken = found.discounts["taken_minor"]
    first = one(found.discounts)
    return {
        "discount_cents": taken.sum(), "per_fee_cents": found.fees["discount_minor"].to_list(), "coupon_ends": first["ended"],
        "remaining_cents": first["remaining_minor"], "remaining_periods": first["periods_left"], "coupons_used": (taken > 0).sum(),
        "subtotal_cents": found.fees["amount_minor"].sum() - taken.sum(),
    }  # fmt: skip


def coupon_and_tax(i: Inputs) -> Inputs:
    rows = [
        {"amount": a, "tax": t}
        for a, t in zip(i["fees_cents"], i["tax_percent"] * (len(i["fees_cents"]) // len(i["tax_percent"])), strict=True)
    ]
    given = [{"fixed": c} for c in i.get("coupons_cents", [i.get("coupon_cents")]) if c]
    for n, c in enumerate(i.get("coupons", [])):
        if "only_fees" in c:
            for place in c["only_fees"]:
                rows[int(place) - 1]["product"] = f"group {n}"
        given.append({"fixed": c["fixed_cents"], "products": [f"group {n}"] if "only_fees" in c else None})
    found = rating.apply_discounts(fee_frame(rows), discount_frame(given))
    tax = rating.taxed(found.fees)
    invoice = one(tax.invoices)
    return {
        "discount_per_fee_cents": found.fees["discount_exact"].to_list(), "tax_per_fee_cents": tax.fees["tax_minor"].to_list(),
        "fees_cents": invoice["fees_minor"], "coupons_cents": invoice["discount_minor"], "discount_cents": invoice["discount_minor"],
        "subtotal_cents": invoice["net_minor"], "tax_cents": invoice["tax_minor"], "total_cents": invoice["gross_minor"],
    }  # fmt: skip


def blended(i: Inputs) -> Inputs:
    rows = [{"amount": f["cents"], "tax": f["tax_percent"], "product": str(n)} for n, f in enumerate(i["fees"])]
    given = [{"fixed": f["coupon_cents"], "products": [str(n)]} for n, f in enumerate(i["fees"]) if f["coupon_cents"] != "0"]
    found = totals(rows, given)
    return {
        "fees_cents": found["fees_minor"], "coupons_cents": found["discount_minor"], "tax_cents": found["tax_minor"],
        "total_cents": found["gross_minor"], "blended_tax_percent": found["blended_percent"],
    }  # fmt: skip


# Commitments


def topped_up(minimum: str | int, used: int, covered: int, full: int) -> Inputs:
    row = {"minimum_minor": int(minimum), "used_minor": used, "covered_days": covered, "full_days": full}
    return one(commitments.true_up(pl.DataFrame([row])))


def days_of(span: list[str]) -> int:
    return (after(span[1]) - day(span[0])).days


def commitment(i: Inputs) -> Inputs:
    return {
        "commitment_due_cents": topped_up(i["commitment_cents"], 0, days_of(i["covered"]), days_of(i["full_period"]))["due_minor"]
    }


def commitment_true_up(i: Inputs) -> Inputs:
    base, usage = int(i["base_cents"]), int(i.get("usage_cents", 0))
    if "first_period" in i:
        covered, full = days_of(i["first_period"]), int(i["full_period_days"])
        first = day(i["first_period"][0])
        base = part(base, first, first + timedelta(days=covered), first, first + timedelta(days=full))["amount_cents"]
    else:
        covered = full = days_of(i["period"])
        if "downgrade_applied" in i:
            covered = (day(i["downgrade_applied"][:10]) - day(i["period"][0])).days + 1
    due = topped_up(i["commitment_cents"], base + usage, covered, full)["true_up_minor"]
    return {
        "true_up_cents": due, "true_up_cents_without_coupon": due, "base_cents": base, "total_cents": base + usage + due,
        "period_billed": i.get("period"),
    }  # fmt: skip


def minimum(i: Inputs) -> Inputs:
    used = sum(int(v) for v in i.get("used_by_filter_cents", [i.get("used_cents", 0)]))
    covered = days_of(i["covered"]) if "covered" in i else int(i["covered_days"])
    found = topped_up(i["minimum_cents"], used, covered, int(i["full_days"]))
    due, tax = found["true_up_minor"], i.get("tax_percent", "0")
    fees = [{"amount": v, "tax": tax} for v in [*i.get("used_by_filter_cents", []), due]]
    return {
        "true_up_cents": due, "precise_cents": found["exact"], "true_up_tax_cents": totals(fees[-1:])["tax_minor"],
        "invoice_fees_cents": totals(fees)["fees_minor"], "invoice_tax_cents": totals(fees)["tax_minor"],
    }  # fmt: skip


# Prepaid credits


def grants(rows: list[Inputs]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "customer_id": 1, "grant_id": r["name"], "priority": n, "expires_on": None, "granted_on": date(2024, 1, 1),
                "kinds": None if r["scope"] == "all" else r["scope"], "balance_minor": int(r["balance_cents"]),
            }
            for n, r in enumerate(rows)
        ],
        schema_overrides={"expires_on": pl.Date, "kinds": pl.List(pl.String)},
    )  # fmt: skip


def due_fees(rows: list[tuple[str, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "customer_id": 1, "fee_id": range(len(rows)), "is_a": [[k] for k, _ in rows], "on": date(2024, 2, 1), "gross_minor": [m for _, m in rows],
        }
    )  # fmt: skip


def wallet(i: Inputs) -> Inputs:
    if "top_up_credits" in i:
        exact = D(i["top_up_credits"]) * D(i["rate"]) * 100
        bought = money.round_minor(exact)
        return {"credits": money.to_major(bought, "EUR"), "invoice_cents": bought, "balance_cents": bought}
    if "fee_exact_cents" in i:
        exact_fees = pl.DataFrame({"exact": [D(v) for v in i["fee_exact_cents"]]})
        rows = [{"amount": v, "tax": i["tax_percent"]} for v in exact_fees.select(round_half_away(pl.col("exact")))["exact"]]
        invoice = totals(rows)
        drawn = prepaid.draw_credits(
            grants([{"name": "w", "scope": "all", "balance_cents": i["wallet_balance_cents"]}]),
            due_fees([("any", invoice["gross_minor"])]),
        )
        return {
            "fees_cents": invoice["fees_minor"], "tax_cents": invoice["tax_minor"], "total_before_credit_cents": invoice["gross_minor"],
            "prepaid_credit_cents": drawn.draws["drawn_minor"].sum(), "total_cents": drawn.fees["left_minor"].sum(),
        }  # fmt: skip
    fees = [
        (e["metric"], totals([{"amount": D(e["price"]) * 100, "tax": e.get("tax_percent", "0")}])["gross_minor"])
        for e in i["events_major"]
    ]
    balance = int(D(i["wallet_major"]) * 100)
    drawn = prepaid.draw_credits(
        grants([{"name": "w", "scope": i["wallet_limited_to"], "balance_cents": balance}]), due_fees(fees)
    )
    used = (drawn.fees["gross_minor"] - drawn.fees["left_minor"]).to_list()
    left = [balance - sum(used[: n + 1]) for n in range(len(used))]
    return {"credit_used_major": [D(u) / 100 for u in used], "balance_after_major": [D(v) / 100 for v in left]}


def wallets(i: Inputs) -> Inputs:
    fees = due_fees([(f["kind"], int(f["cents"])) for f in i["fees_incl_tax_cents"]])
    drawn = prepaid.draw_credits(grants(i["wallets_in_priority_order"]), fees).draws
    by_grant = drawn.group_by("grant_id", maintain_order=True).agg(pl.col("drawn_minor").sum())
    return {"drawn_cents": dict(by_grant.iter_rows())}


def progressive(i: Inputs) -> Inputs:
    if "usage_steps_cents" in i:
        usage = pl.DataFrame({"charge_id": 1, "amount_minor": [int(v) for v in i["usage_steps_cents"]]})
        marks = [(int(v), False) for v in i["thresholds_cents"]]
        marks += [(int(i["recurring_threshold_cents"]), True)] if i["recurring_threshold_cents"] else []
        thresholds = pl.DataFrame({"charge_id": 1, "threshold_minor": [m for m, _ in marks], "recurring": [r for _, r in marks]})
        found = tiers.progressive_invoices(usage, thresholds=thresholds)["invoice_minor"]
        fees, credit = sum(usage["amount_minor"]), found.sum()
        return {
            "invoices_cents": found.to_list(), "period_fees_cents": fees, "progressive_credit_cents": credit, "final_usage_due_cents": fees - credit,
        }  # fmt: skip
    if "base_cents" in i:
        start, end, on = day(i["period"][0]), after(i["period"][1]), day(i["terminated"])
        base = part(i["base_cents"], start, on if i["replaced_by_upgrade"] else after(i["terminated"]), start, end)[
            "amount_cents"
        ]
        charges = [(int(i["usage_cents"]), int(i["progressive_invoiced_cents"]))]
    else:
        base = 0
        latest = int(i["progressive_invoices_on_charge_1_cents"][-1])
        charges = [(int(a), latest if n == 0 else 0) for n, a in enumerate(i["charge_fees_cents"])]
    frame = pl.DataFrame({"amount_minor": [a for a, _ in charges], "progressive_minor": [p for _, p in charges]})
    found = credit_notes.offset_progressive(frame)
    fees = base + sum(frame["amount_minor"])
    return {
        "fees_cents": fees, "credit_cents": found["credit_minor"].sum(), "total_cents": base + found["due_minor"].sum(),
        "new_credit_note_cents": found["overpaid_minor"].sum(),
    }  # fmt: skip


# Periods


def inclusive(start: date, end: date) -> list[str]:
    return [str(start), str(end - timedelta(days=1))]


def anniversary(i: Inputs) -> Inputs:
    anchor = day(i["anchor"])
    grid = Grid(anchor, i["interval"])
    if "count" in i:
        item = pl.DataFrame({"item_id": [1], "start": [anchor], "in_advance": [True]}).with_columns(end=NO_DATE)
        rows = periods.due_periods(periods.add_items(item, grid=grid), as_of=date(anchor.year + 3, 1, 1))
        return {"periods": [inclusive(r["start"], r["end"]) for r in rows.head(int(i["count"])).iter_rows(named=True)]}
    # What is billed on a day in arrears is the period that closed before it; usage asked for is the running one.
    on = day(i["asked_on"]) if i.get("current_usage") else day(i["billing_day"])
    found = one(periods.periods_holding(periods.add_items(pl.DataFrame({"on": [on]}), grid=grid), on="on"))
    if not i.get("current_usage"):
        before = pl.DataFrame({"on": [found["full_start"] - timedelta(days=1)]})
        found = one(periods.periods_holding(periods.add_items(before, grid=grid), on="on"))
    start, end = inclusive(found["full_start"], found["full_end"])
    return {"period_start": start, "period_end": end}


def calendar(i: Inputs) -> Inputs:
    at = pl.DataFrame({"at": [datetime.fromisoformat(i["billing_day"])], "zone": [i["timezone"]]})
    today = periods.local_days(at, at="at", timezone="zone")[0]
    first = periods.calendar_anchor(today, i["interval"])
    closed = periods.calendar_anchor(first - timedelta(days=1), i["interval"])
    low, high = periods.utc_bounds(closed, first, timezone=i["timezone"])
    return {"period_start_utc": low.isoformat(), "period_end_utc": (high - timedelta(seconds=1)).isoformat()}


def local_stub(i: Inputs) -> Inputs:
    at = pl.DataFrame({"at": [datetime.fromisoformat(i["started_utc"])], "zone": [i["timezone"]]})
    start = periods.local_days(at, at="at", timezone="zone")[0]
    monday = periods.calendar_anchor(start, "week")
    return part(i["price_cents"], start, monday + timedelta(days=7), monday, monday + timedelta(days=7))


def length(i: Inputs) -> Inputs:
    start = day(i["period"][0])
    found = one(periods.periods_holding(periods.add_items(pl.DataFrame({"on": [start]}), grid=Grid(start)), on="on"))
    assert found["full_end"] == after(i["period"][1])
    return {"days": (found["full_end"] - found["full_start"]).days}


AREAS = {
    "standard": by_quantity, "graduated": by_quantity, "volume": by_quantity, "package": by_quantity, "dynamic": by_quantity,
    "percentage": percentage, "graduated_percentage": graduated_percentage, "graduated.prorated": movements, "aggregation.weighted_sum": weighted,
    "aggregation.rounding": unit_rounding, "aggregation.prorated_unique": prorated_unique, "aggregation.prorated_sum": prorated_sum,
    "proration.start": fee, "proration.trial": fee, "proration.termination": fee, "proration.upgrade": upgrade, "proration.downgrade": downgrade,
    "seats.in_advance": seats, "credit_note.termination": note_on_termination, "credit_note.rounding": note_rounding,
    "credit_note.coupon": note_with_coupon, "tax.blended": blended, "commitment.prorate": commitment, "commitment.true_up": commitment_true_up,
    "minimum.charge": minimum, "coupon": coupon, "coupon.tax": coupon_and_tax, "wallet": wallet, "wallet.allocation": wallets,
    "progressive_billing": progressive, "period.anniversary": anniversary, "period.calendar": calendar, "period.timezone": local_stub,
    "period.length": length,
}  # fmt: skip

test_a_published_case_comes_out_as_published, test_the_count_is_told = publish("A", AREAS)
