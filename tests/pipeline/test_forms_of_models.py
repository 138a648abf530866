"""Forms of the user's own models, from the call to the verdict: one logit, stated outputs, float64, random starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, weight_norm

import stillhouse as sh
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.run.progress import shown
from stillhouse.pipeline.run.user_code import apart
from stillhouse.pipeline.student.scratch import drawn_again
from stillhouse.recipe import read
from tests.pipeline.helpers import opened
from tests.pipeline.value_runs import make_frame, write_recipe

pytestmark = pytest.mark.slow  # many whole runs

X = torch.randn(160, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
DATA = ((X[:100], Y[:100]), None, (X[100:], Y[100:]))


class Sign(nn.Module):
    """A teacher that is right: two logits, or what ``head`` makes of the second."""

    def __init__(self, head: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.head = head

    def forward(self, rows: Tensor) -> Tensor:
        logit = 6 * rows[:, :1]
        return torch.cat([torch.zeros_like(logit), logit], 1) if self.head is None else self.head(logit)


def distilled(out: Path, *, recipe: dict[str, Any] | None = None, **given: Any) -> sh.Run:
    torch.set_num_threads(1)
    tables = {"evaluation": {"resamples": 100}, "training": {"workers": 1}} | (recipe or {})
    options: dict[str, Any] = {"teacher": Sign(), "data": DATA, "student": "mlp_tiny", "steps": 40, "lr": 0.05} | given
    return sh.distill(tables, batch_size=32, seeds=[0], out=out, accept_teacher=True, verbose=False, **options)


def accuracy(run: sh.Run, arm: str) -> float:
    found: float = run.scores["models"][arm]["measures"]["accuracy"]["value"]
    return found


class OneLogit(nn.Module):
    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.body, self.head, self.flat = nn.Linear(4, 8), nn.Linear(8, 1), flat

    def forward(self, rows: Tensor) -> Tensor:
        logit: Tensor = self.head(torch.relu(self.body(rows)))
        return logit[:, 0] if self.flat else logit


@pytest.mark.parametrize("flat", [False, True])
def test_a_student_of_one_logit_learns_both_classes_and_is_loaded_and_exported(flat: bool, tmp_path: Path) -> None:
    run = distilled(tmp_path / "run", student=lambda: OneLogit(flat))
    assert accuracy(run, "distilled") > 0.85
    loaded = sh.load(run.folder, module=OneLogit(flat))
    log_odds = np.log(loaded.predict_proba(X[100:].numpy()))
    judged = np.load(run.folder / "predictions.npz")
    kept = next(key for key in judged.files if key.startswith("distilled/0"))
    np.testing.assert_allclose(log_odds, judged[kept], atol=1e-5)
    with torch.no_grad():
        logit = loaded.net(X[100:])
    np.testing.assert_allclose(logit[:, 0], 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_student_of_one_logit_is_exported_as_two(dtype: torch.dtype, tmp_path: Path) -> None:
    import onnxruntime

    run = distilled(tmp_path / "run", student=OneLogit(flat=True).to(dtype))
    session = onnxruntime.InferenceSession(str(run.export()), providers=["CPUExecutionProvider"])
    loaded = run.load()
    rows = loaded.encoder.encode(X[100:].numpy()).numpy()
    exported = torch.from_numpy(session.run(None, {"inputs": rows})[0]).log_softmax(1)
    np.testing.assert_allclose(exported, np.log(loaded.predict_proba(X[100:].numpy())), atol=1e-4)


@pytest.mark.parametrize("parts", [(nn.Sigmoid(),), (nn.Sigmoid(), nn.Flatten(0))])
def test_a_sigmoid_at_the_end_of_a_student_is_refused_and_logits_near_one_half_are_not(
    parts: tuple[nn.Module, ...], tmp_path: Path
) -> None:
    with pytest.raises(RejectedError, match="a sigmoid is the last step"):
        distilled(tmp_path / "run", student=nn.Sequential(nn.Linear(4, 1), *parts))
    near = nn.Linear(4, 1)
    near.weight.data.mul_(0.01)
    near.bias.data.fill_(0.5)
    assert distilled(tmp_path / "run", student=near).verdict


def shares(rows: Any) -> np.ndarray:
    logit = 6 * np.asarray(rows, np.float64)[:, 0]
    return np.stack([1 / (1 + np.exp(logit)), 1 / (1 + np.exp(-logit))], 1)


STATED: dict[str, tuple[Any, str]] = {
    "logits of a function that look like probabilities": (lambda rows: np.round(shares(rows)), "logits"),
    "log-probabilities of a function": (lambda rows: np.log(shares(rows)), "log_probabilities"),
    "probabilities of a module": (Sign(torch.sigmoid), "probabilities"),
    "percentages of a function": (lambda rows: 100 * shares(rows), "probabilities"),
}


@pytest.mark.parametrize("what", STATED)
def test_stated_outputs_are_what_the_students_learn(what: str, tmp_path: Path) -> None:
    teacher, kind = STATED[what]
    run = distilled(tmp_path / "run", teacher=teacher, recipe={"teacher": {"outputs": kind}}, steps=4)
    (form,) = run.record["teacher_gate"]["answers"]
    assert (form["kind"], form["decided"]) == (kind, "stated")
    judged = np.exp(np.load(run.folder / "predictions.npz")["teacher/-"])
    truth = shares(X[100:])
    if kind == "logits":
        scores = np.exp(np.round(truth))
        truth = scores / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(judged, truth, atol=2e-3)
    unit = " in percent" if what.startswith("percent") else ""
    assert f"{kind.replace('_', '-')}{unit} (" in run.report_path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "tables"),
    [
        ({"teacher": None}, {"name": "extra_trees", "outputs": "logits"}),
        ({"task": "regression", "teacher": None}, {"name": "extra_trees", "outputs": "logits"}),
        ({"teacher": None}, {"outputs": "logits", "endpoint": {"url": "http://localhost:1", "model": "m"}}),
    ],
)
def test_outputs_of_teachers_that_are_known_are_refused(
    given: dict[str, Any], tables: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"\[teacher\] outputs"):
        distilled(tmp_path / "run", recipe={"teacher": tables}, **given)
    assert not (tmp_path / "run").exists()


class Doubles(nn.Module):
    """Computes in float64 alone."""

    scale: Tensor

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, start = how, torch.tensor([[0.0, 6.0]], dtype=torch.float64)
        if how == "a buffer":
            self.register_buffer("scale", start)
        else:
            self.scale = start if how == "an attribute" else nn.Parameter(start)

    def forward(self, rows: Tensor) -> Tensor:
        assert rows.dtype == torch.float64
        return rows[:, :1] @ self.scale


@pytest.mark.parametrize("how", ["a parameter", "a buffer", "an attribute"])
def test_a_teacher_that_takes_float64_alone_answers(how: str, tmp_path: Path) -> None:
    teacher = Doubles(how)
    run = distilled(tmp_path / "run", teacher=teacher, steps=2)
    judged = np.exp(np.load(run.folder / "predictions.npz")["teacher/-"])
    np.testing.assert_allclose(judged, shares(X[100:]), atol=1e-5)
    assert set(run.record.get("left_out", {})) <= {"self_trained"}, "an arm that needs rows without a label"
    assert teacher.scale.dtype == torch.float64


class Bare(nn.Module):
    """A weight that no layer holds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.head = nn.Parameter(torch.randn(4, 6)), nn.Linear(6, 2)

    def forward(self, rows: Tensor) -> Tensor:
        answer: Tensor = self.head(torch.relu(rows @ self.weight))
        return answer


