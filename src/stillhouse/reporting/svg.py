"""Drawing by elements: SVG that takes its colours from the page and holds any text safely.

Colours are classes, never values, so that a drawing follows the page into dark mode and onto paper; no ``style``
attribute is written, because the page's content security policy forbids them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from stillhouse.reporting.wording import Ticks

LEFT, TICK_WIDTH = 52.0, 7.0  # of the area beside a vertical axis, and of one character in it


class Drawn(str):
    """Markup whose texts are escaped already: a template shows it as it is, unlike every other text."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the markup itself, by the convention that templates follow."""
        return self


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic map from values in [low, high] to pixels in [start, end]."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values outside the range fall outside the frame."""
        low, high = self._inner(self.low), self._inner(self.high)
        share = (self._inner(value) - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def _inner(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value

    def ticks(self, count: int = 5) -> list[float]:
        """Return about ``count`` round values inside the range.

        >>> Scale(0.0, 1.0, 0, 100).ticks(5)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        >>> Scale(900.0, 250_000.0, 0, 100, log=True).ticks()
        [1000.0, 10000.0, 100000.0]
        """
        return self._log_ticks(count) if self.log else self._linear_ticks(count)

    def _linear_ticks(self, count: int) -> list[float]:
        span = self.high - self.low
        if not span > 1e-300:
            return [self.low]
        raw = span / count
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw * 0.75)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]

    def _log_ticks(self, count: int) -> list[float]:
        bottom, top = math.floor(self._inner(self.low)), math.ceil(self._inner(self.high))
        for multiples in ((1,), (1, 3), (1, 2, 5)):
            found = [m * 10.0**e for e in range(bottom, top + 1) for m in multiples]
            inside = [v for v in found if self.low <= v <= self.high]
            if len(inside) >= 3:
                return inside[:: math.ceil(len(inside) / (count + 1))]
        return self._linear_ticks(count)


def padded(values: list[float], share: float = 0.06) -> tuple[float, float]:
    """Return the range of some values with a margin on both sides, so that no mark touches the frame.

    Values that are all the same get a readable range that hardly passes them. A share never gets room above one.

    >>> padded([0.5, 1.0], 0.1), padded([1.0, 1.0])
    ((0.45, 1.05), (0.98, 1.001))
    """
    low, high = min(values), max(values)
    if high > low:
        margin = (high - low) * share
        return low - margin, high + margin
    far, near = (0.02 * abs(low), 0.001 * abs(low)) if low else (0.05, 0.001)
    return (low - far, low + near) if low > 0 else (low - near, low + far)


class Drawing:
    """One SVG picture with an accessible name; sizes are in its own pixels and scale with the page."""

    def __init__(self, width: float, height: float, name: str, css: str = "chart") -> None:
        """Start an empty picture; ``name`` is what a screen reader says instead of it."""
        self.root = ET.Element(
            "svg",
            {"viewBox": f"0 0 {width:g} {height:g}", "class": css, "role": "img", "aria-label": name},
        )

    def add(self, tag: str, css: str = "", tip: str = "", **attributes: float | str) -> ET.Element:
        """Append an element; underscores in attribute names stand for hyphens; ``tip`` is shown on hovering."""
        given = {k.replace("_", "-"): _number(v) for k, v in attributes.items()}
        element = ET.SubElement(self.root, tag, ({"class": css} if css else {}) | given)
        if tip:
            ET.SubElement(element, "title").text = tip
        return element

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """Draw a straight line."""
        self.add("line", css, x1=x1, y1=y1, x2=x2, y2=y2)

    def text(self, x: float, y: float, text: str, css: str = "tick", anchor: str = "start") -> None:
        """Write text; ``anchor`` is start, middle or end."""
        self.add("text", css, x=x, y=y, text_anchor=anchor).text = text

    def path(self, points: list[tuple[float, float]], css: str, closed: bool = False) -> None:
        """Draw a polyline, or fill a polygon."""
        if points:
            steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            self.add("path", css, d=f"M{steps}{' Z' if closed else ''}")

    def mark(self, x: float, y: float, shape: str, css: str, tip: str = "") -> None:
        """Draw a mark of about 9 px: disc, ring, diamond, square or cross."""
        r = 4.5
        if shape in {"disc", "ring"}:
            self.add("circle", f"{css} {shape}", tip, cx=x, cy=y, r=r)
        elif shape == "cross":
            self.add("path", f"{css} cross", tip, d=f"M{x - r:.1f} {y - r:.1f} l9 9 m0 -9 l-9 9")
        else:
            tilt = {"transform": f"rotate(45 {x:.1f} {y:.1f})"} if shape == "diamond" else {}
            self.add("rect", f"{css} {shape}", tip, x=x - r + 0.5, y=y - r + 0.5, width=8, height=8, **tilt)

    def html(self) -> Drawn:
        """Return the picture as markup for an HTML page; all text in it is escaped."""
        return Drawn(ET.tostring(self.root, encoding="unicode"))


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Axis:
    """What stands along one side of a frame."""

    title: str
    write: Ticks
    count: int = 5


def left_of(y: Scale, axis: Axis) -> float:
    """Return the width that the ticks of a vertical axis need."""
    return max(LEFT, 10 + TICK_WIDTH * max(map(len, axis.write(y.ticks(axis.count))), default=0))


def frame(drawing: Drawing, x: Scale, y: Scale, x_axis: Axis, y_axis: Axis) -> None:
    """Draw grid lines, tick labels and axis titles around the area that two scales span."""
    rows, columns = y.ticks(y_axis.count), x.ticks(x_axis.count)
    for value, text in zip(rows, y_axis.write(rows), strict=True):
        drawing.line(x.start, y(value), x.end, y(value), "grid")
        drawing.text(x.start - 6, y(value) + 4, text, "tick", "end")
    for value, text in zip(columns, x_axis.write(columns), strict=True):
        drawing.line(x(value), y.start, x(value), y.start + 4, "axis")
        drawing.text(x(value), y.start + 17, text, "tick", "middle")
    drawing.line(x.start, y.start, x.end, y.start, "axis")
    drawing.text((x.start + x.end) / 2, y.start + 35, x_axis.title, "label", "middle")
    drawing.text(x.start - 6, y.end - 10, y_axis.title, "label", "start")
