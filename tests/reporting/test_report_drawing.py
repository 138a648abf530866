import math
import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stillhouse.reporting.charts import Bin, Point, Series, curves, interval_row, least, matrix, row_scale, scatter
from stillhouse.reporting.figures import Interval
from stillhouse.reporting.png import as_bytes, encode
from stillhouse.reporting.svg import Axis, Drawing, Scale
from stillhouse.reporting.wording import Arm, decimal, percent, percents, plain, points, shorts
from tests.reporting.markup import Markup

finite = st.floats(-1e9, 1e9)


def decoded(png: bytes) -> np.ndarray:
    """Pixels of an unfiltered 8-bit PNG, read by the specification's chunks."""
    assert png[:8] == bytes([137, 80, 78, 71, 13, 10, 26, 10])
    at, chunks = 8, {}
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        chunks[kind], at = data, at + 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert depth == 8
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width) if colour == 0 else rows[:, 1:].reshape(height, width, 3)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_grey_image_survives_png(image: np.ndarray) -> None:
    assert np.array_equal(decoded(encode(image)), image)


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_a_colour_image_survives_png(image: np.ndarray) -> None:
    assert np.array_equal(decoded(encode(image)), image)


@pytest.mark.parametrize(
    ("shape", "seen"),
    [((2, 5, 6), (2, 5, 6)), ((2, 1, 5, 6), (2, 5, 6)), ((2, 5, 6, 1), (2, 5, 6)), ((2, 3, 5, 6), (2, 5, 6, 3)),
     ((2, 5, 6, 3), (2, 5, 6, 3)), ((2, 7, 5, 6), (2, 5, 6))],
)  # fmt: skip
def test_raw_images_of_any_layout_become_bytes_on_one_scale(shape: tuple[int, ...], seen: tuple[int, ...]) -> None:
    values = np.linspace(-1.0, 1.0, math.prod(shape)).reshape(shape)
    shown = as_bytes(values)
    assert shown.shape == seen
    assert shown.dtype == np.uint8
    assert shown.min() < 128 < shown.max()


def test_an_image_that_is_all_one_value_is_shown() -> None:
    assert as_bytes(np.full((1, 2, 2), 7.0)).tolist() == [[[0, 0], [0, 0]]]


def test_an_image_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        encode(np.zeros((2, 2, 4), np.uint8))


@given(finite, finite)
def test_ticks_lie_inside_the_range_in_order_and_are_few(a: float, b: float) -> None:
    low, high = sorted((a, b))
    ticks = Scale(low, high, 0, 100).ticks(5)
    assert len(ticks) <= 9
    assert ticks == sorted(ticks)
    slack = 1e-6 * max(high - low, abs(low), abs(high), 1e-6)
    assert all(low - slack <= t <= high + slack for t in ticks)


@given(st.floats(1e-6, 1e9), st.floats(1.01, 1e6))
def test_a_logarithmic_axis_always_has_ticks_inside_its_range(low: float, factor: float) -> None:
    ticks = Scale(low, low * factor, 0, 100, log=True).ticks()
    assert 1 <= len(ticks) <= 9
    assert all(low * 0.999 <= t <= low * factor * 1.001 for t in ticks)


@given(st.floats(1e-3, 1e3), st.floats(1.1, 1e3), st.booleans())
def test_a_scale_meets_its_ends(low: float, factor: float, log: bool) -> None:
    scale = Scale(low, low * factor, 10, 200, log=log)
    assert scale(low) == pytest.approx(10)
    assert scale(low * factor) == pytest.approx(200)


def test_a_scale_without_extent_is_drawn_in_the_middle() -> None:
    assert Scale(3.0, 3.0, 0, 100)(3.0) == 50


@given(st.text())
def test_any_text_stays_text_in_a_drawing(text: str) -> None:
    drawing = Drawing(10, 10, text)
    drawing.text(1, 1, text)
    drawing.mark(1, 1, "disc", "arm-teacher", text)
    tags = [tag for tag, _ in Markup(drawing.html()).tags]
    assert sorted(set(tags)) in (["circle", "svg", "text"], ["circle", "svg", "text", "title"])


def test_an_interval_is_drawn_where_it_is() -> None:
    intervals = [Interval(0.1, 0.05, 0.15), Interval(-0.1, -0.2, 0.0)]
    scale = row_scale(intervals)
    drawn = Markup(interval_row(intervals[0], scale, "tone-good", "a"))
    whisker = next(line for line in drawn.all("line") if "whisker" in line["class"])
    assert float(whisker["x1"]) == pytest.approx(scale(0.05), abs=0.01)
    assert float(whisker["x2"]) == pytest.approx(scale(0.15), abs=0.01)
    assert float(drawn.all("circle")[0]["cx"]) == pytest.approx(scale(0.1), abs=0.01)