class Drawn(Bare):
    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight)


FROM_SCRATCH = {"controls": {"from_scratch": True}}


def test_a_random_start_keeps_no_weight_silently_and_the_cure_works(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no method of the student draws 'weight'.*reset_parameters"):
        distilled(tmp_path / "run", student=Bare(), recipe=FROM_SCRATCH)
    assert not (tmp_path / "run").exists()
    student = Drawn()
    with torch.no_grad():
        student.weight.fill_(3.0)
    for given in (student, lambda: student):  # a function that gives weights is a given start too
        run = distilled(tmp_path / type(given).__name__, student=given, recipe=FROM_SCRATCH, steps=1, lr=1e-9)
        loaded = {
            arm: next((run.folder / "fits" / arm).rglob("model.safetensors")) for arm in ("labels_only", "scratch")
        }
        from safetensors.torch import load_file

        assert torch.allclose(load_file(loaded["labels_only"])["weight"], torch.full((4, 6), 3.0), atol=1e-4)
        assert load_file(loaded["scratch"])["weight"].std() > 0.3


BODY = nn.Linear(4, 8)
WHOLE = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
SHARING: dict[str, Callable[[], nn.Module]] = {
    "the same net each time": lambda: WHOLE,
    "a new head on one body": lambda: nn.Sequential(BODY, nn.Linear(8, 2)),
    "layers around one weight": lambda: nn.Sequential(Around(BODY.weight), nn.Linear(8, 2)),
}


class Around(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach())  # of the same memory

    def forward(self, rows: Tensor) -> Tensor:
        return rows @ self.weight.T


@pytest.mark.parametrize("what", SHARING)
def test_nets_of_one_function_share_no_weights(what: str) -> None:
    one, other = apart(SHARING[what], "student"), apart(SHARING[what], "student")
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.fill_(torch.nan)
    assert all(bool(p.isfinite().all()) for net in (other, BODY, WHOLE) for p in net.parameters())


def test_a_function_that_gives_one_net_starts_every_arm_alike_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in WHOLE.state_dict().items()}
    given = distilled(tmp_path / "module", student=WHOLE, steps=3)
    made = distilled(tmp_path / "function", student=lambda: WHOLE, steps=3)
    assert all(torch.equal(value, before[name]) for name, value in WHOLE.state_dict().items())
    for arm in ("labels_only", "distilled"):
        one, other = (run.scores["models"][arm]["measures"]["nll"]["value"] for run in (given, made))
        assert one == other


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(4, 4),
    "batch normalisation": lambda: nn.BatchNorm1d(4),
    "attention": lambda: nn.TransformerEncoderLayer(4, 2, 8),
    "recurrent": lambda: nn.LSTM(4, 4),
}
KEPT: dict[str, Callable[[], nn.Module]] = {
    "weight normalisation": lambda: weight_norm(nn.Linear(4, 4)),
    "a parametrization": lambda: parametrizations.weight_norm(nn.Linear(4, 4)),
    "an orthogonal parametrization": lambda: parametrizations.orthogonal(nn.Linear(4, 4)),
}


