"""The league's picture: for each world, a dot and an interval a method, between labels only and the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree as ET

from stillhouse.reporting.svg import Drawing, Scale

WIDTH, ROW, TOP, BOTTOM = 900.0, 19.0, 74.0, 44.0
NAMES, SIDE = 150.0, 30.0  # pixels for the names on the left, and between panels
# Colours are written as attributes, since the picture stands alone; ink and lines are readable on white.
INK = {"fill": "#1f2430", "font-family": "system-ui, sans-serif", "font-size": "12"}
PALE, DOT, REFERENCE = "#c9ced8", "#2f6db3", "#c2571a"


class Line(NamedTuple):
    """One method: gap recovered with its interval, as shares."""

    name: str
    value: float
    low: float
    high: float
    reference: bool = False


class Panel(NamedTuple):
    """One world."""

    title: str
    lines: Sequence[Line]


def draw(panels: Sequence[Panel]) -> str:
    """An SVG document."""
    height = TOP + ROW * max(len(panel.lines) for panel in panels) + BOTTOM
    drawing = Drawing(WIDTH, height, "Gap between labels only (0 %) and teacher (100 %) that each method recovers", "")
    drawing.root.set("xmlns", "http://www.w3.org/2000/svg")
    drawing.add("rect", x=0, y=0, width=WIDTH, height=height, fill="#ffffff")
    _text(
        drawing, 14, 22, "Gap recovered between labels only (0 %) and the teacher (100 %), 95 % intervals", weight="600"
    )
    wide = (WIDTH - SIDE) / len(panels)
    for number, panel in enumerate(panels):
        _panel(drawing, panel, number * (wide + SIDE / len(panels)), wide - SIDE / len(panels), height - BOTTOM)
    return ET.tostring(drawing.root, encoding="unicode") + "\n"


def _panel(drawing: Drawing, panel: Panel, left: float, width: float, bottom: float) -> None:
    low = min(0.0, *(max(line.low, -1.0) for line in panel.lines))
    high = max(1.0, *(min(line.high, 1.5) for line in panel.lines))
    x = Scale(low, high, left + NAMES, left + width - 8)
    _text(drawing, left + 14, 48, panel.title, weight="600")
    for tick in x.ticks(5):
        strong = abs(tick) < 1e-9 or abs(tick - 1) < 1e-9
        drawing.add("line", x1=x(tick), y1=TOP - 12, x2=x(tick), y2=bottom, stroke="#6b7280" if strong else PALE)
        _text(drawing, x(tick), bottom + 18, f"{100 * tick:.0f} %", anchor="middle")
    for line in panel.lines:
        if line.reference:
            x_of = x(line.value)
            drawing.add("line", x1=x_of, y1=TOP - 12, x2=x_of, y2=bottom, stroke=REFERENCE, stroke_dasharray="3 3")
    for number, line in enumerate(panel.lines):
        _row(drawing, line, x, left + NAMES - 10, TOP + ROW * number)


def _row(drawing: Drawing, line: Line, x: Scale, names: float, y: float) -> None:
    colour = REFERENCE if line.reference else DOT
    ends = (x(min(max(end, x.low), x.high)) for end in (line.low, line.high))
    start, end = ends
    tip = f"{line.name}: {100 * line.value:.0f} % [{100 * line.low:.0f}, {100 * line.high:.0f}]"
    _text(drawing, names, y + 4, line.name, anchor="end", weight="600" if line.reference else "400")
    drawing.add("line", x1=start, y1=y, x2=end, y2=y, stroke=colour, stroke_width=2)
    drawing.add("circle", "", tip, cx=x(min(max(line.value, x.low), x.high)), cy=y, r=4, fill=colour)


def _text(drawing: Drawing, x: float, y: float, text: str, *, anchor: str = "start", weight: str = "400") -> None:
    drawing.add("text", x=x, y=y, text_anchor=anchor, font_weight=weight, **INK).text = text
