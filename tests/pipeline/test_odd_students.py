"""Students of the user's own, with odd parts: each is trained, judged and loaded, or refused before any training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.fx
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

import stillhouse as sh
from stillhouse.errors import RejectedError, UsageError

pytestmark = pytest.mark.slow  # many whole runs

X = torch.randn(170, 4, generator=torch.Generator().manual_seed(0))
Y = X[:, :3].argmax(1)
DATA = ((X[:100], Y[:100]), None, (X[100:], Y[100:]))
NUMBERS = ((X[:100], X[:100, 0] * 2), None, (X[100:], X[100:, 0] * 2))


class Knowing(nn.Module):
    """A teacher that is right, with a classifier whose input can be tapped."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.head.weight.data, self.head.bias.data = 4 * torch.eye(3, 4), torch.zeros(3)

    def forward(self, rows: Tensor) -> Tensor:
        answer: Tensor = self.head(rows)
        return answer


class NoWeights(nn.Module):
    def forward(self, rows: Tensor) -> Tensor:
        return 4 * rows[:, :3]


class KnowingNumbers(nn.Module):
    def forward(self, rows: Tensor) -> Tensor:
        return 2 * rows[:, :1]


def distilled(out: Path, student: Any, **over: Any) -> sh.Run:
    torch.set_num_threads(1)
    recipe = {"evaluation": {"resamples": 100}, "training": {"workers": 1}}
    options: dict[str, Any] = {"teacher": Knowing(), "data": DATA, "steps": 8, "batch_size": 32} | over
    return sh.distill(recipe, student=student, seeds=[0], out=out, accept_teacher=True, verbose=False, **options)


class Body(nn.Module):
    """Two layers; what is odd is added by those below."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, rows: Tensor) -> Any:
        return self.head(F.relu(self.body(rows)))


class Unused(Body):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(5, 3)


class Auxiliary(Body):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(8, 3)

    def forward(self, rows: Tensor) -> Any:
        hidden = F.relu(self.body(rows))
        return (self.head(hidden), self.extra(hidden)) if self.training else self.head(hidden)


class ObjectOut(Body):
    def forward(self, rows: Tensor) -> Any:
        return SimpleNamespace(loss=None, logits=super().forward(rows))


class DictOut(Body):
    def forward(self, rows: Tensor) -> Any:
        return {"hidden": rows, "logits": super().forward(rows)}


class WritesIn(Body):
    def forward(self, rows: Tensor) -> Any:
        return super().forward(rows.sub_(1.0).mul_(0.5))


class Doubles(Body):
    def __init__(self) -> None:
        super().__init__()
        self.double()

    def forward(self, rows: Tensor) -> Any:
        assert rows.dtype == torch.float64
        return super().forward(rows)


class CastsItself(Doubles):
    def forward(self, rows: Tensor) -> Any:
        return super().forward(rows.double())


class Keeps(Body):
    """Keeps its last hidden state, with its graph, and counts its calls."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, rows: Tensor) -> Any:
        self.calls += 1
        self.seen += len(rows)
        self.hidden = self.body(rows)
        return self.head(F.relu(self.hidden))


class MadeLater(nn.Module):
    def forward(self, rows: Tensor) -> Any:
        if not hasattr(self, "net"):
            self.net = nn.Linear(rows.shape[1], 3)
        return self.net(rows)


