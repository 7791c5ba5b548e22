"""Reads of the market room: customers, their records, look-up by name or number, likely duplicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
from django.db.models import Q
from rapidfuzz import fuzz, process

from topline.kernel import bulk
from topline.kernel.database import one_of
from topline.kernel.errors import NotFound
from topline.market.models import Address, Contact, Customer, CustomerAlias
from topline.market.names import folded

SIMILAR = 88.0  # rapidfuzz ratio above which two folded names are offered as duplicates
MANY = 20_000  # texts beyond which all aliases are read instead
BLOCK = 3  # letters that two names must share at the start to be compared


@dataclass(frozen=True)
class CustomerDetail:
    """One customer with everything that hangs on it; `ids` are its own and those of records merged into it."""

    customer: Customer
    ids: list[int]
    merged: list[Customer]
    children: list[Customer]
    aliases: list[CustomerAlias]
    addresses: list[Address]
    contacts: list[Contact]


def record_ids(customer_id: int) -> list[int]:
    """The ids under which a customer's documents may stand: its own first, then those merged into it.

    A merged record answers with those of the customer that took it over.
    """
    taken_over = Customer.objects.filter(pk=customer_id).values_list("merged_into_id", flat=True).first()
    customer_id = taken_over or customer_id
    return [customer_id, *Customer.objects.filter(merged_into_id=customer_id).order_by("id").values_list("id", flat=True)]


def canonical() -> pl.DataFrame:
    """Merged records and the customer that took each over: record_id, customer_id; empty when nothing was ever merged."""
    return bulk.read(Customer.objects.filter(merged_into__isnull=False).values("id", "merged_into_id")).rename(
        {"id": "record_id", "merged_into_id": "customer_id"}
    )


def owners() -> pl.DataFrame:
    """Who owns which customers, every record with the owner of the customer that it stands for today: customer_id, owner_id."""
    rows = bulk.read(Customer.objects.values("id", "owner_id", "merged_into_id", "merged_into__owner_id"))
    owner = pl.when(pl.col("merged_into_id").is_null()).then("owner_id").otherwise("merged_into__owner_id")
    return rows.select(customer_id="id", owner_id=owner).drop_nulls("owner_id")


def record_ids_of(owner_id: int) -> list[int]:
    """All records of the customers that a member owns, those merged into them too."""
    return list(Customer.objects.filter(Q(owner_id=owner_id, merged_into__isnull=True) | Q(merged_into__owner_id=owner_id)).values_list("id", flat=True))  # fmt: skip


def resolve(frame: pl.DataFrame, *, column: str = "customer_id") -> pl.DataFrame:
    """Replace ids of merged records by the customer that took them over."""
    merged = canonical()
    if merged.is_empty():
        return frame
    return frame.with_columns(pl.col(column).replace(merged["record_id"], merged["customer_id"]))


def customer_detail(customer_id: int) -> CustomerDetail:
    """One customer; a merged record answers with the one that took it over.

    Raises: NotFound.
    """
    customer = Customer.objects.select_related("owner", "parent").filter(pk=customer_id).first()
    if customer is None:
        raise NotFound(f"There is no customer {customer_id}.", field="customer_id", remedy="Search by name with Ctrl-K.")
    if customer.merged_into_id is not None:
        return customer_detail(customer.merged_into_id)
    ids = record_ids(customer.pk)
    return CustomerDetail(
        customer=customer,
        ids=ids,
        merged=list(Customer.objects.filter(merged_into_id=customer.pk).order_by("id")[:50]),
        children=list(Customer.objects.filter(parent_id=customer.pk).order_by("name")[:50]),
        aliases=list(CustomerAlias.objects.filter(customer_id__in=ids).order_by("kind", "value")[:100]),
        addresses=list(Address.objects.filter(customer_id__in=ids).order_by("id")[:20]),
        contacts=list(Contact.objects.filter(customer_id__in=ids).order_by("-is_primary", "name")[:50]),
    )


def by_number(number: str) -> Customer:
    """One customer by its number; a merged record answers with the one that took it over. Raises: NotFound."""
    found = Customer.objects.filter(number=number).values_list("id", flat=True).first()
    if found is None:
        raise NotFound(f"There is no customer {number}.", field="customer", remedy="Look for the number on the Customers page.")
    return customer_detail(found).customer


def segment_names() -> list[str]:
    """Segments that customers are in."""
    named = Customer.objects.exclude(segment="").order_by("segment").values_list("segment", flat=True).distinct()
    return list(named[:200])


def customers(*, search: str = "", owner_id: int | None = None, segment: str = "", on_hold: bool | None = None) -> Any:
    """Live customers that fit the filters, as a queryset for lists: order and slice it before use."""
    rows = Customer.objects.filter(merged_into__isnull=True)
    if search:
        key = pl.select(folded(pl.lit(search))).item()
        named = CustomerAlias.objects.filter(folded__startswith=key).values("customer_id")[:500] if key else []
        rows = rows.filter(
            Q(name__icontains=search) | Q(number__istartswith=search) | Q(pk__in=[c["customer_id"] for c in named])
        )
    if owner_id is not None:
        rows = rows.filter(owner_id=owner_id)
    if segment:
        rows = rows.filter(segment=segment)
    if on_hold is not None:
        rows = rows.filter(is_on_hold=on_hold)
    return rows


def ensure_known(ids: pl.Series) -> None:
    """Refuse ids under which no customer stands; nulls (payer unknown) pass. Work: one statement.

    Raises: NotFound.
    """
    wanted = ids.drop_nulls().unique().sort()
    found = bulk.read_by_id(Customer, wanted, ["id"])["id"]
    missing = wanted.filter(~wanted.is_in(found.implode()))
    if missing.len():
        raise NotFound(f"There is no customer {missing[0]}.", field="customer_id", remedy="Add the customer first.")


def names(ids: list[int]) -> dict[int, str]:
    """Customer names by record id, for labels in lists."""
    return dict(Customer.objects.filter(pk__in=ids).values_list("id", "name"))


def addressees(customer_ids: list[int]) -> pl.DataFrame:
    """Whom to write to about money: customer_id, name, segment, language, email and person (null where nobody is known).

    The contact for invoices or payments comes before the primary one, that before any other. Whoever stands under a record that was
    merged into a customer is asked where nobody of that rank stands under its own.
    """
    few = {"pk__in": customer_ids} if len(customer_ids) <= 900 else {}
    facts = bulk.read(Customer.objects.filter(**few).values("id", "name", "segment", "language")).rename({"id": "customer_id"})
    near = Q(customer_id__in=customer_ids) | Q(customer__merged_into_id__in=customer_ids) if few else Q()
    found = bulk.read(
        Contact.objects.filter(near).exclude(email="").values("id", "customer_id", "email", "name", "role", "is_primary")
    )
    people = resolve(found.with_columns(record_id="customer_id")).with_columns(
        is_own=pl.col("record_id") == pl.col("customer_id")
    )
    for_money = pl.col("role").str.to_lowercase().str.contains("pay|invoice|account|billing|finance")
    best = people.sort(for_money, "is_primary", "is_own", "id", descending=[True, True, True, False]).unique(
        "customer_id", keep="first", maintain_order=True
    )
    return facts.join(best.select("customer_id", "email", person="name"), on="customer_id", how="left")


def known_payers(*, parents: bool = True) -> pl.DataFrame:
    """By which names and accounts customers pay: customer_id, payer_key (folded name) or payer_account (folded), the other null.

    Names, legal names, aliases and accounts that people confirmed; those of a parent count for its children where wanted.
    Work: reads all customers and their aliases, two statements.
    """
    customers = bulk.read(Customer.objects.order_by("id").values("id", "name", "legal_name", "parent_id"))
    aliases = bulk.read(
        CustomerAlias.objects.filter(kind__in=["name", "payer", "iban"]).order_by("id").values("customer_id", "kind", "folded")
    )
    nothing = pl.lit(None, dtype=pl.String)
    parts = [
        customers.select(customer_id="id", payer_key=folded(pl.col(c)), payer_account=nothing) for c in ("name", "legal_name")
    ]
    is_account = pl.col("kind") == "iban"
    parts.append(
        aliases.select(
            "customer_id", payer_key=pl.when(~is_account).then("folded"), payer_account=pl.when(is_account).then("folded")
        )
    )
    own = pl.concat(parts).filter(pl.coalesce("payer_key", "payer_account") != "")
    if parents:
        children = customers.drop_nulls("parent_id").select(child_id="id", customer_id="parent_id")
        theirs = own.join(children, on="customer_id").select("payer_key", "payer_account", customer_id="child_id")
        own = pl.concat([own, theirs.select(own.columns)])
    return resolve(own).unique(maintain_order=True)


def find(values: pl.Series, *, kinds: tuple[str, ...] = ("number", "name")) -> pl.DataFrame:
    """Which customer each text names: by number first, then by any alias; ambiguous texts find nobody.

    values   texts from a file, one per row
    returns  value str, customer_id i64 or null: one row per distinct value
    Work: one statement.
    """
    known = list(kinds)
    wanted, aliases = _bearers(values, known)
    named = (
        aliases.lazy()
        .group_by("folded", kind=pl.col("kind").replace_strict(known, range(len(known)), return_dtype=pl.Int8))
        .agg(pl.col("customer_id").first(), of=pl.col("customer_id").n_unique())
        .filter(pl.col("of") == 1)
        .sort("kind")
        .unique("folded", keep="first")
    )
    return wanted.lazy().join(named, on="folded", how="left").select("value", "customer_id").collect(engine="in-memory")


def shared_names(values: pl.Series, *, kinds: tuple[str, ...] = ("number", "name")) -> pl.Series:
    """The texts that several customers bear, so that `find` takes them for none of them. Work: two statements."""
    wanted, aliases = _bearers(values, list(kinds))
    nobody = find(values, kinds=kinds).filter(pl.col("customer_id").is_null())
    return wanted.join(aliases, on="folded", how="semi").join(nobody, on="value", how="semi")["value"]


def _bearers(values: pl.Series, kinds: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Texts as value and folded, and the names and numbers that may be theirs: customer_id, kind, folded."""
    wanted = pl.DataFrame({"value": values.unique()}).with_columns(folded=folded(pl.col("value")))
    keys = wanted["folded"].unique()
    is_wanted, given = one_of("a.folded", keys.to_list()) if keys.len() <= MANY else ("1 = 1", [])
    of_kind, more = one_of("a.kind", kinds)
    aliases, records = CustomerAlias._meta.db_table, Customer._meta.db_table
    stands_for = "COALESCE(r.merged_into_id, a.customer_id)"
    found = bulk.query(
        f"SELECT {stands_for}, a.kind, a.folded FROM {aliases} a JOIN {records} r ON r.id = a.customer_id WHERE {of_kind} AND {is_wanted}",
        [*more, *given],
        bulk.schema(CustomerAlias, ("customer_id", "kind", "folded")),
    )
    return wanted, found


