"""The demonstrations: every recipe has its example, the pages say what the run folder holds, and their arithmetic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from benchmarks.examples import clinical, medical, page
from benchmarks.examples.cases import thyroid
from benchmarks.examples.data import MLBENCH, MLBENCH_VERSION, debian_package
from benchmarks.examples.example import RUNS, Example, Origin, find, names
from benchmarks.examples.made_guide import figures
from benchmarks.examples.markdown import table
from benchmarks.examples.running import PACKAGED, RECORD, note, recipe_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import beta
from sklearn.metrics import roc_curve

from stillhouse.errors import UsageError
from stillhouse.evaluation import Predictions, score
from stillhouse.evaluation.resampling import Interval, Sample
from stillhouse.recipe import read as read_recipe
from stillhouse.reporting.folder import RunFiles, read
from stillhouse.tasks import get

CLASSES = ("ill", "well")
SEEDS = ("0", "1")


@pytest.fixture(scope="module")
def predictions() -> dict[str, Predictions]:
    """A made-up binary task: 300 test and 200 validation rows."""
    rng = np.random.default_rng(0)
    made = {}
    for part, rows in (("test", 300), ("valid", 200)):
        true = rng.normal(size=rows) - 1.0
        targets = (true + rng.logistic(size=rows) < 0).astype(np.int64)

        def net(noise: float, true: np.ndarray = true) -> np.ndarray:
            said = true + noise * rng.normal(size=len(true))
            return log_softmax(np.stack([said, -said], 1), axis=1).astype(np.float32)

        arms = {"labels_only": 1.5, "distilled": 0.7}
        nets = {"teacher": {"-": net(0.3)}} | {a: {s: net(n) for s in SEEDS} for a, n in arms.items()}
        made[part] = Predictions.of_outputs(targets, np.arange(rows), CLASSES, nets)
    return made


@pytest.fixture(scope="module")
def run(predictions: dict[str, Predictions], tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """A run folder with what a page is made of."""
    folder = tmp_path_factory.mktemp("run")
    test = predictions["test"]
    saw: dict[str, dict[str, Any]] = {
        "teacher": {"labels": 900, "unlabelled": 0, "teacher": None},
        "labels_only": {"labels": 50, "unlabelled": 0, "teacher": None},
        "distilled": {"labels": 50, "unlabelled": 850, "teacher": "teacher"},
    }
    costs = {"teacher": {"parameters": 1234, "ms_1": 2.0}, "student": {"parameters": 56}, "teacher_calls": 900}
    sexes = np.where(np.arange(300) % 3 == 0, "F", "M")
    told: dict[str, Any] = {"budget": {"steps": 10, "batch_size": 5}, "costs": costs, "versions": {}, "hashes": {}}
    scores = score(get("classification"), test, saw=saw, resamples=200, groups={"sex": sexes}, **told)
    facts = {"name": "x", "classes": CLASSES, "train": 900, "valid": 200, "test": 300, "labelled": 50}
    gate = {
        "comparison": {
            "rows": 200,
            "accuracy": {"teacher": 0.5, "labels_only": 0.75},
            "nll": {"teacher": 0.9, "labels_only": 0.6},
        }
    }
    record = {"started": "2026-01-02T03:04", "command": "stillhouse distill x.toml", "data": facts, "versions": {}}
    for name, value in (("scores", scores), ("costs", costs), ("run", record | {"teacher_gate": gate})):
        (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    test.save(folder / "predictions.npz")
    predictions["valid"].save(folder / "predictions_valid.npz")
    np.savez(folder / "groups.npz", names=np.array(["sex"]), values=sexes[None])
    return read(folder, get("classification"))


def example(**fields: object) -> Example:
    """An example without data of its own."""
    return Example(title="Made up", about="About.", origins=(Origin("numpy", "BSD", "numbers"),), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", names())
def test_every_example_has_a_recipe_that_runs_into_its_own_folder_and_data_prepared_for_it(name: str) -> None:
    found = find(name)
    assert recipe_of(name).exists()
    if found.distil is not None:  # of several runs, or of none of this kind
        return
    recipe = read_recipe(recipe_of(name))
    assert recipe.output.dir == (Path("runs/demo") if name in PACKAGED else RUNS / name)
    assert recipe.training.seeds == list(range(found.seeds))
    data = recipe.data
    places = [p for p in (data.path, data.text, data.arrays, data.images, data.corpus, data.chat) if p is not None]
    if recipe.data.name is None and found.file is not None:
        assert [place.name for place in places] == [found.file]
        assert found.prepare is not None


def test_an_unknown_example_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="Did you mean 'thyroid'"):
        find("thyriod")


def test_the_page_says_every_sentence_of_the_scores_as_it_stands(run: RunFiles) -> None:
    text = page.page("digits", example(), run, "digits.png")
    assert run.scores["sentence"] in text
    for comparison in run.scores["comparisons"]:
        assert comparison["sentence"] in text
    assert "![The top of the run's report](digits.png)" in text
    assert recipe_of("digits").read_text(encoding="utf-8") in text
    assert "teacher answered 900 rows" in text


def test_the_table_of_models_holds_the_accuracies_of_the_predictions(
    run: RunFiles, predictions: dict[str, Predictions]
) -> None:
    text = page.page("digits", example(), run, None)
    test = predictions["test"]
    for arm, label in (("labels_only", "Labels only"), ("distilled", "Distilled")):
        right = np.mean([(test.outputs(arm)[s].argmax(1) == test.targets).mean() for s in SEEDS])
        line = next(x for x in text.splitlines() if x.startswith(f"| {label} |"))
        assert f"{100 * right:.1f} % (" in line
        assert "| 50 |" in line


def test_a_refusal_stands_on_the_page_as_it_was_printed_with_its_exit_code(run: RunFiles) -> None:
    note(run.folder, refusal={"message": "The teacher is refused.", "exit_code": 4, "command": "stillhouse distill x"})
    try:
        text = page.page("digits", example(), run, None)
    finally:
        (run.folder / RECORD).unlink()
    assert "`stillhouse distill x` ended with exit code 4" in text
    assert "```text\nThe teacher is refused.\n```" in text
    assert "| Teacher | 50.0 % | 0.900 |" in text


def test_medical_figures_are_those_of_scikit_learn_and_of_counting(
    run: RunFiles, predictions: dict[str, Predictions]
) -> None:
    test, valid = predictions["test"], predictions["valid"]
    text = medical.figures(run, ["ill"])
    ill = test.targets == 0
    fall_out, found, _ = roc_curve(ill, np.exp(test.outputs("teacher")["-"][:, 0].astype(float)))
    assert f"| Teacher | {100 * found[fall_out <= 0.05].max():.1f} % (" in text
    scores = [np.exp(p.outputs("distilled")["0"][:, 0].astype(float)) for p in (valid, test)]
    negatives = np.sort(scores[0][valid.targets == 1])
    cut = next(t for t in negatives if (negatives <= t).mean() >= 0.95)
    hits, cases = int((scores[1][ill] > cut).sum()), int(ill.sum())
    assert f"({hits} of {cases};" in text
    women = np.arange(300) % 3 == 0
    assert f"({int((scores[1][ill & women] > cut).sum())} of {int((ill & women).sum())};" in text


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=4, max_size=60), st.sampled_from([0.8, 0.9, 0.95])
)
def test_sensitivity_at_a_specificity_lies_on_the_roc_curve_of_scikit_learn(
    rows: list[tuple[int, bool]], specificity: float
) -> None:
    scores, positive = (np.array(column) for column in zip(*rows, strict=True))
    if positive.all() or not positive.any():
        return
    found = clinical.Curve(scores.astype(float), positive).sensitivity(specificity, np.ones(len(rows)))
    fall_out, rates, _ = roc_curve(positive, scores, drop_intermediate=False)
    at = np.flatnonzero(fall_out <= 1 - specificity).max()
    share = (1 - specificity - fall_out[at]) / (fall_out[at + 1] - fall_out[at])
    assert found == pytest.approx(rates[at] + share * (rates[at + 1] - rates[at]))


def test_weights_count_as_repeated_rows() -> None:
    rng = np.random.default_rng(1)
    scores, positive, times = rng.integers(0, 20, 80).astype(float), rng.random(80) < 0.4, rng.integers(0, 4, 80)
    weighted = clinical.Curve(scores, positive).sensitivity(0.9, times.astype(float))
    repeated = clinical.Curve(np.repeat(scores, times), np.repeat(positive, times))
    assert weighted == pytest.approx(repeated.sensitivity(0.9, np.ones(times.sum())))


def test_resamples_keep_the_number_of_cases_and_of_the_others() -> None:
    positive = np.arange(50) < 7
    weights = clinical.resampled(positive, 100)
    assert (weights[:, positive].sum(1) == 7).all()
    assert (weights[:, ~positive].sum(1) == 43).all()


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_exact_intervals_are_the_quantiles_of_clopper_and_pearson(counts: tuple[int, int]) -> None:
    hits, of = counts
    found = clinical.exact(hits, of)
    assert found.low == pytest.approx(beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0, abs=1e-9)
    assert found.high == pytest.approx(beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0, abs=1e-9)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50))
def test_a_threshold_leaves_at_most_the_allowed_share_of_negatives_above_it(scores: list[int]) -> None:
    values = np.array(scores, float)
    cut = clinical.threshold_at(values, np.zeros(len(values), bool), 0.95)
    assert (values <= cut).mean() >= 0.95
    lower = values[values < cut]
    assert not len(lower) or (values <= lower.max()).mean() < 0.95


def test_thyroid_patients_keep_no_identifier_no_suspicion_and_no_impossible_age() -> None:
    frame = pd.DataFrame(
        {
            "age": [29, 455],
            "sex": ["F", None],
            "query_hypothyroid": ["t", "f"],
            "query_hyperthyroid": ["f", "f"],
            "TSH_measured": ["t", "f"],
            "TSH": [7.5, np.nan],
            "referral_source": ["SVI", "other"],
            "target": ["F", "-"],
            "patient_id": [840801013, 870119002],
        }
    )
    found = thyroid.patients(frame)
    assert list(found.columns) == ["age", "sex", "TSH", "day", "thyroid"]
    assert found["thyroid"].tolist() == ["hypothyroid", "neither"]
    assert found["day"].tolist() == [840801, 870119]
    assert np.isnan(found["age"][1])


def test_a_debian_package_that_lies_there_is_used_and_a_missing_one_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no apt
    with pytest.raises(UsageError, match="apt-get download r-cran-mlbench"):
        debian_package(tmp_path, MLBENCH, MLBENCH_VERSION)
    (tmp_path / "r-cran-mlbench_2.1-3-1_arm64.deb").write_bytes(b"")
    assert debian_package(tmp_path, MLBENCH, MLBENCH_VERSION).name.endswith("arm64.deb")


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(["a"], [["x|y"]]).splitlines()[-1] == r"| x\|y |"


def test_differences_in_sensitivity_are_told_by_name_and_only_where_they_are_clear_of_chance() -> None:
    lost = medical.told(Interval(-0.326, -0.488, -0.209), "ill", "teacher")
    assert "finds fewer of the ill rows**: 32.6 points fewer (95 % interval 20.9 to 48.8)" in lost
    assert "finds more of the ill rows**: 5.0 points more" in medical.told(Interval(0.05, 0.01, 0.09), "ill", "x")
    assert "no difference" in medical.told(Interval(0.05, -0.01, 0.09), "ill", "x")


def test_two_nets_that_find_the_same_few_cases_are_not_called_equal() -> None:
    same = Sample(np.full(2, 0.9), np.full(500, 0.9), 0.0, 10)
    found = clinical.difference(same, same)
    assert found.low < -0.02 < 0.0 < 0.02 < found.high
    assert found.value == 0.0


def test_groups_stand_from_low_to_high_with_gaps_last() -> None:
    names_ = ["(missing)", "above 67", "above 36 to 54", "up to 36", "above 54 to 67"]
    assert sorted(names_, key=medical.place) == [
        "up to 36",
        "above 36 to 54",
        "above 54 to 67",
        "above 67",
        "(missing)",
    ]


def test_the_guide_to_makers_has_the_figures_of_its_pages(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n| Maker | made rows | the teacher |\n|---|--:|--:|\n| blobs | 90.1 % (88.0 to 91.8) | 98.4 % |\n\n"
        "| Maker | Rows |\n|---|--:|\n| blobs | 4,000 |\n",
        encoding="utf-8",
    )
    assert list(figures(page, "A run")) == [["A run: `blobs`", "90.1 %", "–", "–", "–", "98.4 %"]]
