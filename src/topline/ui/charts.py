"""Charts drawn on the server: a plain spec in, SVG out, in the page's own colours and with its table behind it.

Altair makes the Vega-Lite spec, vl-convert draws it. Colours are placeholders that become CSS classes, so that both themes
fit; nothing inline is left that a strict Content-Security-Policy would refuse. Drawings are kept by the hash of their spec.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import altair as alt
import vl_convert as vlc
from markupsafe import Markup

# placeholder colours and the classes that take their place
PALETTE = {
    "#100001": "c1",
    "#100002": "c2",
    "#100003": "c3",
    "#100004": "c4",
    "#100005": "c5",
    "#100009": "ink",
    "#10000a": "line",
    "#10000b": "bad",
}
SHORT = {
    "labelExpr": "abs(datum.value) < 1000 ? format(datum.value, ',.3~f') : format(datum.value, '~s')"
}  # 20k, and never 10m for a cent
LONG_LABEL = 14  # letters; longer ones are written a word a line
MANY_LABELS = 16  # bars; of more than these not every one is named below
PILES = 14  # places side by side into which the dots of a range fall
SERIES = ["#100001", "#100002", "#100003", "#100004", "#100005"]
INK, LINE, BAD = "#100009", "#10000a", "#10000b"


@dataclass(frozen=True)
class Chart:
    """A drawing and the table behind it: header and rows as text."""

    svg: Markup
    title: str
    head: list[str]
    rows: list[list[str]]


def bar_chart(
    rows: Sequence[dict[str, Any]],
    *,
    x: str,
    y: str,
    title: str,
    y_title: str = "",
    color: str = "",
    height: int = 180,
    shown: str = "",
) -> Chart | None:
    """One bar per row, in the order given; `shown` is the key with the amount as text for the table. None when there is nothing."""
    if not rows:
        return None
    is_long = max(len(str(r[x])) for r in rows) > LONG_LABEL
    axis = alt.Axis(
        labelAngle=0, labelOverlap=len(rows) > MANY_LABELS, **({"labelExpr": "split(datum.label, ' ')"} if is_long else {})
    )
    base = alt.Chart(alt.Data(values=[dict(r) for r in rows])).mark_bar(color=SERIES[0], cornerRadiusEnd=2)
    encoded = base.encode(
        x=alt.X(f"{x}:N", sort=None, title=None, axis=axis),
        y=alt.Y(f"{y}:Q", title=y_title or None, axis=alt.Axis(**SHORT, tickCount=4)),
        **({"color": alt.Color(f"{color}:N", scale=alt.Scale(range=SERIES), legend=None)} if color else {}),
    )
    return _draw(
        encoded, title=title, height=height, head=[x, y_title or y], rows=[[str(r[x]), str(r.get(shown or y, ""))] for r in rows]
    )


def waterfall_chart(
    rows: Sequence[dict[str, Any]], *, x: str, y: str, title: str, y_title: str, shown: str = "", height: int = 240
) -> Chart | None:
    """A bridge: the first and the last row stand on the floor, each row between them begins where the one before it ended."""
    if not rows:
        return None
    level, bars = 0.0, []
    for place, row in enumerate(rows):
        is_end = place in (0, len(rows) - 1)
        low, level = (0.0, row[y]) if is_end else (level, level + row[y])
        bars.append({x: row[x], "low": low, "high": level, "way": "total" if is_end else "up" if row[y] >= 0 else "down"})
    color = alt.Color("way:N", scale=alt.Scale(domain=["total", "up", "down"], range=[SERIES[0], SERIES[2], BAD]), legend=None)
    drawn = (
        alt.Chart(alt.Data(values=bars))
        .mark_bar()
        .encode(
            x=alt.X(f"{x}:N", sort=None, title=None, axis=alt.Axis(labelAngle=0, labelExpr="split(datum.label, ' ')")),
            y=alt.Y("low:Q", title=y_title, axis=alt.Axis(**SHORT, tickCount=5)),
            y2="high:Q",
            color=color,
        )
    )
    table = [[str(r[x]), str(r.get(shown or y, ""))] for r in rows]
    return _draw(drawn, title=title, height=height, head=[x, y_title], rows=table)


def balance_chart(
    rows: Sequence[dict[str, Any]],
    *,
    x: str,
    y: str,
    title: str,
    y_title: str,
    marks: Sequence[dict[str, Any]] = (),
    shown: str = "",
    floor: float = 0,
    height: int = 220,
) -> Chart | None:
    """A balance over time as a stepped line, with a line at the `floor` it is not to fall below; `marks` are days with a label (payrolls)."""
    if not rows:
        return None
    data = alt.Chart(alt.Data(values=[{**r, x: str(r[x])} for r in rows]))
    scale_x = alt.X(f"{x}:T", title=None, axis=alt.Axis(format="%d %b", tickCount=8))
    line = data.mark_area(
        interpolate="step-after", line={"color": SERIES[0], "strokeWidth": 2}, color=SERIES[0], opacity=0.12
    ).encode(x=scale_x, y=alt.Y(f"{y}:Q", title=y_title, axis=alt.Axis(**SHORT, tickCount=5)))
    return _draw(
        alt.layer(line, _floor(floor), *_marks(marks, x)),
        title=title,
        height=height,
        head=[x, y_title],
        rows=[[str(r[x]), str(r.get(shown or y, ""))] for r in rows],
    )


def range_chart(
    rows: Sequence[dict[str, Any]], *, x: str, low: str, middle: str, high: str, title: str, y_title: str, marks: Sequence[dict[str, Any]] = (),
    shown: Sequence[str] = (), floor: float = 0, height: int = 240,
) -> Chart | None:  # fmt: skip
    """A balance that may lie anywhere between `low` and `high`, its middle as a line, with a line at the `floor` it is not to fall below.

    shown  the keys with the three as text
    """
    if not rows:
        return None
    data = alt.Chart(alt.Data(values=[{**r, x: str(r[x])} for r in rows]))
    scale_x = alt.X(f"{x}:T", title=None, axis=alt.Axis(format="%d %b", tickCount=8))
    axis = alt.Axis(**SHORT, tickCount=5)
    band = data.mark_area(color=SERIES[0], opacity=0.18).encode(
        x=scale_x, y=alt.Y(f"{low}:Q", title=y_title, axis=axis), y2=f"{high}:Q"
    )
    line = data.mark_line(color=SERIES[0], strokeWidth=2).encode(x=scale_x, y=alt.Y(f"{middle}:Q", title=y_title, axis=axis))
    return _draw(
        alt.layer(band, line, _floor(floor), *_marks(marks, x)),
        title=title,
        height=height,
        head=[x, "low (P10)", "middle (P50)", "high (P90)"],
        rows=[[str(r[x]), *(str(r[key]) for key in shown or (low, middle, high))] for r in rows],
    )


def _floor(at: float) -> Any:
    return alt.Chart(alt.Data(values=[{"z": at}])).mark_rule(color=BAD, strokeWidth=1).encode(y="z:Q")


def _marks(marks: Sequence[dict[str, Any]], x: str, color: str = SERIES[1]) -> list[Any]:
    """Dashed lines on days."""
    if not marks:
        return []
    days = alt.Chart(alt.Data(values=[{**m, x: str(m[x])} for m in marks]))
    return [days.mark_rule(color=color, strokeDash=[3, 3]).encode(x=f"{x}:T")]


def lines_chart(
    rows: Sequence[dict[str, Any]],
    *,
    x: str,
    series: Sequence[str],
    title: str,
    y_title: str,
    marks: Sequence[dict[str, Any]] = (),
    shown: dict[str, str] | None = None,
    height: int = 240,
    every: str = "%d %b",
) -> Chart | None:
    """A line for each series over the same days, its name at its end; `marks` are days with a dashed line, `every` how days are written below.

    rows    one row per day: the day and a figure (null: a gap) under each series' name; shown: series to the key of its figure as text, for the table
    """
    if not rows or not series:
        return None
    points = [{"day": str(r[x]), "series": name, "value": r[name]} for name in series for r in rows]
    color = alt.Color("series:N", scale=alt.Scale(domain=list(series), range=SERIES[: len(series)]), legend=None)
    axis_x = alt.X("day:T", title=None, axis=alt.Axis(format=every, tickCount=8))
    lines = (
        alt.Chart(alt.Data(values=points))
        .mark_line(strokeWidth=2)
        .encode(x=axis_x, y=alt.Y("value:Q", title=y_title, axis=alt.Axis(**SHORT, tickCount=5)), color=color)
    )
    texts = shown or {}
    return _draw(
        alt.layer(lines, *_marks(marks, x, BAD)),
        title=title,
        height=height,
        head=[x, *series],
        rows=[[str(r[x]), *(str(r[texts.get(name, name)]) for name in series)] for r in rows],
    )


def dots_chart(
    rows: Sequence[dict[str, Any]], *, y: str, x: str, title: str, x_title: str, marked: str = "", shown: str = ""
) -> Chart | None:
    """A dot for each row on a line of its own, in the order given; rows whose `marked` is true have another colour and shape.

    A row whose figure is None keeps its line and its place in the table, without a dot.
    """
    if not rows:
        return None
    data = [{y: r[y], x: r[x], "kind": "marked" if r.get(marked) else "other"} for r in rows]
    kinds = ["marked", "other"]
    wide = 7 * max(len(str(r[y])) for r in rows)  # the page's font may be wider than the one that lays the chart out
    encoded = (
        alt.Chart(alt.Data(values=data))
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=alt.X(f"{x}:Q", title=x_title, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=6)),
            y=alt.Y(f"{y}:N", sort=None, title=None, axis=alt.Axis(labelLimit=320, minExtent=min(320, wide), grid=True)),
            color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=SERIES[:2]), legend=None),
            shape=alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=["diamond", "circle"]), legend=None),
        )
    )
    table = [[str(r[y]), str(r.get(shown or x, ""))] for r in rows]
    return _draw(encoded, title=title, height=26 * len(rows), head=[y, x_title], rows=table)


def quantile_dots(
    rows: Sequence[dict[str, Any]],
    *,
    x: str,
    title: str,
    x_title: str,
    shown: str = "",
    chance: str = "",
    marks: Sequence[tuple[str, float]] = (),
) -> Chart | None:
    """A figure that is not certain, as futures of equal chance: a dot each, piled up where they lie close together.

    rows   one row per future, the smallest first: its figure, under `shown` as text, and under `chance` how likely at least that is, as text
    marks  names and figures to compare with, each a line
    Source: quantile dot plots, Kay, Kola, Hullman and Munson, CHI 2016.
    """
    if not rows:
        return None
    least, most = (float(end) for end in (rows[0][x], rows[-1][x]))
    width = (most - least) / PILES or max(abs(most), 1.0) / PILES
    heights: dict[int, int] = {}
    dots = []
    for row in rows:
        pile = min(int((float(row[x]) - least) / width), PILES - 1)
        heights[pile] = heights.get(pile, 0) + 1
        dots.append({"at": least + (pile + 0.5) * width, "high": heights[pile]})
    ends = [least - width, most + width, *(at for _, at in marks)]
    axis_x = alt.X("at:Q", title=x_title, scale=alt.Scale(domain=[min(ends), max(ends)], nice=False), axis=alt.Axis(**SHORT, tickCount=7, grid=False))  # fmt: skip
    highest = max(heights.values())
    axis_y = alt.Y("high:Q", axis=None, scale=alt.Scale(domain=[0.4, highest + 0.6]))
    piled = alt.Chart(alt.Data(values=dots)).mark_circle(size=260, color=SERIES[0], opacity=1).encode(x=axis_x, y=axis_y)
    lines = [
        alt.Chart(alt.Data(values=[{"at": at}])).mark_rule(color=SERIES[1], strokeDash=[4, 3], strokeWidth=2).encode(x="at:Q")
        for _, at in marks
    ]
    table = [[str(r.get(shown or x, "")), str(r.get(chance, ""))] for r in rows]
    return _draw(alt.layer(piled, *lines), title=title, height=22 * highest + 14, head=[x_title, "At least this"], rows=table)


def _draw(chart: Any, *, title: str, height: int, head: list[str], rows: list[list[str]]) -> Chart:
    spec = chart.properties(width=680, height=height, background="transparent").configure_view(strokeWidth=0).configure_axis(
        labelColor=INK, titleColor=INK, gridColor=LINE, domainColor=LINE, tickColor=LINE, labelFontSize=11, titleFontSize=11, titleFontWeight="normal"
    ).to_dict(validate=False)  # fmt: skip
    return Chart(_svg(json.dumps(spec, sort_keys=True), title), title, head, rows)


@functools.lru_cache(maxsize=256)
def _svg(spec: str, title: str) -> Markup:
    svg = vlc.vegalite_to_svg(spec)
    for placeholder, name in PALETTE.items():
        svg = re.sub(rf'(fill|stroke)="{placeholder}"', rf'class="chart-\1-{name}"', svg)
    svg = re.sub(r'class="([^"]*)"((?:(?!class=)[^<>])*?) class="([^"]*)"', r'class="\1 \3"\2', svg)
    svg = re.sub(r'class="([^"]*)"((?:(?!class=)[^<>])*?) class="([^"]*)"', r'class="\1 \3"\2', svg)
    svg = re.sub(r' (?:style|font-family|aria-[a-z]+|role|xmlns:xlink|tabindex)="[^"]*"', "", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[\d.]+" height="[\d.]+"', r"<svg \1", svg, count=1)
    svg = svg.replace(' class="marks"', "", 1)
    named = escape(title)
    return Markup(
        re.sub(
            r"<svg ([^>]*)>", rf'<svg \1 role="img" class="chart-svg" aria-label="{named}"><title>{named}</title>', svg, count=1
        )
    )