def duplicates(*, limit: int = 100) -> pl.DataFrame:
    """Pairs of customers that may be one: same tax id, same folded name, or names that are nearly the same.

    returns  keep_id, keep_name, merge_id, merge_name, score (0-100), reason; best first
    Work: names are compared only within blocks of equal first letters, O(sum of block sizes squared).
    """
    frame = bulk.read(Customer.objects.filter(merged_into__isnull=True).order_by("id").values("id", "name", "tax_id")[:50_000])
    frame = frame.with_columns(folded=folded(pl.col("name")))
    pairs = [
        _equal_pairs(frame.filter(pl.col("tax_id") != ""), "tax_id", "same tax id"),
        _equal_pairs(frame, "folded", "same name"),
        _similar_pairs(frame),
    ]
    named = frame.select("id", "name")
    return (
        pl.concat(pairs)
        .sort("score", descending=True)
        .unique(["keep_id", "merge_id"], keep="first", maintain_order=True)
        .join(named.rename({"id": "keep_id", "name": "keep_name"}), on="keep_id", maintain_order="left")
        .join(named.rename({"id": "merge_id", "name": "merge_name"}), on="merge_id", maintain_order="left")
        .head(limit)
    )


_PAIR = {"keep_id": pl.Int64, "merge_id": pl.Int64, "score": pl.Float64, "reason": pl.String}


def _equal_pairs(frame: pl.DataFrame, column: str, reason: str) -> pl.DataFrame:
    first = frame.group_by(column).agg(keep_id=pl.col("id").min(), n=pl.len()).filter(pl.col("n") > 1)
    return (
        frame.join(first, on=column)
        .filter(pl.col("id") != pl.col("keep_id"))
        .select("keep_id", merge_id="id", score=pl.lit(100.0), reason=pl.lit(reason))
    )


def _similar_pairs(frame: pl.DataFrame) -> pl.DataFrame:
    found: list[tuple[int, int, float, str]] = []
    for block in (
        frame.filter(pl.col("folded") != "").with_columns(block=pl.col("folded").str.slice(0, BLOCK)).partition_by("block")
    ):
        if block.height < 2:
            continue
        texts, ids = block["folded"].to_list(), block["id"].to_list()
        scores = process.cdist(texts, texts, scorer=fuzz.ratio, score_cutoff=SIMILAR)
        rows, columns = scores.nonzero()
        found += [
            (ids[i], ids[j], float(scores[i, j]), "similar name")
            for i, j in zip(rows, columns, strict=True)
            if i < j and texts[i] != texts[j]
        ]
    return pl.DataFrame(found, schema=_PAIR, orient="row")