class SilentTrain(Body):
    """Its own ``train`` returns nothing."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
        self.last.weight = self.first.weight

    def forward(self, rows: Tensor) -> Any:
        return self.last(F.relu(self.first(rows)))[:, :3]


def wrapped(change: Callable[[nn.Linear], Any]) -> nn.Module:
    net = Body()
    change(net.body)
    return net


def used(net: nn.Module) -> nn.Module:
    """A module as it is after a forward in training: some keep what they computed."""
    net(X[:5].clone())
    return net


ODD: dict[str, Callable[[], nn.Module]] = {
    "weight normalisation": lambda: used(wrapped(lambda layer: weight_norm(layer))),
    "weight normalisation as a parametrization": lambda: wrapped(parametrizations.weight_norm),
    "spectral normalisation": lambda: used(wrapped(spectral_norm)),
    "an orthogonal parametrization": lambda: wrapped(parametrizations.orthogonal),
    "a layer defined last and never called": Unused,
    "an auxiliary head in training": lambda: used(Auxiliary()),
    "an object with logits": ObjectOut,
    "a dict with logits": DictOut,
    "inputs that are written into": WritesIn,
    "float64": Doubles,
    "float64 that casts its inputs": CastsItself,
    "half": lambda: Body().half(),
    "bfloat16": lambda: Body().bfloat16(),
    "a state that it keeps": lambda: used(Keeps()),
    "lazy layers": lambda: nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyBatchNorm1d(), nn.LazyLinear(3)),
    "layers made in the first call": MadeLater,
    "tied weights": Tied,
    "a train that returns nothing": SilentTrain,
    "a symbolic trace": lambda: torch.fx.symbolic_trace(Body()),
    "batch normalisation": lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)),
    "a part in eval mode": lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8).eval(), nn.ReLU(), nn.Linear(8, 3)),
}


AS_FUNCTIONS = ("weight normalisation", "float64", "half", "lazy layers", "layers made in the first call")
JUDGED = ("weight normalisation", "an auxiliary head in training", "a state that it keeps", "float64")


@pytest.mark.parametrize(
    ("what", "form"), [*((what, "module") for what in ODD), *((what, "function") for what in AS_FUNCTIONS)]
)
def test_an_odd_student_is_trained_and_loaded(what: str, form: str, tmp_path: Path) -> None:
    before = X.clone()
    torch.manual_seed(0)
    student = ODD[what]() if form == "module" else ODD[what]
    fitted = sh.Distiller(Knowing(), student, method="rkd", steps=4, batch_size=32, out=tmp_path / "run").fit(X, Y)
    assert torch.equal(X, before), "the user's rows are as they were"
    log_odds = np.log(fitted.predict_proba(X[100:]))
    loaded = sh.load(tmp_path / "run", module=ODD[what]())
    np.testing.assert_allclose(np.log(loaded.predict_proba(X[100:].numpy())), log_odds, atol=2e-4)
    one = np.concatenate([loaded.predict_proba(X[i : i + 1].numpy()) for i in range(100, 103)])
    np.testing.assert_allclose(np.log(one), log_odds[:3], atol=2e-4)


@pytest.mark.parametrize("what", JUDGED)
def test_an_odd_student_is_judged_by_what_it_answers_when_it_is_loaded(what: str, tmp_path: Path) -> None:
    run = distilled(tmp_path / "run", ODD[what](), method={"name": "rkd"})
    assert set(run.record.get("left_out", {})) <= {"self_trained"}, "an arm that needs rows without a label"
    judged = np.load(run.folder / "predictions.npz")
    kept = next(key for key in judged.files if key.startswith("distilled/0"))
    for loaded in (run.load(), sh.load(run.folder, module=ODD[what]())):
        np.testing.assert_allclose(np.log(loaded.predict_proba(X[100:].numpy())), judged[kept], atol=2e-4)


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 1)

    def forward(self, rows: Tensor) -> Tensor:
        answer: Tensor = self.net(rows)
        return answer.squeeze()


def test_one_number_a_row_needs_no_axis_of_outputs(tmp_path: Path) -> None:
    run = distilled(tmp_path / "run", Flat, task="regression", teacher=KnowingNumbers(), data=NUMBERS)
    assert run.load().predict(X[:5].numpy()).shape[0] == 5
    assert run.load().predict(X[:1].numpy()).shape[0] == 1
    assert sh.load(run.folder, module=Flat()).predict(X[:1].numpy()).shape[0] == 1
    with pytest.raises(UsageError, match="Leave out `module`"):  # the cure works
        sh.load(run.folder, module=Flat(), arm="simple")
    assert sh.load(run.folder, arm="simple").predict(X[:1].numpy()).shape[0] == 1


class Locked(Body):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Random(Body):
    def forward(self, rows: Tensor) -> Any:
        return self.head(F.dropout(F.relu(self.body(rows))))


class BesideOthers(Body):
    def forward(self, rows: Tensor) -> Any:
        return super().forward(rows - rows.mean(0))


class Squeezed(Body):
    def forward(self, rows: Tensor) -> Any:
        return super().forward(rows).squeeze()


class DropsRow(Body):
    def forward(self, rows: Tensor) -> Any:
        return super().forward(rows)[:-1]


class Infinite(Body):
    def forward(self, rows: Tensor) -> Any:
        return super().forward(rows) / rows[:, :1].clamp(min=0)


class Remembers(Body):
    def forward(self, rows: Tensor) -> Any:
        hidden = self.body(rows)
        self.state = 0.5 * getattr(self, "state", 0.0) + hidden.mean(0) if self.training else hidden.mean(0)
        return self.head(F.relu(hidden)) + (self.state.mean() if self.training else 0)


class Detached(Body):
    def forward(self, rows: Tensor) -> Any:
        with torch.no_grad():
            return super().forward(rows)


class ExtraFirst(Auxiliary):
    def forward(self, rows: Tensor) -> Any:
        return (self.body(rows), self.head(self.body(rows))) if self.training else self.head(self.body(rows))


class PlainState(Body):
    def get_extra_state(self) -> Any:
        return {"epoch": 3}

    def set_extra_state(self, state: Any) -> None:
        """Nothing is kept."""


class ByClosure(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.ones(()))
        self.ask: Callable[[Tensor], Tensor] = lambda rows: self.net(rows) * self.scale

    def forward(self, rows: Tensor) -> Any:
        return self.ask(rows)


def of_several_sizes() -> Iterator[nn.Module]:
    while True:
        yield nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
        yield nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))


def frozen() -> nn.Module:
    return Body().requires_grad_(False)


SIZES = of_several_sizes()
REFUSED: dict[str, tuple[Any, str]] = {
    "a lock": (Locked(), r"cannot be copied.*lock.*student=lambda"),
    "dropout in eval mode": (Random, r"asked twice.*F\.dropout"),
    "an answer that depends on the batch": (BesideOthers, "alone and beside other rows"),
    "no axis of rows for one row": (Squeezed, r"The student.*\(3,\)|\(3, 1\)"),
    "a row that is dropped": (DropsRow, r"\(63, 3\) to 64 rows"),
    "infinity": (Infinite, "not finite.*training row"),
    "weights without numbers": (lambda: nn.Linear(4, 3, device="meta"), "'meta'.*to_empty"),
    "the graph of an earlier batch": (Remembers, r"cannot be trained.*detach"),
    "no gradient": (Detached, "cannot be trained"),
    "no weights": (NoWeights, "no weight to train"),
    "frozen weights": (frozen, "no weight to train"),
    "the auxiliary output first": (ExtraFirst, r"\(32, 8\) to 32 rows in training mode"),
    "a state that is no tensor": (PlainState, "not a tensor"),
    "a copy that uses the original": (ByClosure(), "weights of the original.*student=lambda"),
    "other layers each time": (lambda: next(SIZES), "stored and loaded again"),
    "probabilities": (lambda: nn.Sequential(Body(), nn.Softmax(-1)), "Remove the softmax"),
    "too few outputs": (lambda: nn.Linear(4, 2), "3"),
}


class Untouched(Knowing):
    """A teacher that is asked about no more rows than those on which things are tried."""

    def forward(self, rows: Tensor) -> Tensor:
        assert len(rows) <= 16, "nothing is labelled before the student is refused"
        return super().forward(rows)


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_trained_is_refused_before_the_teacher_is_asked(what: str, tmp_path: Path) -> None:
    student, words = REFUSED[what]
    with pytest.raises((RejectedError, UsageError), match=words):
        distilled(tmp_path / "run", student, teacher=Untouched())
    assert not (tmp_path / "run" / "run.json").exists()


def test_the_cure_for_a_lock_and_for_a_closure_is_a_function(tmp_path: Path) -> None:
    assert distilled(tmp_path / "lock", lambda: Locked()).verdict
    assert distilled(tmp_path / "closure", lambda: ByClosure()).verdict


def test_batch_normalisation_and_a_batch_of_one_are_refused_with_the_size_that_works(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"`\[training\] batch_size = 2`"):
        distilled(tmp_path / "run", ODD["batch normalisation"], batch_size=1)
    assert distilled(tmp_path / "run", ODD["batch normalisation"], batch_size=2).verdict


def test_a_layer_that_is_matched_and_never_runs_is_refused_before_the_teacher_is_asked(tmp_path: Path) -> None:
    method = {"name": "fitnet", "student_layer": "unused", "teacher_layer": ""}
    with pytest.raises(UsageError, match="'unused' never fired"):
        distilled(tmp_path / "run", Unused, method=method, teacher=Untouched())
    for layer in ("extra", "extra:input"):
        method["student_layer"] = layer
        with pytest.raises(UsageError, match="never fired"):
            distilled(tmp_path / "run", Auxiliary, method=method, teacher=Untouched())
    assert not (tmp_path / "run" / "run.json").exists()
