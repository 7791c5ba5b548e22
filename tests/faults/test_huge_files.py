"""Files that are larger than the memory they are read in."""

from __future__ import annotations

import resource

CEILING = 700 * 1024 * 1024


def test_a_sparse_gigabyte_is_refused_by_its_size_under_a_memory_ceiling(home):
    with (home.folder / "big.csv").open("wb") as file:
        file.truncate(1024**3)
    told = home.run(
        "import",
        "receivables",
        "big.csv",
        code=2,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (CEILING, CEILING)),
    )
    assert "big.csv has 1,073,741,824 bytes; at most 268,435,456 are read." in told
    assert "Split it into smaller files." in told
    assert home.count("connect_importbatch") == 0
