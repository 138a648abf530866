"""Teachers answer in inference mode, the same way twice, and honestly about rows they were fitted on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from torch import Tensor, nn

from stillhouse.data import Views
from stillhouse.errors import RejectedError, UsageError
from stillhouse.methods import make
from stillhouse.store import Store
from stillhouse.teachers import Adapted, ModuleTeacher, StoredTeacher, fit_sklearn, label
from stillhouse.teachers.sklearn import SklearnTeacher
from stillhouse.types import Batch, Outputs
from tests.teachers.tasks import CLASSIFICATION, wide

KEY = {"preprocessing": "none", "views": "two noisy ones"}
VIEWS = Views("noise", 2, 0.2, 0)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))


def inputs(count: int = 50) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1))


def batch(x: Tensor, rows: Tensor | None = None) -> Batch:
    numbers = torch.arange(len(x)) if rows is None else rows
    return Batch(x, torch.full((len(x),), -1), numbers, torch.zeros(len(x), dtype=torch.int64))


def fill(folder: Path, teacher: ModuleTeacher, dtype: str = "float32") -> Store:
    return label(teacher, inputs(), VIEWS, folder, task=CLASSIFICATION, key=KEY, dtype=dtype, block_rows=8)


def test_a_module_answers_in_eval_mode_even_after_a_wrapper_woke_it() -> None:
    module = net()
    teacher = ModuleTeacher(module, CLASSIFICATION, wide(3))
    before = teacher.outputs(batch(inputs())).logits
    module.train()
    again = teacher.outputs(batch(inputs())).logits
    assert torch.equal(before, again)
    assert not before.requires_grad
    assert torch.equal(dict(module.named_buffers())["1.running_mean"], torch.zeros(16))


def test_the_stored_answers_are_those_to_the_very_view_the_student_sees(tmp_path: Path) -> None:
    teacher = ModuleTeacher(net(), CLASSIFICATION, wide(3))
    store = fill(tmp_path, teacher)
    rows, views = torch.tensor([3, 3, 49]), torch.tensor([0, 1, 1])
    seen = VIEWS.apply(inputs()[rows], rows, views)
    asked = Batch(seen, torch.full((3,), -1), rows, views)
    told, live = StoredTeacher(store).outputs(asked), teacher.outputs(asked)
    torch.testing.assert_close(told.logits, live.logits, rtol=1e-6, atol=1e-6)
    student = Outputs(torch.randn(3, 3))
    one, other = (sum(make("hinton")(student, t, asked).values()).item() for t in (told, live))
    assert one == pytest.approx(other, rel=1e-6)


def test_half_precision_keeps_three_digits(tmp_path: Path) -> None:
    teacher = ModuleTeacher(net(), CLASSIFICATION, wide(3))
    told = StoredTeacher(fill(tmp_path, teacher, "float16")).outputs(batch(inputs()))
    live = teacher.outputs(batch(inputs())).logits  # half formats keep each row less its largest logit
    torch.testing.assert_close(told.logits, live - live.amax(1, keepdim=True), rtol=1e-3, atol=1e-3)


def test_hidden_layers_are_stored_beside_the_logits(tmp_path: Path) -> None:
    module = net()
    teacher = ModuleTeacher(module, CLASSIFICATION, wide(3), ["0"])
    told = StoredTeacher(fill(tmp_path, teacher)).outputs(batch(inputs()))
    assert module[0](inputs()).detach().allclose(told.features["0"], atol=1e-6)


def test_a_second_labelling_asks_nothing(tmp_path: Path) -> None:
    teacher = ModuleTeacher(net(), CLASSIFICATION, wide(3))
    fill(tmp_path, teacher)
    asked: list[int] = []
    label(
        teacher,
        inputs(),
        VIEWS,
        tmp_path,
        task=CLASSIFICATION,
        key=KEY,
        dtype="float32",
        block_rows=8,
        advance=asked.append,
    )
    assert asked == []


def test_a_store_with_more_views_or_layers_serves_a_run_that_needs_fewer_and_not_the_reverse(tmp_path: Path) -> None:
    torch.manual_seed(0)

    def labelled(count: int, layers: list[str], asked: list[int]) -> Store:
        views = Views("noise", count, 0.2, 0)
        key = {"preprocessing": "none", "views": views.describe(), "layers": " ".join(layers)}
        return label(
            ModuleTeacher(net(), CLASSIFICATION, wide(3), layers), inputs(), views, tmp_path, task=CLASSIFICATION,
            key=key, dtype="float32", block_rows=8, advance=asked.append,
        )  # fmt: skip

    whole = labelled(4, ["0", "2"], [])
    for count, layers in ((4, ["2"]), (2, ["0", "2"]), (3, [])):
        asked: list[int] = []
        fewer = labelled(count, layers, asked)
        assert asked == []
        rows, views = np.array([3, 7]), np.array([0, count - 1])
        assert np.array_equal(fewer.read(rows, views)["logits"], whole.read(rows, views)["logits"])
    for count, layers in ((5, []), (4, ["3"])):
        with pytest.raises(RejectedError):
            labelled(count, layers, [])


def test_a_store_of_another_teacher_is_refused_with_the_reason(tmp_path: Path) -> None:
    fill(tmp_path, ModuleTeacher(net(), CLASSIFICATION, wide(3)))
    other = net()
    with torch.no_grad():
        dict(other.named_parameters())["4.bias"].add_(1.0)
    with pytest.raises(RejectedError, match="teacher"):
        fill(tmp_path, ModuleTeacher(other, CLASSIFICATION, wide(3)))


def test_a_teacher_of_another_number_of_classes_is_refused() -> None:
    with pytest.raises(RejectedError, match="3 classes, but the data have 4"):
        ModuleTeacher(net(), CLASSIFICATION, wide(4)).outputs(batch(inputs()))


class Answers(nn.Module):
    """A module of the user's own, which answers with whatever a function makes of the inputs."""

    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(x)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: x @ torch.ones(4, 3), r"failed on inputs of shape \(50, 6\).*RuntimeError"),
        (lambda x: int("key"), "failed on inputs .*ValueError: invalid literal"),
        (lambda x: None, "failed on inputs .*got NoneType"),
        (lambda x: x[:25, :3], r"answered \(25, 3\) for 50 rows of 3 classes"),
        (lambda x: x[:, None, :3], r"answered \(50, 1, 3\) for 50 rows"),
        (lambda x: x.argmax(-1), r"answers with labels \(int64\)"),
    ],
    ids=["width", "raises", "nothing", "half of the rows", "three axes", "labels"],
)
def test_a_module_whose_answers_are_no_logits_is_refused(answer: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        ModuleTeacher(Answers(answer), CLASSIFICATION, wide(3)).outputs(batch(inputs()))


def test_probabilities_are_told_from_logits_and_become_them() -> None:
    def probabilities(x: Tensor) -> Tensor:
        return torch.cat([x[:, :2].softmax(-1), torch.zeros(len(x), 1)], dim=1)

    found = ModuleTeacher(Answers(probabilities), CLASSIFICATION, wide(3)).outputs(batch(inputs())).logits
    torch.testing.assert_close(found.softmax(-1), probabilities(inputs()))
    torch.testing.assert_close(found[:, :2], inputs()[:, :2].log_softmax(-1))


def test_an_answer_that_looking_does_not_find_is_picked_in_one_line() -> None:
    module = Answers(lambda x: {"head": (x, {"scores": x[:, :3]})})
    with pytest.raises(RejectedError, match=r"Adapted\(module"):
        ModuleTeacher(module, CLASSIFICATION, wide(3)).outputs(batch(inputs()))
    adapted = Adapted(module, lambda answer: answer["head"][1]["scores"])
    torch.testing.assert_close(
        ModuleTeacher(adapted, CLASSIFICATION, wide(3)).outputs(batch(inputs())).logits, inputs()[:, :3]
    )


def test_log_probabilities_are_logits_and_zeros_are_no_probabilities() -> None:
    for answer in (lambda x: x[:, :3].log_softmax(-1), lambda x: torch.zeros(len(x), 3)):
        logits = ModuleTeacher(Answers(answer), CLASSIFICATION, wide(3)).outputs(batch(inputs())).logits
        torch.testing.assert_close(logits, answer(inputs()))


class Nan(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x[:, :1] > 1.5, torch.nan, x[:, :3])


def test_a_nan_names_its_rows_and_keeps_the_rows_before(tmp_path: Path) -> None:
    bad = torch.nonzero(inputs()[:, 0] > 1.5).flatten().tolist()
    assert bad
    with pytest.raises(RejectedError, match=rf"NaN.*training rows? \(numbers? {bad[0]}") as caught:
        label(
            ModuleTeacher(Nan(), CLASSIFICATION, wide(3)),
            inputs(),
            Views("none", 1, 0.0, 0),
            tmp_path,
            task=CLASSIFICATION,
            key=KEY,
            dtype="float32",
            block_rows=4,
        )
    assert caught.value.exit_code == 4
    assert Store.open(tmp_path).rows_done == bad[0] // 4 * 4


class Moody(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :3] + torch.rand(1)


def test_a_teacher_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="answers differently"):
        fill(tmp_path, ModuleTeacher(Moody(), CLASSIFICATION, wide(3)))


