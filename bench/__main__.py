"""Run the benchmarks by name, or all; TOPLINE_BENCH_SCALE (default 1) shrinks the sizes of those on the database."""

from __future__ import annotations

import importlib
import sys

from bench.company import a_company

ENGINE = ("matching", "cash_paths", "payment_timing", "rating", "deals", "sales")
ON_A_DATABASE = ("imports", "books", "pages", "billing", "documents", "intake", "usage")


def main(names: list[str]) -> int:
    known = (*ENGINE, *ON_A_DATABASE)
    if odd := [name for name in names if name not in known]:
        print(f"There is no benchmark {odd[0]!r}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    for name in names or known:
        if name in ON_A_DATABASE:
            with a_company() as vendor:
                show(f"{name} on {vendor}", importlib.import_module(f"bench.{name}").run())
        else:
            show(name, importlib.import_module(f"bench.{name}").run())
    return 0


def show(title: str, rows: list[tuple[str, str]]) -> None:
    print(f"\n{title}")
    for label, figure in rows:
        print(f"  {label:<60} {figure}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
