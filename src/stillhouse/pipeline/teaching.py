"""One teacher of a run: made when it is first needed, asked once, its answers kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

from stillhouse.data import Rows, Stream
from stillhouse.engine import CHECKPOINT, Budget, Step, fit, read_weights, tensor_state, write_weights
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.ingredients import CODE, Ingredients, budget_of, net_maker
from stillhouse.pipeline.keeping import softening
from stillhouse.pipeline.progress import Advance, stage
from stillhouse.pipeline.run import Run
from stillhouse.pipeline.workers import run_all
from stillhouse.recipe import Recipe
from stillhouse.store import Store
from stillhouse.teachers import SKLEARN_NAMES, ModuleTeacher, fit_sklearn, label
from stillhouse.types import Batch, Outputs, Teacher

WEIGHTS = "model.safetensors"


class Teaching:
    """A teacher arm.

    Args:
        run: the run folder.
        recipe: the recipe.
        have: the run's ingredients.
        arm: "teacher" or "teacher_same".
        visible: int64 (N,) labels of the training rows, -1 where this teacher may not see them.
    """

    def __init__(self, run: Run, recipe: Recipe, have: Ingredients, arm: str, visible: Tensor) -> None:
        self.run, self.recipe, self.have, self.arm, self.visible = run, recipe, have, arm, visible
        self.folder = run.folder / arm
        self.layers = sorted({path for _, m, _ in have.make_methods() for path in m.teacher_layers})

    @property
    def name(self) -> str:
        """The kind of model that teaches, by its name in the recipe."""
        return self.recipe.teacher.name or default_teacher(self.have.data.train.inputs)

    @property
    def labels_seen(self) -> int | None:
        """Labels used to train it here; None for a teacher that was handed over."""
        return None if self.handed_over else int((self.visible >= 0).sum())

    @property
    def handed_over(self) -> bool:
        """Whether it came ready, from Python or from a file."""
        return self.arm == "teacher" and (self.have.teacher is not None or self.recipe.teacher.file is not None)

    @property
    def trains_net(self) -> bool:
        """Whether a net is to be trained here, which an earlier, interrupted run has not finished."""
        ready = self.handed_over or self.name in SKLEARN_NAMES
        return not ready and not (self.folder / WEIGHTS).exists()

    @cached_property
    def budget(self) -> Budget:
        """What training a net here may spend."""
        return budget_of(self.recipe.teacher.training, len(self.have.data.train.targets))

    @cached_property
    def teacher(self) -> Teacher:
        """The teacher: given, loaded, fitted now (trees), or trained before (nets)."""
        section, classes = self.recipe.teacher, self.have.classes
        if self.have.teacher is not None and self.arm == "teacher":
            return ModuleTeacher(self.have.teacher, classes, self.layers, self.recipe.store.teacher_precision)
        if self.name in SKLEARN_NAMES:
            inputs, seed = self.have.data.train.inputs, self.recipe.data.seed
            with self.run.timed("train teachers"), stage(f"{self.arm}: {self.name}", 1, "fit") as advance:
                fitted = fit_sklearn(
                    self.name, section.settings, inputs, self.visible, classes=classes, folds=section.folds, seed=seed
                )
                advance(1)
            return fitted
        file = section.file if section.file is not None and self.arm == "teacher" else self.folder / WEIGHTS
        return ModuleTeacher(self.load_file(file), classes, self.layers, self.recipe.store.teacher_precision)

    @property
    def module(self) -> nn.Module:
        """The teacher as a module from inputs to logits, for the cost table."""
        return self.teacher.module if isinstance(self.teacher, ModuleTeacher) else AsModule(self.teacher)

    def net(self) -> nn.Module:
        """A fresh net of the recipe's kind."""
        shape, settings = tuple(self.have.data.train.inputs.shape[1:]), self.recipe.teacher.settings
        return net_maker(self.name, settings, shape, self.have.classes, allow_code=self.name.startswith(CODE))()

    def load_file(self, file: Path) -> nn.Module:
        """A ready teacher's weights."""
        if not file.exists():
            raise UsageError(f"[teacher] file = {str(file)!r} does not exist. Give the path of a .safetensors file.")
        net = self.net()
        try:
            net.load_state_dict(read_weights(file)[0])
        except RuntimeError as error:
            raise RejectedError(
                f"{file} does not hold weights of {self.name!r} with these settings for {self.have.classes} classes: "
                f"{str(error).splitlines()[-1].strip()} Give the right `[teacher] name` and `settings`."
            ) from error
        return net

    def train(self, advance: Advance) -> None:
        """Train the net on the labels it may see, and leave its weights in the run folder."""
        torch.manual_seed(self.recipe.data.seed)
        data, seen = self.have.data, torch.nonzero(self.visible >= 0).flatten()
        batch_size, views = self.budget.batch_size, self.have.views
        trained = fit(
            Step(self.net(), label_smoothing=self.recipe.teacher.training.label_smoothing),
            Rows(data.train.inputs, self.visible),
            Stream(seen, batch_size=batch_size, seed=self.recipe.data.seed, views=views.labelled),
            views,
            self.budget,
            folder=self.folder,
            identity=f"{self.run.record['digest']}/{self.arm}",
            valid=data.valid,
            tags={"arm": self.arm, "seed": "-"},
            advance=advance,
        )
        write_weights(self.folder / WEIGHTS, tensor_state(trained))
        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def ask(self, advance: Advance) -> Store:
        """Its answers to every training row and view; asked now where they are not there yet."""
        folder = self.run.folder / self.arm.replace("teacher", "store")
        return ask_all(self.teacher, self.have, self.recipe, self.layers, folder, advance)

    def log_probs(self, inputs: Tensor) -> np.ndarray:
        """Normalised log-probabilities float32 (N, C) of rows outside the training split."""
        unknown = torch.full((len(inputs),), -1)
        parts = [
            torch.log_softmax(self.teacher.outputs(Batch(i, r, r, torch.zeros_like(r))).logits.double(), -1).float()
            for i, r in zip(torch.split(inputs, 1024), torch.split(unknown, 1024), strict=True)
        ]
        return torch.cat(parts).numpy()


