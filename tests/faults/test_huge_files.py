"""Files that are larger than the memory they are read in."""

from __future__ import annotations

import resource

pytest_plugins = ["tests.faults.house"]

CEILING = 700 * 1024 * 1024


def test_a_sparse_gigabyte_is_refused_by_its_size_under_a_memory_ceiling(company, tmp_path):
    with (tmp_path / "big.csv").open("wb") as file:
        file.truncate(1024**3)
    code, said = company.command(
        "import",
        "receivables",
        tmp_path / "big.csv",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (CEILING, CEILING)),
    )
    assert code == 2
    assert said == "big.csv has 1,073,741,824 bytes; at most 268,435,456 are read. Split it into smaller files."
    assert company.run("print(json.dumps(ImportBatch.objects.count()))") == 0
