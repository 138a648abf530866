"""The gate keeps back what does not meet it, and says by how much."""

from __future__ import annotations

import copy
from typing import Any
from xml.etree import ElementTree

import pytest

from stillhouse.errors import UsageError
from stillhouse.evaluation import junit
from stillhouse.evaluation.gate import Criterion
from stillhouse.evaluation.gate import check as check_by
from stillhouse.tasks import get
from tests.evaluation.worlds import WORLDS, judged, regressors


def _compared(b: str, value: float, low: float, high: float) -> dict[str, Any]:
    return {"a": "distilled", "b": b, "measure": "accuracy", "difference": {"value": value, "low": low, "high": high}}


SCORES: dict[str, Any] = {
    "comparisons": [
        _compared("labels_only", 0.10, 0.08, 0.12),
        _compared("teacher", -0.02, -0.03, -0.01),
        _compared("labels_only", -0.5, -0.6, -0.4) | {"a": "distilled_same"},
    ],
    "models": {
        "teacher": {"ms_1": 2.0},
        "distilled": {
            "ms_1": 0.5,
            "calibration": {"ece": {"value": 0.03, "low": 0.01, "high": 0.06}},
            "harm": {
                "against": {
                    "teacher": {
                        "classes": [
                            {"name": "<b>&", "value": -0.08, "low": -0.15, "high": -0.01},
                            {"name": "dog", "value": 0.01, "low": -0.05, "high": 0.07},
                        ],
                        "group:site": [{"name": "north", "value": -0.04, "low": -0.07, "high": -0.01}],
                        "group:sex": [{"name": "f", "value": -0.05, "low": -0.09, "high": -0.01}],
                    }
                }
            },
        },
    },
    "costs": {"student": {"bytes": 20_000}},
}


def check(scores: dict[str, Any], gate: dict[str, Any]) -> list[Criterion]:
    return check_by(scores, gate, get("classification").criteria)


@pytest.mark.parametrize(
    ("gate", "value", "passed"),
    [
        ({"max_accuracy_loss": 0.03}, 0.02, True),
        ({"max_accuracy_loss": 0.025}, 0.02, False),  # the interval reaches 0.03
        ({"max_accuracy_loss": {"limit": 0.025, "by": "value"}}, 0.02, True),
        ({"max_loss": 0.03}, 0.02, True),
        ({"max_loss": 0.025}, 0.02, False),
        ({"min_gain": 0.08}, 0.10, True),
        ({"min_gain": 0.09}, 0.10, False),
        ({"max_class_loss": 0.08}, 0.08, True),
        ({"max_class_loss": {"limit": 0.10, "by": "bound"}}, 0.08, False),
        ({"max_group_loss": 0.05}, 0.05, True),
        ({"max_group_loss": 0.049}, 0.05, False),
        ({"max_ece": 0.05}, 0.03, False),
        ({"max_ece": 0.06}, 0.03, True),
        ({"max_latency_ratio": 0.25}, 0.25, True),
        ({"max_latency_ratio": 0.2}, 0.25, False),
        ({"max_bytes": 20_000}, 20_000, True),
        ({"max_bytes": 19_999}, 20_000, False),
    ],
)
def test_each_criterion(gate: dict[str, Any], value: float, passed: bool) -> None:
    (found,) = check(SCORES, gate)
    assert found.value == pytest.approx(value)
    assert found.passed is passed


@pytest.mark.parametrize(("low", "passed"), [(0.0, False), (1e-6, True)])
def test_no_gain_is_not_any_gain(low: float, passed: bool) -> None:
    rival = _compared("simple", low, low, 0.01) | {"asks": "gain"}
    scores = SCORES | {"comparisons": [c | {"asks": "loss"} for c in SCORES["comparisons"]] + [rival]}
    (found,) = check(scores, {"min_gain_over": "simple"})
    assert found.passed == passed
    (written,) = check(scores, {"min_gain_over": "simple", "min_gain": 0.0})
    assert written.passed, "a limit that is written is kept where it is reached"


def test_a_loss_turns_the_interval_round() -> None:
    (found,) = check(SCORES, {"max_accuracy_loss": 0.1})
    assert (found.low, found.high) == (0.01, 0.03)


def test_the_worst_class_and_group_are_named() -> None:
    classes, groups = check(SCORES, {"max_class_loss": 0.0, "max_group_loss": 0.0})
    assert classes.note.startswith("<b>&")
    assert groups.note.startswith("sex = f")


@pytest.mark.parametrize(
    "key", ["max_accuracy_loss", "max_class_loss", "max_group_loss", "max_ece", "max_bytes", "min_gain"]
)
def test_what_the_scores_do_not_hold_is_not_met(key: str) -> None:
    (found,) = check({}, {key: 1.0})
    assert (found.value, found.passed) == (None, False)
    assert found.note