def ask_all(
    teacher: Teacher, have: Ingredients, recipe: Recipe, layers: Sequence[str], folder: Path, advance: Advance
) -> Store:
    """The answers of a teacher to every training row and view, in the store of a folder."""
    data, keeps = have.data, recipe.store
    key = {
        "preprocessing": xxhash.xxh3_64_hexdigest(repr(data.encoder.state()).encode()),
        "views": have.views.describe(),
        "layers": " ".join(layers),
    }
    return label(
        teacher,
        data.train.inputs,
        have.views,
        folder if keeps.dir is None else keeps.dir,
        key=key,
        codec=keeps.codec,
        dtype=keeps.dtype,
        temperature=softening(have.make_methods()),
        library=keeps.dir is not None,
        block_rows=keeps.block_rows,
        row_hashes=data.source.row_hashes(data.split.train),
        advance=advance,
    )


def teach_all(run: Run, teachings: Sequence[Teaching], workers: int) -> dict[str, Store]:
    """Train the teachers that need it, side by side, and ask each about every row and view; returns the stores."""
    to_train = [t for t in teachings if t.trains_net]
    if to_train:
        total = sum(t.budget.steps for t in to_train)
        with run.timed("train teachers"), stage(f"training {len(to_train)} teacher(s)", total, "steps") as advance:
            run_all(to_train, lambda teaching, told: teaching.train(told), workers, advance)
    stores = {}
    for teaching in teachings:
        rows, views = len(teaching.visible), teaching.have.views.count
        made = teaching.teacher  # trees are fitted now, before the clock of the answers starts
        title = f"{teaching.arm}: {views} views a row, {made.parameters:,} parameters"
        with run.timed("ask teachers"), stage(title, rows, "rows") as advance:
            stores[teaching.arm] = teaching.ask(advance)
    return stores


class AsModule(nn.Module):
    """A teacher that is not a module, timed like one."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, inputs: Tensor) -> Outputs:
        """Its outputs for rows outside the training split."""
        rows = torch.full((len(inputs),), -1)
        return self.teacher.outputs(Batch(inputs, rows, rows, torch.zeros_like(rows)))


def default_teacher(inputs: Tensor) -> str:
    """A convolutional net for images, boosted trees for the rest."""
    return "cnn_large" if inputs.ndim == 4 else "hist_gradient_boosting"


def visible_labels(recipe: Recipe, have: Ingredients) -> Tensor:
    """The training labels that the main teacher may see, by ``[teacher] labels``.

    Raises:
        RejectedError: more labels are asked for than there are.
    """
    wanted, known = recipe.teacher.labels, have.data.train.targets
    if wanted == "all":
        return known
    keep = have.labelled
    if isinstance(wanted, int) and wanted < len(keep):
        keep = keep[:: max(1, len(keep) // wanted)][:wanted]
    elif isinstance(wanted, int):
        rest = torch.nonzero((known >= 0) & ~torch.isin(torch.arange(len(known)), keep)).flatten()
        missing = wanted - len(keep)
        if missing > len(rest):
            raise RejectedError(
                f"[teacher] labels = {wanted}, but only {len(keep) + len(rest)} training rows have a label. "
                'Lower it, or set `labels = "all"`.'
            )
        order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(recipe.data.seed))
        keep = torch.cat([keep, rest[order[:missing]]])
    return only(known, keep)


def only(targets: Tensor, keep: Tensor) -> Tensor:
    """Withhold every label but those at the given positions."""
    seen = torch.full_like(targets, -1)
    seen[keep] = targets[keep]
    return seen
