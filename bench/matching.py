"""Cash application on generated books whose answers are known: seconds, precision and recall."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from topline.engine.matching import Policy, Proposals, confidence, propose
from topline.market.names import folded

CLASSES = ("reference", "number", "several", "discount", "fee", "typo", "name", "alias", "instalment", "short", "unknown")
SHARES = (0.15, 0.28, 0.10, 0.05, 0.05, 0.07, 0.14, 0.06, 0.03, 0.03, 0.04)
SYLLABLES = (
    "ba",
    "ker",
    "lin",
    "do",
    "mar",
    "tech",
    "vo",
    "san",
    "ri",
    "pol",
    "gra",
    "nit",
    "hel",
    "mu",
    "zen",
    "tor",
    "fa",
    "cos",
)


def book(seed: int, *, payments: int, items: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:  # noqa: PLR0915 - one class of payment a branch
    """A labelled book: payments (with their class), open items, known payers, and the true links.

    Each payment is drawn from one customer; typos change one digit of the number or a letter of the name, banks cut names,
    and of an unknown payer nothing is right to post.
    """
    rng = np.random.default_rng(seed)
    customers = items // 8
    names = ["".join(rng.choice(SYLLABLES, 5)) + f"{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}" for n in range(customers)]
    for n in range(20, customers, 20):  # sister companies, whose names differ by a word
        names[n] = names[n - 1] + "nord"
    owner = np.sort(rng.integers(0, customers, items))
    amounts = np.maximum((np.exp(rng.normal(11, 1.3, items))).astype(np.int64), 500)
    amounts[rng.random(items) < 0.2] = 50_000  # some prices are round and repeat
    today = date(2026, 3, 1)
    due = [today + timedelta(days=int(d)) for d in rng.integers(-60, 30, items)]
    numbers = [f"INV-{2025 + n % 2}-{n:06d}" for n in range(items)]
    discount = np.where(rng.random(items) < 0.3, amounts * 2 // 100, 0)
    ledger = pl.DataFrame(
        {
            "item_id": np.arange(items), "customer_id": owner, "customer_key": [names[o] for o in owner], "number": numbers,
            "order_number": [f"PO{700000 + n}" for n in range(items)], "reference": [f"RF{n:08d}" for n in range(items)], "currency": "EUR",
            "open_minor": amounts, "due_on": due, "discount_minor": discount, "discount_until": today + timedelta(days=5), "blocked": False,
        }
    )  # fmt: skip
    first = np.searchsorted(owner, np.arange(customers))
    last = np.searchsorted(owner, np.arange(customers), side="right")
    free = [list(range(a, b)) for a, b in zip(first, last, strict=True)]
    rows, truth, aliases = [], [], {}
    order = rng.permutation(customers)
    kinds = rng.choice(CLASSES, payments, p=SHARES)
    at = 0
    for number, kind in enumerate(kinds):
        while not free[order[at % customers]]:
            at += 1
        customer = int(order[at % customers])
        at += 1
        own = free[customer]
        count = min(len(own), int(rng.integers(2, 5))) if kind == "several" else 1
        taken = [own.pop(int(rng.integers(0, len(own)))) for _ in range(count)]
        paid, payer = int(amounts[taken].sum()), names[customer]
        text, reference, account = " ".join(numbers[i] for i in taken), "", f"ACC{customer}" if rng.random() < 0.3 else ""
        style = rng.integers(0, 4)
        text = (text, text.replace("-", " "), text.replace("-", ""), "Rechnung " + text.replace("-", "/") + " vielen Dank")[style]
        if kind == "several" and rng.random() < 0.3:
            text = ""
        if kind == "reference":
            text, reference = "", f"RF{taken[0]:08d}"
        elif kind == "discount" and discount[taken[0]]:
            paid -= int(discount[taken[0]])
        elif kind == "fee":
            paid -= min(1_500, paid // 120)
        elif kind == "typo":
            place = int(rng.integers(0, 6))
            body = list(f"{taken[0]:06d}")
            body[place] = str((int(body[place]) + int(rng.integers(1, 10))) % 10)
            text = f"INV-{2025 + taken[0] % 2}-{''.join(body)}"
        elif kind == "name":
            text = ("", "payment", "thank you")[rng.integers(0, 3)]
            letter = int(rng.integers(0, len(payer)))
            payer = payer[:letter] + "x" + payer[letter + 1 :] if rng.random() < 0.5 else payer[:12]
        elif kind == "alias":
            text, payer = "", f"holding{customer}xyz"
            aliases[payer] = customer
        elif kind == "instalment":
            paid, text = paid // 3, text + " instalment 1 of 3"
        elif kind == "short":
            paid = paid * 7 // 10 + 1
        elif kind == "unknown":
            payer, text = "".join(rng.choice(SYLLABLES, 6)) + "qq", "various"
        rows.append((number, paid, "EUR", today, payer, account, text, reference, kind))
        if kind != "unknown":
            truth.extend((number, i) for i in taken)
    paid_in = pl.DataFrame(
        rows, orient="row",
        schema=["payment_id", "amount_minor", "currency", "booked_on", "payer_key", "payer_account", "remittance", "reference", "kind"],
    )  # fmt: skip
    known = pl.DataFrame(
        {"customer_id": list(aliases.values()), "payer_key": list(aliases), "payer_account": [None] * len(aliases)},
        schema={"customer_id": pl.Int64, "payer_key": pl.String, "payer_account": pl.String},
    )
    return paid_in, ledger, known, pl.DataFrame(truth, orient="row", schema={"payment_id": pl.Int64, "item_id": pl.Int64})


def judged(found: Proposals, paid_in: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """One row per payment: kind, decision, confidence, right (exactly the true items are linked)."""
    linked = found.links.group_by("payment_id").agg(pl.col("item_id").sort())
    true = truth.group_by("payment_id").agg(wanted=pl.col("item_id").sort())
    both = found.payments.join(paid_in.select("payment_id", "kind"), on="payment_id").join(linked, on="payment_id", how="left")
    return both.join(true, on="payment_id", how="left").with_columns(
        right=(pl.col("item_id") == pl.col("wanted")).fill_null(value=False)
    )


def sample(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    """A published pair of bank lines and open items: payments and items as the engine takes them, and our own name in folded words.

    Ids count from 1 in the order of the files; the notes, which give the answers away, are not read.
    """
    bank, ledger = (json.loads((folder / name).read_text()) for name in ("bank_statement.json", "open_ar.json"))
    paid_in = pl.DataFrame(
        [{"payment_id": n, "amount_minor": round(t["amount"] * 100), "currency": t["currency"], "booked_on": date.fromisoformat(t["date"]),
          "payer": t["payer_raw"], "payer_account": None, "remittance": t["remittance_text"], "reference": ""}
         for n, t in enumerate(bank["transactions"], 1)], schema_overrides={"payer_account": pl.String},
    ).with_columns(payer_key=folded(pl.col("payer")))  # fmt: skip
    customers = {c: n for n, c in enumerate(dict.fromkeys(i["customer_id"] for i in ledger["invoices"]), 1)}
    items = pl.DataFrame(
        [{"item_id": n, "customer_id": customers[i["customer_id"]], "customer": i["customer_name"], "number": i["invoice_id"],
          "order_number": i["po_reference"], "reference": None, "currency": i["currency"], "open_minor": round(i["open_amount"] * 100),
          "due_on": date.fromisoformat(i["due_date"]), "discount_minor": round(i["original_amount"] * i["discount_pct"]),
          "discount_until": date.fromisoformat(i["discount_deadline"]) if i["discount_deadline"] else None,
          "blocked": i["status"] not in {"OPEN", "PARTIAL", "CLOSED"}} for n, i in enumerate(ledger["invoices"], 1)],
        schema_overrides={"order_number": pl.String, "reference": pl.String, "discount_until": pl.Date},
    ).with_columns(customer_key=folded(pl.col("customer"))).filter(pl.col("open_minor") > 0)  # fmt: skip
    return paid_in.drop("payer"), items.drop("customer"), " ".join(bank["company"].lower().split()[:2])


# what the notes of the published samples say is right to post: payment -> items
RIGHT = {
    "sample_01": {1: [1], 2: [2, 3], 3: [4], 4: [5], 5: [6], 6: [7], 7: [8], 8: [9]},
    "sample_02": {1: [1], 9: [9]},
    "sample_03": {6: [6]},
}


def posted_of(folder: Path) -> dict[int, list[int]]:
    """What the engine posts by itself of a published sample: payment -> items."""
    paid_in, items, own_name = sample(folder)
    nobody = pl.DataFrame(schema={"customer_id": pl.Int64, "payer_key": pl.String, "payer_account": pl.String})
    found = propose(paid_in, items, known=nobody, policy=Policy(own_name=own_name))
    sure = found.payments.filter(pl.col("decision") == "apply").select("payment_id")
    return {k: sorted(v) for k, v in found.links.join(sure, on="payment_id").group_by("payment_id").agg("item_id").iter_rows()}


def published() -> list[tuple[str, str]]:
    """The published samples, where they are."""
    samples = Path(__file__).resolve().parents[2] / "shared" / "data" / "cash_application" / "samples"
    if not samples.exists():
        return [("published samples", "not here")]
    found = {name: posted_of(samples / name) for name in RIGHT}
    posted = sum(len(links) for links in found.values())
    right = sum(found[name].get(payment) == items for name, wanted in RIGHT.items() for payment, items in wanted.items())
    return [("published samples: posted, right, right to post", f"{posted}, {right}, {sum(len(w) for w in RIGHT.values())}")]


def run() -> list[tuple[str, str]]:
    """20,000 bank lines against 100,000 open items, the seed fixed in advance."""
    paid_in, ledger, known, truth = book(1, payments=20_000, items=100_000)
    started = time.perf_counter()
    found = propose(paid_in.drop("kind"), ledger, known=known)
    seconds = time.perf_counter() - started
    rows = judged(found, paid_in, truth)
    posted = rows.filter(pl.col("decision") == "apply")
    payable = rows.filter(pl.col("kind") != "unknown")
    by_class = payable.group_by("kind").agg(share=((pl.col("decision") == "apply") & pl.col("right")).mean()).sort("kind")
    recall = ", ".join(f"{k} {v:.3f}" for k, v in by_class.iter_rows())
    return [
        ("match 20,000 lines x 100,000 items", f"{seconds:.2f} s"),
        ("posted by itself", f"{posted.height:,} of {rows.height:,}"),
        ("precision of what is posted", f"{posted['right'].mean():.5f}"),
        ("recall overall", f"{(payable['right'] & (payable['decision'] == 'apply')).mean():.3f}"),
        ("recall by class", recall),
        *published(),
    ]


def learned() -> dict[str, float]:
    """The weights of the confidence curve, fitted on books with seeds 101 to 104, where nothing spoke against posting."""
    matrices, answers = [], []
    zero = dict.fromkeys(("constant", *confidence.FEATURES), 0.0)
    for seed in range(101, 105):
        paid_in, ledger, known, truth = book(seed, payments=6_000, items=30_000)
        found = propose(paid_in.drop("kind"), ledger, known=known, weights=zero)
        rows = judged(found, paid_in, truth).join(found.evidence, on="payment_id")
        rows = rows.filter(pl.col("against").is_null())
        matrices.append(confidence.features(rows))
        answers.append(rows["right"].to_numpy().astype(float))
    return confidence.fit(np.vstack(matrices), np.concatenate(answers))


if __name__ == "__main__":
    for name, figure in run():
        print(f"{name}: {figure}")
