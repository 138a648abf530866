"""The league's two small worlds: data, a teacher, its stored answers, and the student that all methods train.

A world exists twice: for tuning, with validation rows split off the training rows, and for the final fits, with all
training rows and the test rows, which no choice has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from stillhouse import students, tasks
from stillhouse.data import (
    Prepared,
    Rows,
    StoredBatches,
    Stream,
    Views,
    choose_labelled,
    from_torch,
    prepare,
    read,
    split,
)
from stillhouse.engine import Budget, Step, fit, read_weights, tensor_state, write_weights
from stillhouse.pipeline.run.labels import only
from stillhouse.store import Store
from stillhouse.taps import layers, propose
from stillhouse.task import OutputSpec
from stillhouse.tasks.classification.losses import MONITOR, label_loss, validation
from stillhouse.tasks.classification.targets import read_targets
from stillhouse.teachers import ModuleTeacher, StoredTeacher, label

TASK = tasks.get("classification")

Phase = Literal["tuning", "final"]
Kind = Literal["logits", "features", "mixup"]
KINDS: tuple[Kind, ...] = ("logits", "features", "mixup")
VALID = 0.2  # of the training rows, for tuning
MIXED_VIEWS = 8  # of a row, for function matching


@dataclass(eq=False)
class World:
    """One set of data with its nets; what is dear is made on first use and kept in ``folder``."""

    name: str
    phase: Phase
    folder: Path
    data: Prepared
    views: Views
    make_student: Callable[[], nn.Module]
    make_teacher: Callable[[], nn.Module]
    teacher_budget: Budget
    mixed: Views = field(init=False)

    def __post_init__(self) -> None:
        self.mixed = Views("mixup", MIXED_VIEWS, 0.0, 0, pool=self.data.train.inputs)
        self.labelled = torch.from_numpy(self.data.split.labelled_positions())
        self.seen = only(self.data.train.targets, self.labelled)

    @cached_property
    def teacher(self) -> nn.Module:
        """Trained on every training label of this phase, once."""
        torch.manual_seed(0)
        net, weights = self.make_teacher(), self.folder / "teacher.safetensors"
        if weights.exists():
            net.load_state_dict(read_weights(weights)[0])
            return net.eval()
        rows, budget = self.data.train, self.teacher_budget
        stream = Stream(torch.arange(len(rows.targets)), batch_size=budget.batch_size, seed=0, views=self.views.count)
        trained = fit(
            Step(net, loss=label_loss),
            StoredBatches(rows, stream, self.views),
            budget,
            folder=self.folder / "teacher",
            identity=self.name,
            valid=self.data.valid,
            validation=validation,
            monitor=MONITOR,
        )
        write_weights(weights, tensor_state(trained))
        return trained

    @cached_property
    def map_pairs(self) -> list[tuple[str, str]]:
        """Layers with maps that feature methods may join, the deepest two pairs of ``taps.propose``."""
        example = self.data.train.inputs[:2]
        pairs = propose(layers(self.make_student(), example), layers(self.teacher, example))
        return [(p.student.path, p.teacher.path) for p in pairs if len(p.student.shape) == 3][-2:]

    @property
    def spec(self) -> OutputSpec:
        """One output a class."""
        return OutputSpec((len(self.data.source.names),), tuple(self.data.source.names))

    def answers(self, kind: Kind) -> StoredTeacher:
        """What the teacher said of every row and view: logits alone, or with the layers, or of blends."""
        paths = ["embedding", "head", *(teacher for _, teacher in self.map_pairs)] if kind == "features" else []
        views = self.mixed if kind == "mixup" else self.views
        return StoredTeacher(
            label(
                ModuleTeacher(self.teacher, TASK, self.spec, paths),
                self.data.train.inputs,
                views,
                self.folder / f"store_{kind}",
                task=TASK,
                key={"views": views.describe(), "layers": " ".join(paths)},
                dtype="float16",
                block_rows=512,
            )
        )

    @cached_property
    def stores(self) -> dict[str, Store]:
        """All three, opened before workers are forked."""
        return {kind: self.answers(kind).store for kind in KINDS}

    def judged(self) -> Rows:
        """Validation rows when tuning, test rows at the end."""
        return self.data.valid if self.phase == "tuning" else self.data.test


def mnist5k(phase: Phase, folder: Path) -> World:
    """The demo's world: 4,000 training rows of which 200 have a label; the teacher saw all labels."""
    source = read(name="mnist5k", read_targets=read_targets)
    data = prepare(source, split(source, labels=200, valid=VALID if phase == "tuning" else 0.0, test=0.2, seed=0))
    return World(
        "mnist5k",
        phase,
        folder,
        data,
        Views("shift", 8, 2.0, 0, fill=data.encoder.fill),
        lambda: students.make("cnn_tiny", shape=(1, 28, 28), outputs=10, settings={}),
        lambda: students.make("cnn_large", shape=(1, 28, 28), outputs=10, settings={}),
        Budget(steps=600, batch_size=128, lr=4e-3, checkpoint_every=10_000, log_every=600),
    )


def mnist1d(phase: Phase, folder: Path) -> World:
    """4,000 training rows of MNIST-1D (Greydanus and Kobak, ICML 2024), all labelled; what differs is the net."""
    from mnist1d.data import get_dataset_args, make_dataset

    made = make_dataset(get_dataset_args())
    (x, x_test), (y, y_test) = ((torch.from_numpy(made[k]) for k in (n, f"{n}_test")) for n in "xy")
    cut = round(VALID * len(y)) if phase == "tuning" else 0
    train, valid = (x[cut:].float(), y[cut:].long()), (x[:cut].float(), y[:cut].long())
    source, drawn = from_torch(
        train, valid if cut else None, (x_test.float(), y_test.long()), read_targets=read_targets
    )
    drawn = replace(drawn, labelled=choose_labelled(source, drawn.train, labels="all", seed=0))
    return World(
        "mnist1d",
        phase,
        folder,
        prepare(source, drawn),
        Views("none", 1, 0.0, 0),
        lambda: students.make("mlp_tiny", shape=(40,), outputs=10, settings={"hidden": [48, 48]}),
        convolutional_1d,
        Budget(steps=1500, batch_size=128, lr=1e-2, checkpoint_every=10_000, log_every=1500),
    )


def convolutional_1d(channels: tuple[int, ...] = (32, 64, 64)) -> nn.Sequential:
    """A net of convolutions along the 40 values, which the student, a perceptron, cannot express in its size."""
    blocks, wide = nn.Sequential(), 1
    for narrow in channels:
        conv = nn.Conv2d(wide, narrow, (1, 5), (1, 2), (0, 2), bias=False)
        blocks.append(nn.Sequential(conv, nn.BatchNorm2d(narrow), nn.ReLU()))
        wide = narrow
    net = nn.Sequential()
    net.add_module("maps", nn.Unflatten(1, (1, 1, 40)))
    net.add_module("blocks", blocks)
    net.add_module("pool", nn.Flatten())
    net.add_module("head", nn.Linear(wide * 5, 10))
    return net


WORLDS: dict[str, Callable[[Phase, Path], World]] = {"mnist5k": mnist5k, "mnist1d": mnist1d}
