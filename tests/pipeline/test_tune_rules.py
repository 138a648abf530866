"""The rules of a tournament: who wins, what a budget allows, what time is left for the run of the winner."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse import tasks
from stillhouse.pipeline.tuning.candidate import DONE, STOPPED, goes_on
from stillhouse.pipeline.tuning.clock import LEAST, Before, Clock, Moment
from stillhouse.pipeline.tuning.leaderboard import Row, best_of, on_front
from stillhouse.recipe import Limits
from stillhouse.reporting.leaderboard import as_csv, notes

FREE = Limits()


def row(number: int | None, value: float, **facts: Any) -> Row:
    kept = {"bytes": 100, "ms_1": 1.0, "parameters": 25, "seconds": 10.0} | facts
    arm = None if number is not None else "simple"
    return Row(number, arm, "", kept.pop("state", DONE), {"accuracy": value, "nll": kept.pop("nll", -1.0)}, **kept)


def test_the_best_candidate_wins_and_no_rival_does() -> None:
    rows = [row(None, 0.99), row(0, 0.9), row(1, 0.95), row(2, 0.97, state=STOPPED)]
    found = best_of(rows, FREE)
    assert found is not None
    assert found.number == 1


def test_of_equals_the_second_measure_decides_then_the_size_then_the_number() -> None:
    rows = [row(0, 0.9), row(1, 0.9, nll=-0.5), row(2, 0.9, nll=-0.5, bytes=50), row(3, 0.9, nll=-0.5, bytes=50)]
    found = best_of(rows, FREE)
    assert found is not None
    assert found.number == 2


def test_a_budget_shuts_out_what_is_larger_or_slower_and_nodes_are_no_parameters() -> None:
    rows = [row(0, 0.99, bytes=2000), row(1, 0.98, ms_1=9.0), row(2, 0.97, parameters=900, unit="nodes"), row(3, 0.5)]
    found = best_of(rows, Limits(bytes=1000, latency_ms=2.0, parameters=500))
    assert found is not None
    assert found.number == 2
    assert best_of(rows, Limits(bytes=10)) is None


points = st.lists(st.tuples(st.sampled_from([0.5, 0.6, 0.7]), st.sampled_from([1.0, 2.0, 3.0])), min_size=1, max_size=8)


@given(points)
def test_each_point_off_the_front_is_beaten_by_one_on_it(drawn: list[tuple[float, float]]) -> None:
    rows = [row(n, value, ms_1=ms) for n, (value, ms) in enumerate(drawn)]
    front = [one for one in rows if on_front(one, rows)]
    assert front
    for one in rows:
        as_good = [two for two in front if (two.value or 0) >= (one.value or 0) and (two.ms_1 or 0) <= (one.ms_1 or 0)]
        assert as_good


@given(st.lists(st.integers(0, 5), max_size=9), st.integers(0, 5))
def test_what_goes_on_is_in_the_better_half(earlier: list[int], mine: int) -> None:
    better = sum(value > mine for value in earlier)
    assert goes_on(mine, list(map(float, earlier))) == (better < (len(earlier) + 2) // 2)


def test_the_run_of_the_winner_gets_as_many_seeds_as_its_time_allows() -> None:
    slow, fast = row(0, 0.9, seconds=100.0), row(1, 0.9, seconds=1.0)
    clock = Clock(time.monotonic() + 550.0, nets=3, workers=2)
    clock.begin(Before())
    assert clock.seeds(fast, [0, 1, 2, 3, 4]) == [0, 1, 2, 3, 4]
    assert clock.seeds(slow, [4, 5, 6]) == [4, 5]
    assert not clock.over(fast)
    assert clock.allows(slow)
    assert not clock.allows(row(2, 0.9, seconds=1000.0))


def test_a_teacher_that_is_trained_again_is_part_of_the_time() -> None:
    clock = Clock(time.monotonic() + 100.0, nets=3, workers=2)
    clock.begin(Before(again=200.0))
    assert clock.over(row(0, 0.9, seconds=1.0))
    assert not clock.allows(row(0, 0.9, seconds=1.0))


@given(st.text(min_size=1, max_size=9).filter(lambda text: "\r" not in text))
def test_texts_of_the_leaderboard_come_back_from_its_csv_and_compute_nothing(why: str) -> None:
    one = {"number": 0, "words": f"=1+1, {why}", "state": "failed", "why": why, "figures": {}, "front": False}
    text = as_csv({"candidates": [{**one, "winner": False}]})
    (line,) = csv.DictReader(io.StringIO(text, newline=""))
    assert line["words"] == f"'=1+1, {why}"
    assert line["why"] in (why, f"'{why}")
    assert line["ms_1"] == ""


def test_one_candidate_and_one_rival_are_counted_as_one() -> None:
    found = {"state": DONE, "figures": {"accuracy": 0.9}, "front": True}
    lines = [{**found, "number": 0, "winner": True}, {**found, "words": "Labels only", "winner": False}]
    told = {"candidates": lines, "measure": "accuracy", "higher": True, "rows": 1200, "sampler": "TPE"}
    said = notes(told, tasks.get("classification"))[0]
    assert said.startswith("1 candidate and 1 rival on 1,200 validation rows, one net each (TPE); 0 stopped")


def test_other_work_on_the_machine_makes_the_rest_of_the_run_longer_and_self_training_is_more_than_one_fit() -> None:
    clocks = [Clock(time.monotonic() + 100.0, nets=4, workers=2, self_trained=alone) for alone in (False, True)]
    for clock in clocks:
        clock.begin(Before(rounds=3.0))
    alone, rounds = (clock.final(row(0, 0.9, seconds=10.0), 1) for clock in clocks)
    assert rounds - alone == pytest.approx(1.25 * 10)  # two more fits of 10 s on two workers, and their judgement
    clocks[0].set_up(Moment(0.0, 0.0), Moment(6.0, 2.0))
    assert clocks[0].final(row(0, 0.9, seconds=10.0), 1) - alone == pytest.approx(6.0 + 2 * LEAST)


def test_better_candidates_that_could_not_win_are_named() -> None:
    figures = {4: 0.9, 7: 0.95, 8: 0.93}
    lines = [
        {"number": number, "state": DONE, "figures": {"accuracy": value}, "front": True, "winner": number == 4}
        for number, value in figures.items()
    ]
    told = {"candidates": lines, "measure": "accuracy", "higher": True, "rows": 12, "sampler": "TPE"}
    said = notes(told, tasks.get("classification"))[1]
    assert said.startswith("Candidates 7, 8 have a better figure but")
    assert "candidate 4 has the best figure of the others and is trained again" in said


def test_without_a_limit_of_time_nothing_ends_early() -> None:
    clock = Clock(None, nets=3, workers=2)
    clock.begin(Before(again=10.0))
    assert clock.search_until(None) is None
    assert clock.seeds(row(0, 0.9, seconds=1e6), [1, 2, 3]) == [1, 2, 3]
