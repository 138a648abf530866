"""The league's arithmetic: equal tuning, the gap and its interval, a page and a picture made of results."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from benchmarks.league_entries import NEEDS_MAPS, NOT_APPLICABLE, TRIALS, entries
from benchmarks.league_page import Row, WorldResult, gap_recovered, judge, write_page
from numpy.typing import NDArray

from stillhouse import methods
from stillhouse.evaluation.resampling import RowResamples

ROWS = 400
PAIRS = [("blocks.1", "blocks.1"), ("pool.0", "blocks.4")]


def draws(accuracy: float, seeds: int, seed: int) -> NDArray[np.float64]:
    return (np.random.default_rng(seed).random((seeds, ROWS)) < accuracy).astype(np.float64)


def words(hits: NDArray[np.float64]) -> list[str]:
    return ["".join(str(int(x)) for x in line) for line in hits]


def test_every_method_has_the_same_number_of_trials_and_none_is_forgotten() -> None:
    for pairs, missing in ((PAIRS, set(NOT_APPLICABLE)), ([], {*NOT_APPLICABLE, *NEEDS_MAPS})):
        playing = entries(pairs)
        assert {len(entry.trials) for entry in playing} == {TRIALS}
        assert {e.name for e in playing} - {"label smoothing", "function matching"} == set(methods.names()) - missing
        assert all(len({(t.words(), t.store) for t in e.trials}) == TRIALS for e in playing)


def test_every_trial_is_a_setting_that_its_method_knows() -> None:
    for entry in entries(PAIRS):
        for trial in entry.trials:
            if trial.method is not None:
                methods.make(trial.method, **trial.settings)


def test_the_gap_is_the_ratio_of_mean_accuracies() -> None:
    distilled, scratch, teacher = draws(0.8, 5, 0), draws(0.7, 5, 1), draws(0.9, 1, 2)
    found = gap_recovered(distilled, scratch, teacher, RowResamples(ROWS, 1000))
    by_hand = (distilled.mean() - scratch.mean()) / (teacher.mean() - scratch.mean())
    assert found.value == pytest.approx(by_hand, rel=1e-9)
    assert found.low < found.value < found.high


def test_the_ends_of_the_scale_are_labels_only_and_the_teacher() -> None:
    scratch, teacher = draws(0.7, 5, 1), draws(0.9, 1, 2)
    resamples = RowResamples(ROWS, 500)
    assert tuple(gap_recovered(scratch, scratch, teacher, resamples)) == pytest.approx((0, 0, 0), abs=1e-9)
    whole = gap_recovered(np.repeat(teacher, 5, 0), scratch, teacher, resamples)
    assert tuple(whole) == pytest.approx((1, 1, 1), abs=1e-9)


def test_the_interval_covers_the_true_ratio_about_as_often_as_it_says() -> None:
    covered = 0
    for trial in range(60):
        distilled, scratch = draws(0.8, 5, 3 * trial), draws(0.7, 5, 3 * trial + 1)
        found = gap_recovered(distilled, scratch, draws(0.9, 1, 3 * trial + 2), RowResamples(ROWS, 300))
        covered += found.low <= 0.5 <= found.high
    assert covered >= 52  # 95 % of 60 is 57; below 52 has a chance of one in two hundred


def result() -> WorldResult:
    rows = [
        Row("hinton", "logit", "temperature 4, share 0.9", 0.8, words(draws(0.8, 5, 0))),
        Row("crd", "contrast", "share 0.5", 0.8, words(draws(0.5, 5, 1))),
    ]
    teacher = words(draws(0.95, 1, 3))[0]
    counts = {"student": 10, "teacher": 99}
    return WorldResult("mnist1d", rows, words(draws(0.7, 5, 2)), teacher, counts, 0.01, 36.0, ["vid"])


def test_rows_are_sorted_and_told_apart_from_hinton() -> None:
    first, second = judge(result())
    assert [first.row.name, second.row.name] == ["hinton", "crd"]
    assert second.against_hinton.interval.high < 0
    assert second.p < 0.05


def test_the_page_says_plainly_who_helps_who_does_not_and_who_failed(tmp_path: Path) -> None:
    write_page(tmp_path, [result()], steps=7, seeds=5)
    page = (tmp_path / "league.md").read_text()
    for line in (
        "Better than labels only (1 of 2): hinton.",
        "Worse than labels only: crd.",
        "Worse than well-tuned hinton (1 of 1): crd.",
        "Training failed: vid.",
        "These are small worlds",
    ):
        assert line in page
    picture = ET.fromstring((tmp_path / "league.svg").read_text())
    names = [e.text for e in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"hinton", "crd"} <= set(names)


def test_some_that_play_alone_are_on_a_page_of_their_own_that_names_the_command(tmp_path: Path) -> None:
    write_page(tmp_path, [result()], steps=7, seeds=5, only=["crd"])
    page = (tmp_path / "league_some.md").read_text()
    assert "python -m benchmarks.league --steps 7 --seeds 5 --only crd" in page
    assert "Worse than labels only: crd." in page
    assert not (tmp_path / "league.md").exists()
