"""Lists: which columns there are, how they sort, and which page is shown. The address with its query string is the whole state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from topline.kernel.errors import Invalid

Kind = Literal["text", "money", "date", "integer", "decimal", "percent", "amount", "badge", "moment", "sentence", "code"]
SIZES = (50, 25, 100, 200)


@dataclass(frozen=True)
class Column:
    """One column: the row's key, its label, how cells look; `sort` is the field to order by ("" : cannot be sorted).

    kind  amount: a figure that is written out already, with its own number of decimals
    link  the row's key that holds the address of the cell; currency: the row's key that holds the amount's currency
    """

    key: str
    label: str
    kind: Kind = "text"
    sort: str = ""
    link: str = ""
    currency: str = "currency"


@dataclass(frozen=True)
class Listing:
    """What a list page asks of its query, read from the address: order, page and filters, all within bounds.

    order  field to order by, with a minus sign in front for descending
    """

    path: str
    params: Mapping[str, str]
    columns: Sequence[Column]
    sort: str
    page: int
    size: int
    export: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)

    @property
    def order(self) -> list[str]:
        """Fields to order by; the id makes the order total."""
        return [self.sort, "-id" if self.sort.startswith("-") else "id"]

    @property
    def offset(self) -> int:
        """Rows before this page."""
        return (self.page - 1) * self.size

    def url(self, **changes: Any) -> str:
        """The address with some parameters changed; empty ones drop out."""
        merged = {**self.params, **{k: str(v) for k, v in changes.items()}}
        query = urlencode({k: v for k, v in merged.items() if v not in ("", "None")})
        return f"{self.path}?{query}" if query else self.path

    def sort_url(self, column: Column) -> str:
        """The address that orders by a column, turning the direction when it is the present one."""
        return self.url(sort=f"-{column.sort}" if self.sort == column.sort else column.sort, page="")

    def direction(self, column: Column) -> str:
        """`ascending`, `descending` or `none`, for the header's aria-sort."""
        if not column.sort or self.sort.lstrip("-") != column.sort:
            return "none"
        return "descending" if self.sort.startswith("-") else "ascending"


def listing(
    path: str, params: Mapping[str, str], *, columns: Sequence[Column], default_sort: str, filters: Sequence[str] = ()
) -> Listing:
    """Read a list's state from the address.

    Raises: Invalid for a column that cannot be sorted or a page that is no number: addresses are shared, so they must not lie.
    """
    sort = params.get("sort") or default_sort
    allowed = {c.sort for c in columns if c.sort} | {default_sort.lstrip("-")}
    if sort.lstrip("-") not in allowed:
        raise Invalid(f"This list cannot be sorted by {sort.lstrip('-')!r}.", field="sort", remedy="Use a column's header.")
    page, size = params.get("page") or "1", params.get("size") or str(SIZES[0])
    if not page.isdigit() or not 1 <= int(page) <= 100_000:
        raise Invalid(f"{page!r} is no page.", field="page", remedy="Pages count from 1.")
    if size not in {str(s) for s in SIZES}:
        raise Invalid(f"Lists show {', '.join(map(str, sorted(SIZES)))} rows.", field="size")
    export = params.get("export", "")
    if export not in ("", "csv", "xlsx"):
        raise Invalid(f"{export!r} is no format for export.", field="export", remedy="Use csv or xlsx.")
    kept = {k: v for k, v in params.items() if k not in ("page", "export") and v != ""}
    return Listing(
        path,
        {k: v for k, v in params.items() if k != "export"},
        columns,
        sort,
        int(page),
        int(size),
        export,
        {k: kept[k] for k in filters if k in kept},
    )