def test_models_of_equal_cost_stand_at_their_cost_and_each_interval_can_be_seen() -> None:
    arms = [Arm(shape, "arm-control", shape) for shape in ("disc", "ring", "square")]
    lengths = (0.15, 0.10, 0.05)
    points_ = [Point(arm, 1000.0, Interval(0.9, 0.9 - x, 0.95)) for arm, x in zip(arms, lengths, strict=True)]
    svg = Markup(scatter(points_, "cost", Axis("parameters", shorts), Axis("accuracy", percents)))
    whiskers = [float(line["x1"]) for line in svg.all("line") if "whisker" in line["class"]]
    assert len(whiskers) == 3
    assert np.ptp(whiskers) == 0
    widths = [float(rect["width"]) for rect in svg.all("rect") if "band" in rect["class"]]
    assert widths == sorted(set(widths), reverse=True)
    assert len(widths) == 2  # the shortest interval lies on top


def test_reliability_diagrams_side_by_side_start_at_one_value() -> None:
    low = least([Bin(0.95, Interval(0.9, 0.85, 0.95), 3), Bin(0.62, Interval(0.5, 0.35, 0.7), 3)])
    assert low == pytest.approx(0.3)


def test_a_share_off_the_diagonal_is_an_error_only_where_predictions_are_judged() -> None:
    uniform = [[0.5, 0.5], [0.5, 0.5]]
    assert "miss" in matrix(uniform, ["a", "b"], "confusion")
    assert "miss" not in matrix(uniform, ["a", "b"], "mean probabilities", judged=False)


def test_every_cell_has_a_frame_and_a_figure_that_is_not_rounded_to_none() -> None:
    drawn = Markup(matrix([[0.998, 0.002], [0.0, 1.0]], ["a", "b"], "confusion"))
    assert all("box" in rect["class"] for rect in drawn.all("rect"))
    assert [text for text in drawn.texts if text in ("<1", "0", "100")] == ["100", "<1", "0", "100"]


def test_a_curve_has_a_band_from_the_least_to_the_greatest_seed() -> None:
    series = Series(Arm("Distilled", "arm-distilled", "disc"), "Distilled", [1, 2], [0.5, 0.6], [0.4, 0.5], [0.6, 0.7])
    paths = Markup(curves([series], "c", Axis("step", plain), Axis("", plain))).all("path")
    assert [p["class"] for p in paths] == ["arm-distilled band", "arm-distilled curve dash-disc"]
    heights = [float(y) for y in paths[0]["d"].replace("M", "").replace("L", "").replace("Z", "").split()[1::2]]
    shares = [(h - heights[3]) / (heights[1] - heights[3]) for h in heights]
    assert shares == pytest.approx([2 / 3, 1.0, 1 / 3, 0.0], abs=0.01)  # 0.6, 0.7, 0.5, 0.4 around the outline


@pytest.mark.parametrize("classes", [2, 10, 13, 31, 60])
def test_a_confusion_matrix_has_a_cell_for_each_pair_of_classes(classes: int) -> None:
    names = [f"class number {i}" for i in range(classes)]
    drawn = Markup(matrix(np.eye(classes).tolist(), names, "c"))
    assert len(drawn.all("rect")) == classes**2
    assert sum("hit" in r["class"] for r in drawn.all("rect")) == classes


@given(st.floats(-2, 2))
def test_written_numbers_read_back_to_the_printed_precision(value: float) -> None:
    assert float(decimal(value).replace("−", "-")) == pytest.approx(value, abs=0.000501)
    assert float(percent(value)[:-2].replace("−", "-")) == pytest.approx(100 * value, abs=0.0501)
    assert float(points(value).replace("−", "-")) == pytest.approx(100 * value, abs=0.0501)


@given(st.floats(0.0, 1.0), st.floats(1e-6, 1.0))
def test_no_two_ticks_of_an_axis_read_the_same(low: float, width: float) -> None:
    ticks = Scale(low, low + width, 0, 100).ticks(5)
    for write in (percents, plain):
        texts = write(ticks)
        assert len(set(texts)) == len(ticks)
    read = [float(text[:-2].replace("−", "-")) / 100 for text in percents(ticks)]
    assert read == pytest.approx(ticks, abs=1e-3 * width)


def test_ticks_close_to_the_whole_have_the_digits_that_they_need() -> None:
    assert percents(Scale(0.9962, 1.0, 0, 100).ticks(4)) == ["99.7 %", "99.8 %", "99.9 %", "100.0 %"]


@pytest.mark.parametrize("value", [0.0, 0.003, 0.97, 1.0])
def test_a_share_that_never_changes_has_ticks_that_are_shares(value: float) -> None:
    arm = Arm("Distilled", "arm-distilled", "disc")
    flat = Series(arm, "Distilled", [1, 2], [value] * 2, [value] * 2, [value] * 2)
    texts = re.findall(r">([−0-9.]+) %<", curves([flat], "c", Axis("step", shorts), Axis("", percents)))
    assert len(texts) == len(set(texts)) >= 2
    assert all(0.0 <= float(text.replace("−", "-")) <= 100.0 for text in texts)
    assert all(len(text) <= 6 for text in texts)
