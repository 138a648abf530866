"""Corruptions do what their names and amounts say, the same for every net and every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.metrics import accuracy_score, roc_auc_score

from stillhouse.data.encoders.table import TableEncoder
from stillhouse.data.encoders.tensors import ArrayEncoder, ImageEncoder
from stillhouse.evaluation import ood, robustness
from stillhouse.evaluation.robustness import Rows


def images(rows: int = 40, side: int = 16) -> Rows:
    raw = np.random.default_rng(0).integers(0, 256, (rows, side, side)).astype(np.uint8)
    encoder = ImageEncoder.fit(raw)
    encoded = encoder.encode(raw)
    return Rows(encoded, raw, encoder, encoded, image=True)


def table(rows: int = 2000) -> Rows:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(5, 3, rows), "b": rng.exponential(2, rows)})
    frame["c"] = pd.Series(rng.choice(["x", "y"], rows), dtype=object)
    encoder = TableEncoder.fit(frame)
    encoded = encoder.encode(frame)
    return Rows(encoded, frame, encoder, encoded, image=False)


def by_name(rows: Rows) -> dict[tuple[str, int], Any]:
    return {(rung.name, rung.severity): rung for rung in robustness.rungs(rows)}


@pytest.mark.parametrize("rows", [images(), table()], ids=["images", "table"])
def test_there_are_five_severities_of_each_and_a_seed_replays_them(rows: Rows) -> None:
    first, again = by_name(rows), by_name(rows)
    assert {s for _, s in first} == {1, 2, 3, 4, 5}
    for key, rung in first.items():
        assert rung.inputs.shape == rows.inputs.shape
        assert torch.isfinite(rung.inputs).all()
        assert torch.equal(rung.inputs, again[key].inputs)
    for name in {n for n, _ in first}:
        amounts = [first[name, s].amount for s in range(1, 6)]
        assert sorted(amounts, reverse=name == "contrast") == amounts


def test_noise_has_the_standard_deviation_it_names() -> None:
    for rows in (images(), table()):
        width = 2 if not rows.image else None  # the columns of categories get none
        for (name, _), rung in by_name(rows).items():
            if name == "noise":
                added = (rung.inputs - rows.inputs).flatten(1)
                assert float(added[:, :width].std()) == pytest.approx(rung.amount, rel=0.05)
                if width:
                    assert torch.equal(rung.inputs[:, width:], rows.inputs[:, width:])


def test_blur_is_scipys_gaussian_filter_away_from_the_border() -> None:
    rows = images(3, 64)
    rung = by_name(rows)["blur", 1]
    assert rung.amount == pytest.approx(1.28)
    expected = [
        gaussian_filter(x[0], rung.amount, truncate=4 / rung.amount, mode="nearest") for x in rows.inputs.numpy()
    ]
    np.testing.assert_allclose(rung.inputs[:, 0, 9:-9, 9:-9], np.array(expected)[:, 9:-9, 9:-9], atol=2e-3)


def test_a_shift_moves_every_image_along_both_axes_by_the_pixels_it_names() -> None:
    rows = images(40, 16)
    rung = by_name(rows)["shift", 5]
    pixels = int(rung.amount)
    assert pixels == 4
    for before, after in zip(rows.inputs[:, 0], rung.inputs[:, 0], strict=True):
        moved = [torch.roll(before, (d, r), (0, 1)) for d in (-pixels, pixels) for r in (-pixels, pixels)]
        inner = slice(pixels, -pixels)
        assert sum(torch.equal(m[inner, inner], after[inner, inner]) for m in moved) == 1


def test_contrast_keeps_the_mean_of_an_image_and_scales_the_rest() -> None:
    rows = images()
    rung = by_name(rows)["contrast", 3]
    before, after = rows.inputs.flatten(1), rung.inputs.flatten(1)
    torch.testing.assert_close(after.mean(1), before.mean(1))
    torch.testing.assert_close(after.std(1), rung.amount * before.std(1))


def test_missing_cells_go_through_the_encoder_as_gaps_do() -> None:
    rows = table()
    rung = by_name(rows)["missing", 5]
    median = rows.encoder.encode(pd.DataFrame({"a": [np.nan], "b": [np.nan], "c": [None]}))
    share = torch.stack([rung.inputs[:, 0] == median[0, 0], (rung.inputs[:, 2:] == median[0, 2:]).all(1)])
    assert share.float().mean(1).tolist() == pytest.approx([0.5, 0.5], abs=0.05)
    assert rows.raw.isna().sum().sum() == 0, "the user's rows are left alone"


def test_missing_numbers_of_an_array_are_the_training_mean() -> None:
    raw = np.random.default_rng(0).normal(3, 2, (1000, 4))
    encoder = ArrayEncoder.fit(raw)
    encoded = encoder.encode(raw)
    rung = by_name(Rows(encoded[:500], raw[:500], encoder, encoded, image=False))["missing", 3]
    changed = rung.inputs != encoded[:500]
    assert float(changed.float().mean()) == pytest.approx(0.2, abs=0.03)
    np.testing.assert_allclose(rung.inputs[changed], 0.0, atol=1e-6)


def answers(inputs: Any) -> Mapping[str, Sequence[np.ndarray]]:
    """A net that says 1 where the first number is positive, and two seeds of a net that looks at the second."""

    def says(column: int, slope: float) -> np.ndarray:
        found: np.ndarray = torch.nn.functional.logsigmoid(
            torch.stack([-inputs[:, column], inputs[:, column]], 1).double() * slope
        ).numpy()
        return found

    return {"teacher": [says(0, 1.0)], "distilled": [says(1, 1.0), says(1, 2.0)]}


def test_the_ladder_holds_the_accuracy_of_each_arm_on_the_rows_that_the_rung_made() -> None:
    rows = table(300)
    targets = (rows.inputs[:, 0] > 0).long().numpy()
    told = robustness.ladder(rows, answers, targets, 200, 0.95)
    assert [(r["corruption"], r["severity"]) for r in told] == [(n, s) for n in ("noise", "missing") for s in range(6)]
    rung = by_name(rows)["noise", 4]
    entry = next(r for r in told if (r["corruption"], r["severity"]) == ("noise", 4))
    figure = entry["accuracy"]["teacher"]
    assert figure["value"] == pytest.approx(accuracy_score(targets, rung.inputs[:, 0].numpy() > 0))
    assert figure["low"] < figure["value"] < figure["high"]
    assert told[0]["accuracy"]["teacher"]["value"] == 1.0


def test_detection_is_scikit_learns_auc_of_the_confidence() -> None:
    rows = table(300)
    outside: Any = ood.outsiders(rows)
    (told,) = ood.detection(rows, answers, outside)
    for arm, nets in answers(rows.inputs).items():
        strange = answers(outside[told["outsiders"]])[arm]
        expected = [
            roc_auc_score([1] * len(a) + [0] * len(b), np.concatenate([a.max(1), b.max(1)]))
            for a, b in zip(nets, strange, strict=True)
        ]
        assert told["auroc"][arm]["seeds"] == pytest.approx(expected)
        assert told["auroc"][arm]["value"] == pytest.approx(np.mean(expected))


def test_shuffled_columns_keep_every_column_and_break_the_rows() -> None:
    rows = table(300)
    made: Any = ood.outsiders(rows)["shuffled columns"]
    for columns in ([0], [1], [2, 3, 4, 5]):
        before, after = (np.sort(x[:, columns].numpy() @ np.arange(1, len(columns) + 1)) for x in (rows.inputs, made))
        np.testing.assert_array_equal(before, after)
    assert float((made == rows.inputs).all(1).float().mean()) < 0.05


def test_inverted_images_span_the_training_range_and_shuffled_ones_keep_their_pixels() -> None:
    rows = images()
    made: Any = ood.outsiders(rows)
    assert float(made["inverted"].min()) == pytest.approx(float(rows.inputs.min()))
    ends = made["inverted"] + rows.inputs
    torch.testing.assert_close(ends, ends[:1, :, :1, :1].expand_as(ends))
    shuffled = made["shuffled pixels"].flatten(1)
    torch.testing.assert_close(shuffled.sort(1).values, rows.inputs.flatten(1).sort(1).values)
    assert not torch.equal(shuffled, rows.inputs.flatten(1))