@pytest.mark.parametrize(("value", "shown"), [(0.4, 0.4), (1.02, 1.0)])
def test_a_calibration_error_is_at_most_1(value: float, shown: float) -> None:
    scores = copy.deepcopy(SCORES)
    scores["models"]["distilled"]["calibration"]["ece"] = {"value": value, "low": 0.2, "high": 1.3}
    (found,) = check(scores, {"max_ece": 1.0})
    assert (found.value, found.low, found.high, found.passed) == (shown, 0.2, 1.0, True)


def test_an_undefined_figure_is_not_met() -> None:
    scores = copy.deepcopy(SCORES)
    scores["models"]["distilled"]["calibration"]["ece"] = {"value": None, "low": None, "high": None}
    assert not check(scores, {"max_ece": 1.0})[0].passed


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({}, "no criterion"),
        ({"max_ecee": 0.1}, "max_ece"),
        ({"max_ece": "0.1"}, "needs a number"),
        ({"max_ece": True}, "needs a number"),
        ({"max_ece": float("nan")}, "needs a number"),
        ({"max_ece": {"limit": 0.1, "bye": "value"}}, "'by'"),
        ({"max_ece": {"limit": 0.1, "by": "mood"}}, "bound"),
        ({"max_ece": {"by": "value"}}, "needs a number"),
        ({"min_verdict": "no worse within m"}, "non_inferior"),
        ({"min_verdict": "beter"}, "Did you mean 'better'"),
    ],
)
def test_a_wrong_gate_is_a_usage_error_that_names_the_cure(gate: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(SCORES, gate)


def test_junit_is_xml_with_a_case_for_each_criterion() -> None:
    criteria = check(SCORES, {"max_class_loss": 0.01, "min_gain": 0.05})
    suite = ElementTree.fromstring(junit(criteria))
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "2", "1")
    failed, met = suite.findall("testcase")
    failure = failed.find("failure")
    assert failure is not None
    assert "<b>&" in str(failure.get("message"))
    assert met.find("failure") is None
    assert "0.1 (0.08 to 0.12)" in str(met.findtext("system-out"))


@pytest.mark.parametrize(
    ("least", "found", "passed"),
    [
        ("better", "better", True),
        ("better", "non_inferior", False),
        ("non_inferior", "non_inferior", True),
        ("non_inferior", "inconclusive", False),
        ("inconclusive", "worse", False),
        ("worse", "worse", True),
    ],
)
def test_a_verdict_is_held_against_the_least_that_will_do(least: str, found: str, passed: bool) -> None:
    (criterion,) = check(SCORES | {"verdict": found}, {"min_verdict": least})
    assert criterion.passed is passed
    shown = str(junit([criterion]))
    assert "non_inferior" not in shown
    assert ("no worse within m" in shown) == ("non_inferior" in (least, found))


@pytest.mark.parametrize(
    ("task", "gate"),
    [
        ("regression", {"max_r2_loss": 0.2, "min_gain": 0.1, "max_rmse": 1.2, "min_coverage": 0.8}),
        ("multilabel", {"max_f1_loss": 0.2, "min_gain": 0.1, "min_macro_f1": 0.6, "max_label_loss": 0.2}),
        ("embedding", {"min_rank_correlation": 0.9, "min_recall": 0.6, "min_ndcg": 0.6, "min_precision": 0.8}),
        ("embedding", {"max_precision_loss": 0.05, "min_gain": 0.1}),
    ],
)
def test_criteria_of_a_task_are_met_by_a_good_student_and_not_by_one_that_is_as_bad_as_the_baseline(
    task: str, gate: dict[str, float]
) -> None:
    made = WORLDS[task]()
    good = judged(task, made, valid=made)
    assert [c.name for c in check_by(good, gate, get(task).criteria) if not c.passed] == []
    baseline = get(task).questions[0].b
    outputs = {arm: made.outputs(baseline if arm == "distilled" else arm) for arm in made.records}
    bad = judged(task, type(made).of_outputs(made.targets, made.rows, made.names, outputs), valid=made)
    missed = {c.name for c in check_by(bad, gate, get(task).criteria) if not c.passed}
    assert missed >= set(gate) - {"min_coverage"}


def test_intervals_of_another_net_do_not_cover() -> None:
    made = regressors()
    outputs = {arm: made.outputs(arm) for arm in made.records}
    poor = outputs | {"distilled": {s: x + 3 for s, x in outputs["distilled"].items()}}
    scores = judged("regression", type(made).of_outputs(made.targets, made.rows, made.names, poor), valid=made)
    (found,) = check_by(scores, {"min_coverage": 0.8}, get("regression").criteria)
    assert not found.passed
