"""One teacher of a run: made when it is first needed, asked once, its answers kept."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

from stillhouse import students
from stillhouse.data import Rows, Stream
from stillhouse.engine import CHECKPOINT, Step, fit, read_weights, tensor_state, write_weights
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.ingredients import CODE, Ingredients, budget_of, net_maker
from stillhouse.pipeline.progress import stage
from stillhouse.pipeline.run import Run
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
    def title(self) -> str:
        """How progress names it."""
        return "teacher" if self.arm == "teacher" else "teacher on the same labels"

    @property
    def labels_seen(self) -> int | None:
        """Labels used to train it here; None for a teacher that was handed over."""
        return None if self.handed_over else int((self.visible >= 0).sum())

    @property
    def handed_over(self) -> bool:
        """Whether it came ready, from Python or from a file."""
        return self.arm == "teacher" and (self.have.teacher is not None or self.recipe.teacher.file is not None)

    @cached_property
    def teacher(self) -> Teacher:
        """The teacher: given, loaded, or trained now."""
        if self.have.teacher is not None and self.arm == "teacher":
            return ModuleTeacher(self.have.teacher, self.have.classes, self.layers)
        section, train = self.recipe.teacher, self.have.data.train
        name = section.name or default_teacher(train.inputs)
        if name in SKLEARN_NAMES:
            with self.run.timed(f"train {self.arm}"), stage(f"{self.title}: {name}", 1, "fit") as advance:
                fitted = fit_sklearn(
                    name,
                    section.settings,
                    train.inputs,
                    self.visible,
                    classes=self.have.classes,
                    folds=section.folds,
                    seed=self.recipe.data.seed,
                )
                advance(1)
            return fitted
        if section.file is not None and self.arm == "teacher":
            return ModuleTeacher(self.load_file(name, section.file), self.have.classes, self.layers)
        return ModuleTeacher(self.train_net(name), self.have.classes, self.layers)

    @property
    def module(self) -> nn.Module:
        """The teacher as a module from inputs to logits, for the cost table."""
        return self.teacher.module if isinstance(self.teacher, ModuleTeacher) else AsModule(self.teacher)

    def net(self, name: str) -> nn.Module:
        """A fresh net of the recipe's kind."""
        shape = tuple(self.have.data.train.inputs.shape[1:])
        return net_maker(name, self.recipe.teacher.settings, shape, self.have.classes, name.startswith(CODE))()

    def load_file(self, name: str, file: Path) -> nn.Module:
        """A ready teacher's weights."""
        if not file.exists():
            raise UsageError(f"[teacher] file = {str(file)!r} does not exist. Give the path of a .safetensors file.")
        net = self.net(name)
        try:
            net.load_state_dict(read_weights(file)[0])
        except RuntimeError as error:
            raise RejectedError(
                f"{file} does not hold weights of {name!r} with these settings for {self.have.classes} classes: "
                f"{str(error).splitlines()[-1].strip()} Give the right `[teacher] name` and `settings`."
            ) from error
        return net

    def train_net(self, name: str) -> nn.Module:
        """Train it on the labels it may see; or take up what an earlier, interrupted run left."""
        torch.manual_seed(self.recipe.data.seed)
        net, weights = self.net(name), self.folder / WEIGHTS
        if weights.exists():
            net.load_state_dict(read_weights(weights)[0])
            return net.eval()
        data, training = self.have.data, self.recipe.teacher.training
        seen = torch.nonzero(self.visible >= 0).flatten()
        budget = budget_of(training, len(data.train.targets))
        stream = Stream(seen, batch_size=budget.batch_size, seed=self.recipe.data.seed, views=self.have.views.count)
        with self.run.timed(f"train {self.arm}"), stage(f"{self.title}: training", budget.steps, "steps") as advance:
            trained = fit(
                Step(net, label_smoothing=training.label_smoothing),
                Rows(data.train.inputs, self.visible),
                stream,
                self.have.views,
                budget,
                folder=self.folder,
                identity=f"{self.run.record['digest']}/{self.arm}",
                valid=data.valid,
                tags={"arm": self.arm, "seed": "-"},
                advance=advance,
            )
        write_weights(weights, tensor_state(trained))
        (self.folder / CHECKPOINT).unlink(missing_ok=True)
        return trained

    def store(self) -> Store:
        """Its answers to every training row and view; asked now where they are not there yet."""
        data, keeps = self.have.data, self.recipe.store
        teacher = self.teacher
        title = f"{self.title}: answers for {self.have.views.count} views a row"
        key = {
            "preprocessing": xxhash.xxh3_64_hexdigest(repr(data.encoder.state()).encode()),
            "views": self.have.views.describe(),
            "layers": " ".join(self.layers),
        }
        folder = self.run.folder / self.arm.replace("teacher", "store")
        with self.run.timed(f"ask {self.arm}"), stage(title, len(data.train.targets), "rows") as advance:
            return label(
                teacher,
                data.train.inputs,
                self.have.views,
                folder,
                key=key,
                dtype=keeps.dtype,
                block_rows=keeps.block_rows,
                row_hashes=data.source.row_hashes(data.split.train),
                advance=advance,
            )

    def log_probs(self, inputs: Tensor) -> np.ndarray:
        """Normalised log-probabilities float32 (N, C) of rows outside the training split."""
        unknown = torch.full((len(inputs),), -1)
        parts = [
            torch.log_softmax(self.teacher.outputs(Batch(i, r, r, torch.zeros_like(r))).logits.double(), -1).float()
            for i, r in zip(torch.split(inputs, 1024), torch.split(unknown, 1024), strict=True)
        ]
        return torch.cat(parts).numpy()


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


__all__ = ["Teaching", "only", "students", "visible_labels"]
