"""The benchmarks run, at a size that says nothing about speed, and print a figure for each line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["imports", "books", pytest.param("pages", marks=pytest.mark.slow)])
def test_a_benchmark_on_a_database_prints_its_figures(name):
    given = {
        **os.environ,
        "TOPLINE_BENCH_SCALE": "0.001",
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "TOPLINE_DATABASE_URL": "sqlite:///",
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench", name], cwd=ROOT, env=given, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("  ")]
    assert len(rows) >= 2
    assert all(re.search(r"\d", row[62:]) and "nan" not in row and "inf " not in row for row in rows)


def test_an_unknown_benchmark_is_refused_with_those_there_are():
    done = subprocess.run([sys.executable, "-m", "bench", "nothing"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "imports" in done.stderr