def test_the_fingerprint_follows_the_weights_and_buffers() -> None:
    one, other = net(), net()
    assert (
        ModuleTeacher(one, CLASSIFICATION, wide(3)).fingerprint()
        == ModuleTeacher(other, CLASSIFICATION, wide(3)).fingerprint()
    )
    with torch.no_grad():
        dict(other.named_buffers())["1.running_var"].mul_(1.001)
    assert (
        ModuleTeacher(one, CLASSIFICATION, wide(3)).fingerprint()
        != ModuleTeacher(other, CLASSIFICATION, wide(3)).fingerprint()
    )


def model_of(teacher: Any) -> Any:
    assert isinstance(teacher, SklearnTeacher)
    return teacher.model


def labelled() -> tuple[Tensor, Tensor]:
    x, y = make_classification(300, 8, n_informative=4, n_classes=3, flip_y=0.2, random_state=0)
    targets = torch.from_numpy(y.astype(np.int64))
    targets[200:] = -1
    return torch.from_numpy(x.astype(np.float32)), targets


@pytest.mark.parametrize("name", ["extra_trees", "random_forest", "hist_gradient_boosting"])
def test_rows_it_was_fitted_on_are_answered_out_of_fold(name: str) -> None:
    x, y = labelled()
    settings = {"max_iter": 10} if name == "hist_gradient_boosting" else {"n_estimators": 20}
    teacher = fit_sklearn(name, settings, x, y, task=CLASSIFICATION, spec=wide(3), folds=4, seed=0)
    told = teacher.outputs(batch(x)).logits.exp()
    assert told.sum(1).numpy() == pytest.approx(1.0, abs=1e-4)
    seen, whole = model_of(teacher.whole).predict_proba(x.numpy()), told.numpy()
    # Of its own rows the whole model is nearly sure, noise included; rows it has not seen it answers itself.
    own = (seen[:200].argmax(1) == y[:200].numpy()).mean()
    honest = (whole[:200].argmax(1) == y[:200].numpy()).mean()
    assert own > honest + 0.1
    np.testing.assert_allclose(whole[200:], seen[200:], atol=1e-5)
    for row in (0, 57, 199):
        fold = teacher.fold_of[row]
        np.testing.assert_allclose(
            whole[row], model_of(teacher.folds[fold]).predict_proba(x[row : row + 1].numpy())[0], atol=1e-5
        )
    assert teacher.parameters > 0


