"""How a supply is taxed: by the seller's and the buyer's place, the buyer's status, the class of the product, and dated rates."""

from __future__ import annotations

from datetime import date

import polars as pl

from topline.billing.models import TaxRate
from topline.kernel import bulk, clock
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.countries import ensure_countries
from topline.kernel.errors import Conflict, Invalid, ensure

EU = ("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK")  # fmt: skip
NO_TAX = "none"  # class of what is outside the scope of tax


class TaxRateKnown(Conflict):
    """There is a rate for the country, class and day."""

    code = "tax_rate_known"


@action("billing.add_tax_rate")
def add_tax_rate(*, actor: Actor, country: str, rate_ppm: int, valid_from: date, tax_class: str = "standard") -> int:
    """Say what a class of products is taxed with in a country from a day on; returns the rate's id. Raises: Invalid, TaxRateKnown."""
    code = country.strip().upper()
    ensure(bool(code), Invalid("Say in which country.", field="country", remedy="Use two letters, such as DE."))
    ensure_countries([code])
    ensure(0 <= rate_ppm <= 1_000_000, Invalid("A rate is 0 to 100 %.", field="rate_ppm"))
    ensure(bool(tax_class.strip()) and tax_class != NO_TAX, Invalid("A class needs a name.", field="tax_class"))
    known = TaxRate.objects.filter(country=code, tax_class=tax_class, valid_from=valid_from).exists()
    ensure(not known, TaxRateKnown(f"{code} has a {tax_class} rate from {valid_from} already.", field="valid_from", remedy="Begin the new rate on another day."))  # fmt: skip
    made = TaxRate.objects.create(
        country=code, tax_class=tax_class.strip()[:20], rate_ppm=rate_ppm, valid_from=valid_from, recorded_at=clock.now()
    )
    changed("tax_rate", made.pk, after={"country": code, "tax_class": tax_class, "rate_ppm": rate_ppm, "valid_from": valid_from})
    return made.pk


def taxed(supplies: pl.DataFrame, *, seller: str, on: date) -> pl.DataFrame:
    """Category (UNCL5305) and rate of each supply.

    supplies  buyer_country str (empty: that of the seller), buyer_tax_id str, tax_class str
    seller    the seller's country
    returns   the rows with tax_category str, tax_rate_ppm i64 and problem str (null where there is none): domestic supplies and those to consumers
              in the EU are taxed at home (S, or Z where the rate is 0), businesses elsewhere in the EU owe the tax themselves (AE), supplies outside
              are exports (G), what is out of scope is O
    Sources: Directive 2006/112/EC art. 44, 146, 196; consumers' place rules beyond the threshold of art. 59c are not applied. Work: one statement.
    """
    rates = bulk.read(
        TaxRate.objects.filter(country=seller, valid_from__lte=on).order_by("valid_from", "id").values("tax_class", "rate_ppm")
    )
    newest = rates.unique("tax_class", keep="last", maintain_order=True)
    rows = supplies.join(newest, on="tax_class", how="left", maintain_order="left")
    place = pl.when(pl.col("buyer_country") == "").then(pl.lit(seller)).otherwise("buyer_country")
    at_home, in_eu = place == seller, place.is_in(list(EU)) & (pl.lit(seller in EU))
    charged = at_home | (in_eu & (pl.col("buyer_tax_id") == ""))
    scope = pl.col("tax_class") != NO_TAX
    home = pl.when(pl.col("rate_ppm") == 0).then(pl.lit("Z")).otherwise(pl.lit("S"))
    category = pl.when(~scope).then(pl.lit("O")).when(charged).then(home).when(in_eu).then(pl.lit("AE")).otherwise(pl.lit("G"))
    lost = scope & charged & pl.col("rate_ppm").is_null()
    told = pl.format("No {} tax rate is known for " + (seller or "a company without country") + f" on {on}.", "tax_class")
    return rows.with_columns(
        tax_category=category, tax_rate_ppm=pl.when(scope & charged).then("rate_ppm").otherwise(0).fill_null(0).cast(pl.Int64), problem=pl.when(lost).then(told)
    ).drop("rate_ppm")  # fmt: skip
