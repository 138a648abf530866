"""The pictures of the report, each a pure function from figures to markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stillhouse.reporting.figures import Interval
from stillhouse.reporting.svg import LEFT, Axis, Drawing, Drawn, Scale, frame, left_of, padded
from stillhouse.reporting.wording import Arm, Ticks, count, percent, percents

WIDTH, HEIGHT = 420.0, 270.0  # of a framed chart: legible when a phone shows it at nine tenths
RIGHT, TOP, BOTTOM = 12.0, 26.0, 44.0
ROW_WIDTH, ROW_HEIGHT = 240.0, 26.0  # of the one-row pictures inside tables


@dataclass(frozen=True)
class Series:
    """A line over steps with a band around it."""

    arm: Arm
    label: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Point:
    """One model of a scatter: its cost, and its figure with an interval."""

    arm: Arm
    x: float
    y: Interval


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: all shares of one, ``count`` in rows."""

    confidence: float
    accuracy: Interval
    count: float


def row_scale(intervals: Sequence[Interval], include: Sequence[float] = (0.0,)) -> Scale:
    """Return the common scale of the one-row pictures of a table."""
    ends = [*include, *(i.low for i in intervals), *(i.high for i in intervals)]
    low, high = padded(ends)
    return Scale(low, high, 6, ROW_WIDTH - 6)


def interval_row(interval: Interval, scale: Scale, css: str, name: str, guides: Sequence[float] = ()) -> Drawn:
    """Draw one interval against zero; ``guides`` are further vertical lines (margins)."""
    drawing = Drawing(ROW_WIDTH, ROW_HEIGHT, name, "chart row")
    middle = ROW_HEIGHT / 2
    for guide in guides:
        drawing.line(scale(guide), 0, scale(guide), ROW_HEIGHT, "guide")
    drawing.line(scale(0.0), 0, scale(0.0), ROW_HEIGHT, "zero")
    drawing.line(scale(interval.low), middle, scale(interval.high), middle, f"{css} whisker")
    for end in (interval.low, interval.high):
        drawing.line(scale(end), middle - 4, scale(end), middle + 4, f"{css} whisker")
    drawing.mark(scale(interval.value), middle, "disc", css)
    return drawing.html()


def bar_row(interval: Interval, scale: Scale, css: str, name: str) -> Drawn:
    """Draw one signed bar from zero, with its interval as a thin line over it."""
    drawing = Drawing(ROW_WIDTH, ROW_HEIGHT, name, "chart row")
    start, end = sorted((scale(0.0), scale(interval.value)))
    drawing.add("rect", f"{css} bar", x=start, y=6, width=max(end - start, 0.5), height=ROW_HEIGHT - 12)
    drawing.line(scale(0.0), 0, scale(0.0), ROW_HEIGHT, "zero")
    if interval.high > interval.low:
        middle = ROW_HEIGHT / 2
        drawing.line(scale(interval.low), middle, scale(interval.high), middle, "thin")
    return drawing.html()


def axis_row(scale: Scale, write: Ticks) -> Drawn:
    """Draw the axis that the rows of a table share; it stands under the last of them."""
    drawing = Drawing(ROW_WIDTH, 20, "", "chart row")
    drawing.root.attrib.update({"aria-hidden": "true"})
    drawing.line(scale.start, 1, scale.end, 1, "axis")
    ticks = scale.ticks(4)
    for value, text in zip(ticks, write(ticks), strict=True):
        drawing.line(scale(value), 1, scale(value), 5, "axis")
        drawing.text(scale(value), 17, text, "tick", "middle")
    return drawing.html()


