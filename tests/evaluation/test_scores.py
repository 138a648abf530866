"""The whole judgement: what it says, that it keeps to its schema, and that it is graceful with little."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn import metrics

from stillhouse.errors import RejectedError
from stillhouse.evaluation import WORDS, Predictions, score

SAW = {
    "teacher": {"labels": 4000, "unlabelled": 0, "teacher": None},
    "teacher_same": {"labels": 200, "unlabelled": 0, "teacher": None},
    "labels_only": {"labels": 200, "unlabelled": 0, "teacher": None},
    "distilled": {"labels": 200, "unlabelled": 3800, "teacher": "teacher"},
    "all_labels": {"labels": 4000, "unlabelled": 0, "teacher": None},
    "distilled_same": {"labels": 200, "unlabelled": 3800, "teacher": "teacher_same"},
}
COSTS = {"teacher": {"parameters": 400_000, "ms_1": 1.0, "ms_64": 9.0}, "student": {"parameters": 5000, "ms_1": 0.1}}
SKILLS = {
    "teacher": 4.0,
    "teacher_same": 2.0,
    "labels_only": 2.0,
    "distilled": 3.0,
    "all_labels": 3.0,
    "distilled_same": 2.0,
}


def world(rows: int = 300, classes: int = 3, seeds: int = 3, seed: int = 0, **skills: float) -> Predictions:
    """Nets of given skill that find the same rows hard."""
    rng = np.random.default_rng(seed)
    targets, difficulty = rng.integers(0, classes, rows), 2 * rng.normal(size=(rows, 1))

    def net(skill: float) -> NDArray[np.float32]:
        logits = rng.normal(size=(rows, classes)) + np.eye(classes)[targets] * (skill - difficulty)
        return log_softmax(2 * logits, axis=1).astype(np.float32)

    nets = {
        arm: {"-": net(skill)} if arm.startswith("teacher") else {str(s): net(skill) for s in range(seeds)}
        for arm, skill in (skills or SKILLS).items()
    }
    names = ("cat", "dog", "<script>", *(f"c{i}" for i in range(classes)))[:classes]
    return Predictions(targets, np.arange(rows) + 1000, names, nets)


def judge(predictions: Predictions, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "saw": SAW,
        "budget": {"steps": 1000, "batch_size": 128, "views": 8},
        "costs": COSTS,
        "versions": {"torch": "2"},
        "hashes": {"data": "ab"},
        "resamples": 500,
    }
    return score(predictions, **(given | more))


def check(scores: dict[str, Any]) -> None:
    """The scores survive JSON without NaN and keep to the schema that ships."""
    schema = json.loads(files("stillhouse.evaluation").joinpath("scores.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(scores, allow_nan=False)))


FULL = world()
SCORES = judge(FULL, valid=world(seed=1), groups={"site": np.array(["north", "south", "<i>"])[np.arange(300) % 3]})


def test_a_full_run_keeps_to_the_schema() -> None:
    check(SCORES)
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
    check(scores)
    assert scores["verdict"] in WORDS


def test_the_two_arms_that_must_be_there_are_enough() -> None:
    scores = judge(world(labels_only=2.0, distilled=2.0), saw={}, budget={}, costs={})
    check(scores)
    assert [c["b"] for c in scores["comparisons"]] == ["labels_only"]
    assert "fidelity" not in scores["models"]["distilled"]


@pytest.mark.parametrize("absent", ["distilled", "labels_only"])
def test_an_arm_that_must_be_there_is_asked_for(absent: str) -> None:
    skills = {arm: skill for arm, skill in SKILLS.items() if arm != absent}
    with pytest.raises(RejectedError, match=absent):
        judge(world(300, 3, 3, 0, **skills))


def test_arms_without_a_common_seed_cannot_be_paired() -> None:
    whole = world(labels_only=2.0, distilled=3.0)
    others = {"labels_only": whole.log_probs["labels_only"], "distilled": {"7": whole.log_probs["distilled"]["0"]}}
    with pytest.raises(RejectedError, match="seed in common"):
        judge(Predictions(whole.targets, whole.rows, whole.classes, others))


def test_no_rows_and_groups_of_another_length_are_refused() -> None:
    with pytest.raises(RejectedError, match="no test rows"):
        judge(world(rows=0))
    with pytest.raises(RejectedError, match="'site' has 2 values"):
        judge(FULL, groups={"site": np.array([1, 2])})


def test_figures_are_scikit_learns_for_each_seed_and_their_mean_is_reported() -> None:
    model = SCORES["models"]["distilled"]
    nets = FULL.log_probs["distilled"]
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
    nets = {arm: dict(seeds) for arm, seeds in FULL.log_probs.items()}
    nets["distilled"] = dict(reversed(nets["distilled"].items()))
    nets["distilled"]["99"] = nets["distilled"]["0"]  # a seed that no other arm has
    again = judge(Predictions(FULL.targets, FULL.rows, FULL.classes, nets))
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
    assert scores["verdict"] == "cannot tell"
    assert scores["sentence"].startswith("It cannot be told whether distilling paid")
    twins = world(rows=20_000, seeds=5, labels_only=3.0)
    nets = {"labels_only": twins.log_probs["labels_only"], "distilled": twins.log_probs["labels_only"]}
    same = judge(Predictions(twins.targets, twins.rows, twins.classes, nets))
    assert same["verdict"] == "no worse within m"
    assert same["sentence"].startswith("Distilling did not pay")


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
