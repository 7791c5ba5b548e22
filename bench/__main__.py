"""Run the benchmarks by name, or all; TOPLINE_BENCH_SCALE (default 1) shrinks the sizes of those on the database.

A benchmark that takes sizes gets them behind a colon: `python -m bench billing:10000,1000000`.
"""

from __future__ import annotations

import importlib
import sys

from bench.company import a_company

ENGINE = ("matching", "cash_paths", "payment_timing", "rating", "deals", "sales")
ON_A_DATABASE = ("imports", "books", "pages", "billing", "documents", "intake", "usage")
SIZED = ("billing", "intake", "usage")


def main(names: list[str]) -> int:
    known = (*ENGINE, *ON_A_DATABASE)
    asked = [(name, [int(size) for size in sizes.split(",") if size]) for name, _, sizes in (n.partition(":") for n in names)]
    if odd := [name for name, sizes in asked if name not in known or (sizes and name not in SIZED)]:
        print(f"There is no benchmark {odd[0]!r}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    for name, sizes in asked or [(name, []) for name in known]:
        run = importlib.import_module(f"bench.{name}").run
        if name in ON_A_DATABASE:
            with a_company() as vendor:
                show(f"{name} on {vendor}", run(*([sizes] if sizes else [])))
        else:
            show(name, run(*([sizes] if sizes else [])))
    return 0


def show(title: str, rows: list[tuple[str, str]]) -> None:
    print(f"\n{title}")
    for label, figure in rows:
        print(f"  {label:<60} {figure}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