def curves(
    series: Sequence[Series],
    name: str,
    x_axis: Axis,
    y_axis: Axis,
    *,
    start: float | None = 0.0,
    guide: float | None = None,
    log: bool = False,
) -> Drawn:
    """Draw lines over some quantity; a band shows the seeds' range, or an interval.

    Args:
        series: the lines.
        name: what a screen reader says.
        x_axis: of the quantity.
        y_axis: of the lines.
        start: of the horizontal axis; None: where the first line starts.
        guide: height of a dashed line over the whole width.
        log: whether heights, all above 0, are on a logarithmic axis.
    """
    heights = [v for s in series for v in (*s.low, *s.high)]
    if log:
        low, high = min(heights) / 1.2, max(heights) * 1.2
    else:
        low, high = padded(heights if guide is None else [*heights, guide], 0.04)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP if y_axis.title else 8.0, log)
    first = min(min(s.x) for s in series) if start is None else start
    x = Scale(first, max(max(s.x) for s in series), left_of(y, y_axis), WIDTH - RIGHT)
    drawing = Drawing(WIDTH, HEIGHT, name)
    frame(drawing, x, y, x_axis, y_axis)
    if guide is not None:
        drawing.line(x.start, y(guide), x.end, y(guide), "guide")
    for s in series:
        upper = [(x(a), y(b)) for a, b in zip(s.x, s.high, strict=True)]
        lower = [(x(a), y(b)) for a, b in zip(s.x, s.low, strict=True)]
        drawing.path(upper + lower[::-1], f"{s.arm.css} band", closed=True)
    for s in series:
        line = [(x(a), y(b)) for a, b in zip(s.x, s.y, strict=True)]
        drawing.path(line, f"{s.arm.css} curve dash-{s.arm.shape}")
        drawing.mark(*line[-1], s.arm.shape, s.arm.css, s.label)
    return drawing.html()


def scatter(points: Sequence[Point], name: str, x_axis: Axis, y_axis: Axis, front: Sequence[Point] = ()) -> Drawn:
    """Draw quality against cost on a logarithmic axis, each model with its interval at its own cost.

    Where models have almost the same cost, the intervals lie on one another: the first is drawn widest and pale.
    A dashed line goes through the points of ``front``, in their order.
    """
    low, high = padded([v for p in points for v in (p.y.low, p.y.high)], 0.1)
    xs = [p.x for p in points]
    y = Scale(low, high, HEIGHT - BOTTOM, TOP if y_axis.title else 8.0)
    x = Scale(min(xs) / 1.6, max(xs) * 1.6, left_of(y, y_axis), WIDTH - RIGHT, log=True)
    drawing = Drawing(WIDTH, HEIGHT, name)
    frame(drawing, x, y, x_axis, y_axis)
    for one, other in pairwise(front):
        drawing.line(x(one.x), y(one.y.value), x(other.x), y(other.y.value), "guide")
    for point, over in _layered(points, x):
        place, css = x(point.x), f"{point.arm.css} whisker"
        if over:  # a pale band that the whiskers drawn later leave visible
            width = 1.75 + 5.0 * over
            drawing.add("rect", f"{point.arm.css} band", x=place - width / 2, y=y(point.y.high), width=width,
                        height=y(point.y.low) - y(point.y.high))  # fmt: skip
        drawing.line(place, y(point.y.low), place, y(point.y.high), css)
    for point in points:
        drawing.mark(x(point.x), y(point.y.value), point.arm.shape, point.arm.css, point.arm.label)
    return drawing.html()


def _layered(points: Sequence[Point], x: Scale, gap: float = 9.0) -> list[tuple[Point, int]]:
    """Each point with the number of points whose intervals are drawn over its own."""
    ordered = sorted(points, key=lambda p: p.y.low - p.y.high)  # the longest first

    def covers(over: Point, under: Point) -> bool:
        return abs(x(over.x) - x(under.x)) < gap and over.y.low < under.y.high and under.y.low < over.y.high

    return [(p, sum(covers(q, p) for q in ordered[i + 1 :])) for i, p in enumerate(ordered)]


def least(bins: Sequence[Bin]) -> float:
    """Return where the axes of reliability diagrams start, in tenths, so that all these bins are inside."""
    low = min([b.confidence for b in bins] + [b.accuracy.low for b in bins] + [0.9])
    return max(0.0, int(low * 10) / 10)


def reliability(
    bins: Sequence[Bin], arm: Arm, name: str, low: float, said: str = "confidence", held: str = "accuracy"
) -> Drawn:
    """Draw how often something holds against how surely it is said, and under it how many rows each bin has.

    Args:
        bins: the marks.
        arm: whose bins they are.
        name: what a screen reader says.
        low: where both axes start: the ``least`` of all diagrams that stand side by side.
        said: title of the horizontal axis.
        held: title of the vertical axis.
    """
    x, y = Scale(low, 1.0, LEFT, WIDTH - RIGHT), Scale(low, 1.0, HEIGHT - BOTTOM, TOP)
    drawing = Drawing(WIDTH, HEIGHT, name)
    frame(drawing, x, y, Axis(said, percents), Axis(held, percents))
    drawing.line(x(low), y(low), x(1.0), y(1.0), "guide")
    most = max(b.count for b in bins)
    for b in bins:
        place, height = x(b.confidence), 34 * b.count / most if most else 0.0
        drawing.add("rect", "share", x=place - 5, y=y.start - height, width=10, height=height)
    for b in bins:
        place = x(b.confidence)
        drawing.line(place, y(b.accuracy.low), place, y(b.accuracy.high), f"{arm.css} whisker")
        tip = f"{said} {percent(b.confidence)}, {held} {percent(b.accuracy.value)}, {count(b.count)} rows"
        drawing.mark(place, y(b.accuracy.value), arm.shape, arm.css, tip)
    return drawing.html()


