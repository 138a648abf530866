"""What a task says about teachers: how models of all kinds are read, fitted and joined.

A task's folder holds these names in its ``teachers.py``, and the module itself is ``Task.teachers``: nothing here knows
what the outputs mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.task import OutputSpec
from stillhouse.types import Outputs

Rows: TypeAlias = NDArray[np.int64]
# From what a model returned for B rows, and the training rows they are (-1: of another split), to its outputs: values
# (B, *shape) and perhaps features.
Read: TypeAlias = Callable[[Any, Rows], Outputs]


FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")  # types of an ONNX file's outputs that hold numbers


class Booster(NamedTuple):
    """How a booster's predictions are read."""

    read: Read
    margin: bool = False  # whether it is asked for raw scores


class Port(NamedTuple):
    """An input or output of an ONNX graph."""

    name: str
    type: str  # as ONNX Runtime writes it: "tensor(float)", "seq(map(string,tensor(float)))"
    shape: tuple[int | None, ...]  # None: any size

    def holds(self, *widths: int) -> bool:
        """Whether it can be floats (B, width), or (B,) where a width is 1; unknown sizes may fit."""
        if self.type not in FLOATS or len(self.shape) not in (1, 2):
            return False
        width = self.shape[1] if len(self.shape) == 2 else 1
        return width is None or width in widths

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.name!r} {self.type} ({sizes})"


class TaskTeachers(Protocol):
    """The names of a task's ``teachers.py``. Those that refuse raise ``RejectedError`` or ``UsageError``."""

    @property
    def asks(self) -> str:
        """The method of a fitted model that gives its outputs: "predict_proba", "predict"."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What answers may be, as ``read`` takes it and as `[teacher] outputs` names it; empty: there is one kind."""

    @property
    def onnx_outputs(self) -> Mapping[str, str | None]:
        """Names of an ONNX file's outputs, the likeliest first, and their kind as ``read`` takes it."""

    @property
    def catboost(self) -> str:
        """The class of CatBoost that opens a file of its own format."""

    @property
    def joins(self) -> tuple[str, ...]:
        """Ways in which several teachers answer as one."""

    def read_module(self, spec: OutputSpec, kind: str | None = None) -> Read:
        """For one module: how its answers are read; see ``read``."""

    def read(self, spec: OutputSpec, kind: str | None = None, columns: Sequence[Any] = ()) -> Read:
        """For one function or file: how its answers are read.

        Args:
            spec: of the outputs.
            kind: one of ``kinds``; None: the first answers decide, once for the whole teacher.
            columns: what the model says its columns are, such as names of classes; empty: in the task's order.

        Returns:
            The reader. Where something was decided, its attribute ``form`` says what, JSON-able.
        """

    def estimator(self, model: Any, spec: OutputSpec, kind: str | None = None) -> tuple[Callable[[Any], Any], Read]:
        """For one fitted model that has ``asks``: from rows as it takes them to answers, and how these are read.

        ``kind`` is one of ``kinds`` where the user states it; None: what ``asks`` is named after.
        """

    def booster(self, library: str, objective: str, columns: int, spec: OutputSpec) -> Booster:
        """For one booster of lightgbm, xgboost or catboost: how its predictions are read.

        Args:
            library: which.
            objective: it was trained with, as the library calls it.
            columns: numbers it gives for each row; of catboost: classes it knows.
            spec: of the outputs.
        """

    def fits_port(self, port: Port, spec: OutputSpec) -> bool:
        """Whether an ONNX file's output may hold the outputs."""

    def fit(
        self,
        name: str,
        settings: Mapping[str, Any],
        inputs: NDArray[Any],
        targets: NDArray[Any],
        weights: NDArray[np.float64] | None,
        seed: int,
    ) -> Any:
        """A model of scikit-learn by our name for it, fitted to rows (N, F) that have a label, with weights (N,)."""

    def predict(self, model: Any, inputs: NDArray[Any], spec: OutputSpec) -> NDArray[np.float32]:
        """Outputs (B, *shape) of a model from ``fit``."""

    def join(self, members: Sequence[Outputs], weights: Tensor, how: str, targets: Tensor) -> Outputs:
        """Outputs of several teachers as those of one.

        Args:
            members: of each teacher; values (B, *shape) without NaN.
            weights: float64, one a teacher, of sum 1.
            how: one of ``joins``.
            targets: of the rows; without a label where it may not be used.
        """

    def hub_net(self, model: Any, names: Sequence[str], tune: str, seed: int) -> nn.Module:
        """A hub model (``hub.models.HubModel``) as a net from token ids to outputs.

        Args:
            model: from ``open_hub``.
            names: of the outputs, in order.
            tune: "none" keeps its own head; "probe", "full" and "lora" give it a fresh one, to be trained.
            seed: of a fresh head.
        """
