"""The whole judgement: what it says, that it keeps to its schema, and that it is graceful with little."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics

from stillhouse.errors import RejectedError, UsageError
from stillhouse.evaluation import Predictions, check_measure
from stillhouse.task import VERDICTS
from stillhouse.tasks import get
from tests.evaluation.schemas import keep_to_schema, validator
from tests.evaluation.worlds import SKILLS, WORLDS, classifiers, judged, regressors


def world(rows: int = 300, classes: int = 3, seeds: int = 3, seed: int = 0, **skills: float) -> Predictions:
    return classifiers(rows, classes, seeds, seed, **skills)


def judge(predictions: Predictions, **more: Any) -> dict[str, Any]:
    return judged("classification", predictions, **more)


FULL = world()
SCORES = judge(FULL, valid=world(seed=1), groups={"site": np.array(["north", "south", "<i>"])[np.arange(300) % 3]})


def test_a_full_run_keeps_to_the_schema() -> None:
    keep_to_schema("classification", SCORES)
    assert SCORES["schema"] == 1
    assert set(SCORES["models"]) == {*SKILLS, "labels_only_tempered"}
    assert (SCORES["seeds"], SCORES["test_rows"]) == ([0, 1, 2], 300)


@pytest.mark.parametrize(
    ("rows", "classes", "seeds"), [(1, 2, 1), (2, 3, 2), (5, 2, 1), (40, 2, 5), (3, 10, 3), (3000, 2, 1)]
)
def test_little_data_is_judged_without_a_warning_from_numpy(rows: int, classes: int, seeds: int) -> None:
    predictions = world(rows, classes, seeds)
    with np.errstate(all="raise"):
        scores = judge(predictions, valid=predictions)
    keep_to_schema("classification", scores)
    assert scores["verdict"] in VERDICTS


def test_the_two_arms_that_must_be_there_are_enough() -> None:
    scores = judge(world(labels_only=2.0, distilled=2.0), saw={}, budget={}, costs={})
    keep_to_schema("classification", scores)
    assert [c["b"] for c in scores["comparisons"]] == ["labels_only"]
    assert "fidelity" not in scores["models"]["distilled"]


@pytest.mark.parametrize("absent", ["distilled", "labels_only"])
def test_an_arm_that_must_be_there_is_asked_for(absent: str) -> None:
    skills = {arm: skill for arm, skill in SKILLS.items() if arm != absent}
    with pytest.raises(RejectedError, match=absent):
        judge(world(300, 3, 3, 0, **skills))


def test_arms_without_a_common_seed_cannot_be_paired() -> None:
    whole = world(labels_only=2.0, distilled=3.0)
    others = {"labels_only": whole.outputs("labels_only"), "distilled": {"7": whole.outputs("distilled")["0"]}}
    with pytest.raises(RejectedError, match="seed in common"):
        judge(Predictions.of_outputs(whole.targets, whole.rows, whole.names, others))


def test_no_rows_and_groups_of_another_length_are_refused() -> None:
    with pytest.raises(RejectedError, match="no test rows"):
        judge(world(rows=0))
    with pytest.raises(RejectedError, match="'site' has 2 values"):
        judge(FULL, groups={"site": np.array([1, 2])})


def test_figures_are_scikit_learns_for_each_seed_and_their_mean_is_reported() -> None:
    model = SCORES["models"]["distilled"]
    nets = FULL.outputs("distilled")
    expected = {s: metrics.accuracy_score(FULL.targets, n.argmax(1)) for s, n in nets.items()}
    losses = {
        s: metrics.log_loss(FULL.targets, softmax(n.astype(float), axis=1), labels=range(3)) for s, n in nets.items()
    }
    assert {s: figures["accuracy"] for s, figures in model["seeds"].items()} == pytest.approx(expected)
    assert {s: figures["nll"] for s, figures in model["seeds"].items()} == pytest.approx(losses, rel=1e-5)
    assert model["measures"]["accuracy"]["value"] == pytest.approx(np.mean(list(expected.values())))


def test_every_student_is_held_against_its_own_teacher() -> None:
    assert {arm: m["fidelity"]["to"] for arm, m in SCORES["models"].items() if "fidelity" in m} == {
        "labels_only": "teacher",
        "distilled": "teacher",
        "all_labels": "teacher",
        "distilled_same": "teacher_same",
        "labels_only_tempered": "teacher",
    }


def test_seeds_are_paired_by_name_and_not_by_place() -> None:
    nets = {arm: FULL.outputs(arm) for arm in FULL.records}
    nets["distilled"] = dict(reversed(nets["distilled"].items()))
    nets["distilled"]["99"] = nets["distilled"]["0"]  # a seed that no other arm has
    again = judge(Predictions.of_outputs(FULL.targets, FULL.rows, FULL.names, nets))
    assert again["comparisons"][0]["difference"] == SCORES["comparisons"][0]["difference"]


def test_judging_again_gives_the_same_scores() -> None:
    assert judge(FULL) == judge(FULL)


def test_the_tempered_control_keeps_its_accuracy_and_is_calibrated_better() -> None:
    plain, tempered = (SCORES["models"][arm] for arm in ("labels_only", "labels_only_tempered"))
    assert tempered["measures"]["accuracy"]["value"] == plain["measures"]["accuracy"]["value"]
    assert tempered["calibration"]["ece"]["value"] < plain["calibration"]["ece"]["value"]
    assert set(tempered["temperatures"]) == {"0", "1", "2"}


def test_the_sentence_of_a_gain_names_gain_interval_budget_and_what_each_side_saw() -> None:
    sentence = SCORES["sentence"]
    assert SCORES["verdict"] == "better"
    difference = SCORES["comparisons"][0]["difference"]
    for part in (
        f"Distilling paid: the distilled student is {100 * difference['value']:.1f} points more accurate",
        "than the same student trained on the 200 labels alone",
        f"95 % interval {100 * difference['low']:.1f} to {100 * difference['high']:.1f}",
        "3 paired seeds, 300 test rows, 1,000 steps of 128 rows each",
        "200 labels and 3,800 unlabelled rows through a teacher that had 4,000 labels",
        "the control saw 200 labels and nothing else",
    ):
        assert part in sentence


def test_a_loss_is_said_as_loudly() -> None:
    scores = judge(world(labels_only=4.0, distilled=1.0))
    assert scores["verdict"] == "worse"
    assert scores["sentence"].startswith("Distilling did harm: the distilled student is ")
    assert "points less accurate" in scores["sentence"]


def test_a_tie_is_said_to_be_one() -> None:
    scores = judge(world(labels_only=3.0, distilled=3.0))
    assert scores["verdict"] == "inconclusive"
    assert scores["sentence"].startswith("The test rows cannot tell whether distilling paid")
    twins = world(rows=20_000, seeds=5, labels_only=3.0)
    nets = {"labels_only": twins.outputs("labels_only"), "distilled": twins.outputs("labels_only")}
    same = judge(Predictions.of_outputs(twins.targets, twins.rows, twins.names, nets))
    assert same["verdict"] == "non_inferior"
    assert same["sentence"].startswith("No gain could be shown: the distilled student is no worse than")


def test_an_interval_without_0_and_no_claim_are_explained_by_the_test() -> None:
    told = [
        comparison
        for seed in range(12)
        for comparison in judge(world(40, 2, 1 + seed % 3, seed, distilled=3.0, labels_only=2.0, teacher=4.0))[
            "comparisons"
        ]
    ]
    said = 0
    for one in told:
        outside = one["difference"]["low"] > 0 or one["difference"]["high"] < 0
        unclaimed = outside and one["p_holm"] > 0.05
        assert unclaimed == ("The interval leaves out 0, but a claim also needs the test" in one["sentence"])
        assert not (unclaimed and "measurably" in one["sentence"])
        assert not unclaimed or one["verdict"] not in ("better", "worse")
        said += unclaimed
    assert 0 < said < len(told)


def test_the_sentence_over_several_rivals_shows_the_test_where_the_interval_alone_would_be_a_claim() -> None:
    shown = 0
    for seed in range(12):  # one seed: the exact test of two nets asks for more than the interval does
        scores = judge(world(60, 2, 1, seed, distilled=3.0, labels_only=1.5, self_trained=1.5, teacher=4.0))
        for one in (c for c in scores["comparisons"] if c["headline"]):
            outside = one["difference"]["low"] > 0 or one["difference"]["high"] < 0
            unclaimed = outside and one["verdict"] not in ("better", "worse")
            shown += unclaimed
            assert not unclaimed or f"; the p of its test is {one['p']:.2g})" in scores["sentence"]
    assert shown


def test_a_rival_that_is_better_is_said_first_and_can_be_had() -> None:
    scores = judge(world(1000, distilled=3.0, labels_only=1.0, self_trained=1.2, simple=5.0, teacher=5.0))
    assert scores["verdict"] == "worse"
    loss, rest = scores["sentence"].split(". ", 1)
    assert loss.startswith("Distilling did not pay: the distilled student is less accurate than a simple model on")
    assert "though more accurate than the same student trained on the 200 labels alone and than the same" in loss
    assert "`stillhouse predict RUN --arm simple`" in rest


def test_rivals_that_are_not_told_apart_are_not_called_worse() -> None:
    scores = judge(world(1000, distilled=3.0, labels_only=1.0, self_trained=1.0, simple=3.0, teacher=5.0))
    assert scores["verdict"] in ("inconclusive", "non_inferior")
    start = scores["sentence"].split(". ")[0]
    assert start.startswith("Distilling paid in part: the distilled student is more accurate than the same student")
    assert start.endswith(", but not than a simple model on the labels")


def test_a_rival_for_which_the_measure_is_no_number_is_named_and_not_called_beaten() -> None:
    made = regressors(teacher=0.5, labels_only=2.0, distilled=1.0, self_trained=2.0, simple=2.0)
    outputs = {arm: made.outputs(arm) for arm in made.records}
    outputs["simple"] = {"-": np.zeros_like(made.targets)}  # a rank correlation needs values that differ
    flat = Predictions.of_outputs(made.targets, made.rows, made.names, outputs)
    scores = judged("regression", flat, measure="spearman")
    assert {c["b"] for c in scores["comparisons"] if c["headline"]} == {"labels_only", "self_trained"}
    assert "than each rival that it was compared with" in scores["sentence"]
    assert "Not compared: simple (on these rows its answers have no rank correlation)." in scores["sentence"]
    outputs["labels_only"] = {"0": np.zeros_like(made.targets)}
    flat = Predictions.of_outputs(made.targets, made.rows, made.names, outputs)
    with pytest.raises(RejectedError, match=r"'spearman' is not defined .* for the answers of labels_only and simple"):
        judged("regression", flat, measure="spearman")


def test_a_design_that_cannot_resolve_the_margin_is_warned_of() -> None:
    scores = judge(world(rows=60, seeds=2, labels_only=3.0, distilled=3.0))
    assert any("do not resolve a difference of 1.0 points" in w for w in scores["warnings"])
    alone = judge(world(rows=60, seeds=1, labels_only=3.0, distilled=3.0))
    assert any(w.startswith("One seed was trained") for w in alone["warnings"])


def test_harm_lists_classes_and_groups_against_teacher_and_control() -> None:
    harm = SCORES["models"]["distilled"]["harm"]
    assert set(harm["against"]) == {"teacher", "labels_only"}
    for parts in harm["against"].values():
        assert set(parts) == {"classes", "group:site"}
        assert {c["name"] for c in parts["group:site"]} == {"north", "south", "<i>"}
        assert [c["value"] for c in parts["classes"]] == sorted(c["value"] for c in parts["classes"])
    assert all(1000 <= row < 1300 for row in harm["forgotten"]["rows"])
    assert harm["worst"]["group:site"]["name"] in {"north", "south", "<i>"}


def test_costs_stand_beside_the_figures() -> None:
    models = SCORES["models"]
    assert (models["teacher"]["parameters"], models["teacher"]["ms_64"]) == (400_000, 9.0)
    assert (models["distilled"]["parameters"], models["distilled"]["ms_64"]) == (5000, None)


MEASURES = {
    "classification": ["balanced_accuracy", "macro_f1", "log_likelihood", "brier", "sensitivity:dog@0.9"],
    "regression": ["r2", "rmse", "mae", "spearman"],
    "multilabel": ["micro_f1", "macro_f1", "auc", "auc:l2", "label_accuracy", "subset_accuracy", "log_loss"],
    "embedding": ["precision_10", "ndcg_10", "recall_10", "spearman"],
}


@pytest.mark.parametrize(("task", "measure"), [(t, m) for t, ms in MEASURES.items() for m in ms])
def test_the_headline_is_about_the_measure_that_is_asked_for(task: str, measure: str) -> None:
    check_measure(get(task), measure)
    predictions = WORLDS[task]()
    scores = judged(task, predictions, measure=measure, groups={"site": np.arange(len(predictions.rows)) % 2})
    keep_to_schema(task, scores)
    headline = scores["comparisons"][0]
    assert headline["measure"] == measure
    assert scores["verdict"] == headline["verdict"] == "better"
    a, b = (scores["models"][headline[side]]["measures"][measure]["value"] for side in "ab")
    sign = 1 if get(task).measure(measure).higher else -1
    assert headline["difference"]["value"] == pytest.approx(sign * (a - b), abs=1e-9)
    assert headline["difference"]["low"] > 0
    assert len({(c["a"], c["b"], c["measure"]) for c in scores["comparisons"]}) == len(scores["comparisons"])
    label = get(task).measure(measure).label
    assert f"better in {label} than the same student" in scores["sentence"]


def test_a_margin_of_an_error_is_in_the_units_of_the_target() -> None:
    predictions = regressors()
    headline = judged("regression", predictions, measure="rmse", margin=0.1)["comparisons"][0]
    assert headline["margin"] == pytest.approx(0.1 * predictions.targets.std(), rel=1e-6)


def test_a_measure_that_the_rows_do_not_define_cannot_be_the_headline() -> None:
    made = regressors()
    outputs = {arm: made.outputs(arm) for arm in made.records}
    flat = Predictions.of_outputs(np.ones_like(made.targets), made.rows, made.names, outputs)
    with pytest.raises(RejectedError, match="'r2' is not defined"):
        judged("regression", flat, measure="r2")
    assert judged("regression", flat)["comparisons"][0]["measure"] == "rmse"  # the next of the task's


@pytest.mark.parametrize(
    ("task", "measure", "names", "message"),
    [
        ("classification", "acuracy", (), "Did you mean 'accuracy'"),
        ("classification", "accuracy:cat", (), 'measure = "accuracy"'),
        ("classification", "sensitivity", ("cat", "dog"), "sensitivity:cat@0.95"),
        ("classification", "sensitivity:cat@95", (), "between 0 and 1"),
        ("classification", "sensitivity:cot@0.9", ("cat", "dog"), "Did you mean 'cat'"),
        ("classification", "auc", ("a", "b", "c"), "two classes"),
        ("classification", "kl", (), "no such measure"),
        ("regression", "accuracy", (), "regression has no such measure"),
        ("regression", "rmse:pryce", ("price", "weight"), "Did you mean 'price'"),
        ("multilabel", "auc:x", ("l0", "l1"), "no label 'x'"),
        ("embedding", "ndcg", (), "Did you mean 'ndcg_10'"),
    ],
)
def test_a_wrong_measure_is_a_usage_error_that_names_the_right_one(
    task: str, measure: str, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_measure(get(task), measure, names)


@pytest.mark.parametrize("task", ["regression", "multilabel", "embedding"])
def test_no_arm_is_needed_but_the_two_of_the_headline(task: str) -> None:
    made = WORLDS[task]()
    first = get(task).questions[0]
    outputs = {arm: made.outputs(arm) for arm in (first.a, first.b, "teacher")}
    scores = judged(task, Predictions.of_outputs(made.targets, made.rows, made.names, outputs), saw={}, costs={})
    keep_to_schema(task, scores)
    assert set(scores["models"]) == set(outputs)


def test_groups_of_real_targets_are_judged_by_their_squared_errors() -> None:
    made = regressors()
    sites = np.array(["north", "south"])[np.arange(300) % 2]
    harm = judged("regression", made, groups={"site": sites})["models"]["distilled"]["harm"]
    north = next(part for part in harm["against"]["labels_only"]["group:site"] if part["name"] == "north")
    ours, theirs = (
        np.mean([((x - made.targets) ** 2)[sites == "north"].mean() for x in made.outputs(arm).values()])
        for arm in ("distilled", "labels_only")
    )
    assert north["value"] == pytest.approx((theirs - ours) / made.targets.var(), rel=1e-4)
    assert {part["name"] for part in harm["against"]["teacher"]["quarters"]} == {
        part["name"] for part in harm["against"]["labels_only"]["quarters"]
    }
    assert sum(part["rows"] for part in harm["against"]["teacher"]["quarters"]) == 300


OPEN = ("saw", "budget", "costs", "versions", "hashes")  # what the run knows, copied as it is


def tables(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each table of a JSON value stands whose keys are fixed; of a list, the first entry."""
    if isinstance(value, dict):
        by_name = above[-1:] in (("seeds",), ("temperatures",), ("half_widths",)) or "half_widths" in above[:-1]
        if above and not by_name and above[-2:-1] != ("seeds",):
            yield above
        for key, part in value.items():
            if above or key not in OPEN:
                yield from tables(part, (*above, key))
    elif isinstance(value, list) and value:
        yield from tables(value[0], (*above, 0))


@pytest.mark.parametrize("task", WORLDS)
def test_a_key_too_many_is_refused_wherever_it_stands(task: str) -> None:
    made = WORLDS[task]()
    scores = judged(task, made, valid=made, groups={"site": np.arange(len(made.rows)) % 2})
    scores = json.loads(json.dumps(scores))
    schema, found = validator(task), list(tables(scores))
    assert len(found) > 20
    for path in ((), *found):
        spoilt = copy.deepcopy(scores)
        place = spoilt
        for key in path:
            place = place[key]
        place["surplus"] = "nowhere in the schema"
        assert not schema.is_valid(spoilt), path