@pytest.mark.parametrize("what", LAYERS)
def test_layers_of_torch_are_drawn_again(what: str) -> None:
    net = LAYERS[what]()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(7.0)
    assert all(bool((p.isfinite() & (p != 7)).all()) for p in drawn_again(net).parameters())


@pytest.mark.parametrize("what", KEPT)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_layers_that_compute_their_weights_are_refused(what: str) -> None:
    with pytest.raises(UsageError, match="no method of the student draws"):
        drawn_again(KEPT[what]())


@pytest.mark.parametrize("layer", ["nope", "head:5"])
def test_a_wrong_layer_of_the_teacher_leaves_no_folder(layer: str, tmp_path: Path) -> None:
    method = {"name": "fitnet", "student_layer": "", "teacher_layer": layer}
    with pytest.raises(UsageError, match=layer):
        distilled(tmp_path / "deep" / "run", teacher=Sign(nn.Linear(1, 2)), method=method)
    with pytest.raises(UsageError, match=layer):
        distilled(tmp_path / "deep" / "run", teacher="mlp_tiny", method=method)
    assert not (tmp_path / "deep").exists()


def test_progress_calls_teachers_as_the_report_does(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    make_frame(120).drop(columns=["price", "height", "large"]).to_csv(tmp_path / "rows.csv", index=False)
    data = {"path": str(tmp_path / "rows.csv"), "target": "old"}
    recipe = write_recipe(tmp_path, data, "classification", controls={"same_teacher": True})
    with shown(True):
        opened(read(recipe)).ask()
    told = capsys.readouterr().err
    assert "Teacher: extra_trees" in told
    assert "Teacher with the same labels: extra_trees" in told
    assert "teacher_same" not in told


def test_weights_between_steps_of_a_tree_are_refused(tmp_path: Path) -> None:
    recipe = {"training": {"keep_every": 5, "workers": 1}}
    with pytest.raises(UsageError, match=r"keep_every = 5: the student 'decision_tree' is fitted at once"):
        distilled(tmp_path / "run", student="decision_tree", recipe=recipe)
    assert not (tmp_path / "run").exists()