def matrix(shares: Sequence[Sequence[float]], names: Sequence[str], name: str, *, judged: bool = True) -> Drawn:
    """Draw a square matrix of shares (0 to 1): a row for what is true, a column for what was predicted.

    Up to 12 rows the shares stand in the cells; up to 30 the rows and columns are named along the sides.

    Args:
        shares: (C, C).
        names: of the classes.
        name: what a screen reader says.
        judged: whether a share off the diagonal is an error; else all cells have one colour.
    """
    count_ = len(names)
    left = 74.0 if count_ <= 30 else 16.0
    cell = min((WIDTH - left - 4) / count_, 84.0)
    flat = all(len(label) * 7 < cell for label in names)  # the names fit under their columns
    below = (0 if count_ > 30 else 20 if flat else 66) + 4
    drawing = Drawing(WIDTH, 18 + cell * count_ + below, name)
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            css = "hit" if i == j or not judged else "miss"
            tip = f"true {names[i]}, predicted {names[j]}: {percent(share)}"
            _cell(drawing, (left + j * cell, 18 + i * cell, cell), share, css, tip, count_ <= 12)
    if count_ <= 30:
        for i, label in enumerate(names):
            drawing.text(left - 6, 18 + (i + 0.5) * cell + 4, clipped(label, 10), "tick", "end")
            _column_label(drawing, left + (i + 0.5) * cell, 18 + count_ * cell, label, flat)
    drawing.text(left, 11, "predicted →", "label")
    drawing.text(left - 6, 11, "true ↓", "label", "end") if count_ <= 30 else None
    return drawing.html()


def _cell(drawing: Drawing, place: tuple[float, float, float], share: float, css: str, tip: str, written: bool) -> None:
    x, y, size = place
    # Square root: mistakes of one in a hundred stay visible beside a diagonal of ninety-nine. At most a half: the ink
    # of the page keeps its contrast on every cell, in light and in dark.
    opacity = 0.5 * max(share, 0.0) ** 0.5
    drawing.add("rect", f"{css} box", tip, x=x, y=y, width=size - 1, height=size - 1, fill_opacity=opacity)
    if written:
        text = "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"
        drawing.text(x + size / 2, y + size / 2 + 4, text, "cell" if share >= 0.005 else "none", "middle")


def _column_label(drawing: Drawing, x: float, y: float, label: str, flat: bool) -> None:
    if flat:
        drawing.text(x, y + 15, label, "tick", "middle")
    else:
        label = clipped(label, 10)
        element = drawing.add("text", "tick", x=x, y=y + 8, text_anchor="end", transform=f"rotate(-60 {x:.1f} {y:.1f})")
        element.text = label


def probabilities_row(student: float, teacher: float, name: str) -> Drawn:
    """Draw the probability that the student (bar) and the teacher (diamond) give to one class."""
    scale = Scale(0.0, 1.0, 5, 115)
    drawing = Drawing(120, 14, name, "chart small")
    drawing.line(scale(0.0), 7, scale(1.0), 7, "grid")
    drawing.add("rect", "arm-distilled bar", x=scale(0.0), y=3, width=110 * student, height=8)
    drawing.mark(scale(teacher), 7, "diamond", "arm-teacher")
    return drawing.html()


def swatch(arm: Arm) -> Drawn:
    """Draw an arm's mark alone, for a legend or beside its name."""
    drawing = Drawing(14, 14, "", "swatch")
    drawing.root.attrib.update({"aria-hidden": "true"})
    drawing.mark(7, 7, arm.shape, arm.css)
    return drawing.html()


def clipped(label: str, length: int) -> str:
    """Shorten a long name, with an ellipsis in place of what is left out."""
    return label if len(label) <= length else f"{label[: length - 1]}…"