def test_rows_of_other_splits_are_answered_by_the_whole_model() -> None:
    x, y = labelled()
    teacher = fit_sklearn("extra_trees", {"n_estimators": 10}, x, y, task=CLASSIFICATION, spec=wide(3), folds=4, seed=0)
    told = teacher.outputs(batch(x[:5], torch.full((5,), -1))).logits.exp().numpy()
    np.testing.assert_allclose(told, model_of(teacher.whole).predict_proba(x[:5].numpy()), atol=1e-5)


def test_a_class_the_trees_have_not_met_gets_no_mass_but_keeps_its_place() -> None:
    x, y = labelled()
    y[y == 1] = -1
    teacher = fit_sklearn("extra_trees", {"n_estimators": 10}, x, y, task=CLASSIFICATION, spec=wide(3), folds=4, seed=0)
    told = teacher.outputs(batch(x)).logits.exp()
    assert told[:, 1].max() < 1e-5
    assert (told[:200].argmax(1)[y[:200] == 2] == 2).float().mean() > 0.5


def test_wrong_names_and_settings_of_trees_name_the_nearest() -> None:
    x, y = labelled()
    with pytest.raises(UsageError, match="extra_trees"):
        fit_sklearn("extra_tree", {}, x, y, task=CLASSIFICATION, spec=wide(3), folds=4, seed=0)
    with pytest.raises(UsageError, match="n_estimators"):
        fit_sklearn("extra_trees", {"estimators": 3}, x, y, task=CLASSIFICATION, spec=wide(3), folds=4, seed=0)


def test_one_labelled_row_of_a_class_cannot_be_left_out() -> None:
    x, y = labelled()
    y[3:] = -1
    with pytest.raises(RejectedError, match="at least two labelled rows"):
        fit_sklearn("extra_trees", {}, x, y, task=CLASSIFICATION, spec=wide(3), folds=4, seed=0)


def test_the_fingerprint_is_of_the_weights_and_not_of_how_they_lie_in_memory() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 1), torch.nn.Conv2d(8, 2, 3))
    before = ModuleTeacher(net, CLASSIFICATION, wide(2)).fingerprint()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert ModuleTeacher(net, CLASSIFICATION, wide(2)).fingerprint() == before
