"""Every figure on every page leads to rows that add up to it."""

from __future__ import annotations

import re
from html import unescape

import pytest

from topline.web.figures import FIGURES

pytestmark = pytest.mark.django_db

TILE = re.compile(r'href="([^"]+)" data-figure="(\w+)" data-value="([^"]*)"')


def summed(page: str) -> float | None:
    """What the rows of an explanation say: their sum, or the scaled quotient of two sums."""
    parts = page.split('data-sum="')[1:]
    sums = []
    for part in parts:
        told = float(part.split('"')[0])
        rows = [float(a) for a in re.findall(r'data-amount="([^"]+)"', part)]
        assert sum(rows) == pytest.approx(told, abs=1e-6)
        sums.append(sum(rows))
    scale = int(re.search(r'data-scale="(\d+)"', page)[1])
    if not sums:
        return None
    return sums[0] if len(sums) == 1 else scale * sums[0] / sums[1]


def test_every_figure_is_the_sum_of_the_rows_behind_it(browser, addresses):
    seen = set()
    for address in addresses:
        for href, key, value in TILE.findall(browser.get(address).content.decode()):
            answer = browser.get(unescape(href))
            page = answer.content.decode()
            assert answer.status_code == 200, (address, href)
            seen.add(key)
            definition = FIGURES[key]
            assert all(f">{text}<" in unescape(page) for text in (definition.formula, definition.source)), key
            if value == "":
                assert "The figure is undefined" in page, (address, key)
            else:
                assert summed(page) == pytest.approx(float(value), abs=1e-6), (address, key)
    assert seen == set(FIGURES) - {"bucket"}, "a figure that no page shows, or that these pages do not reach"


def test_every_cell_of_the_ageing_is_the_sum_of_the_rows_behind_it(browser, acme):
    page = browser.get("/aging/?as_of=2026-11-24&buckets=10,45").content.decode()
    cells = re.findall(r'<a href="([^"]*/figures/bucket/[^"]*)">([^<]+)</a>', page)
    assert len(cells) >= 4
    for href, shown in cells:
        assert summed(browser.get(unescape(href)).content.decode()) == pytest.approx(100 * float(shown.replace(",", "")))
    assert browser.get("/figures/bucket/?bucket=soon").status_code == 422
    assert browser.get("/figures/roll_rate/?bucket=over%2090").status_code == 422


def test_a_figure_beyond_what_is_listed_still_adds_up(browser, make_customers, issue, monkeypatch):
    monkeypatch.setattr("topline.web.figures.SHOWN", 3)
    (customer,) = make_customers("Globex")
    issue(customer, *range(100, 108))
    page = browser.get("/figures/owed/").content.decode()
    assert summed(page) == sum(range(100, 108)) and "5 more" in page


def test_definitions_are_complete_sentences_about_a_permission_that_somebody_has():
    from topline.team.roles import permissions_of

    for d in FIGURES.values():
        assert d.meaning.endswith(".") and d.formula and d.source.endswith(".")
        assert d.permission in permissions_of(frozenset({"Owner"}))


def test_the_dictionary_lists_every_figure_with_its_formula(browser, entity):
    page = unescape(browser.get("/figures/").content.decode())
    for d in FIGURES.values():
        assert f'id="{d.key}"' in page and d.formula in page
