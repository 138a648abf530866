"""One teacher of a run: made when it is first needed, asked once, its answers kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

from stillhouse import students
from stillhouse.data import Rows, Stream
from stillhouse.engine import CHECKPOINT, Budget, Step, fit, read_weights, tensor_state, write_weights
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.appointing import NET_FILE, appoint, hub_net, kind_of, ready, whole_length
from stillhouse.pipeline.code import CODE, checked_module, own_code
from stillhouse.pipeline.ingredients import Ingredients, budget_of
from stillhouse.pipeline.keeping import softening
from stillhouse.pipeline.progress import Advance, stage
from stillhouse.pipeline.run import Run
from stillhouse.pipeline.workers import run_all
from stillhouse.recipe import Member, Recipe
from stillhouse.store import Store
from stillhouse.teachers import SKLEARN_NAMES, EnsembleTeacher, ModuleTeacher, fit_sklearn, label
from stillhouse.teachers.hub_cards import card_of
from stillhouse.teachers.hub_nets import TokenNet
from stillhouse.teachers.tuning import merged
from stillhouse.types import Batch, Outputs, Teacher

WEIGHTS = "model.safetensors"
CHUNK = 1024  # rows a call


class Teaching:
    """A teacher arm, or one member of it.

    Args:
        run: the run folder.
        recipe: the recipe.
        have: the run's ingredients.
        arm: "teacher" or "teacher_same".
        visible: int64 (N,) labels of the training rows, -1 where this teacher may not see them.
        section: what the recipe says of it; None: [teacher].
        given: what came from Python in its place.
        folder: where it is kept; None: named as the arm.
    """

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        have: Ingredients,
        arm: str,
        visible: Tensor,
        section: Member | None = None,
        given: Any = None,
        folder: Path | None = None,
    ) -> None:
        self.run, self.recipe, self.have, self.arm, self.visible = run, recipe, have, arm, visible
        self.section: Member = section or recipe.teacher
        self.given = given if section is not None or arm != "teacher" else have.teacher
        self.folder = folder or run.folder / arm
        self.layers = sorted({path for _, m, _ in have.make_methods() for path in m.teacher_layers})
        if arm != "teacher":  # what came ready has seen other labels: this one is trained here, on the student's own
            self.section = self.section.model_copy(update={"file": None})
        self.kind = kind_of(self.section, self.given)
        self.members = self.make_members()

    def make_members(self) -> list[Teaching]:
        """The teachers whose answers are joined, each a teacher of its own."""
        if self.kind != "members":
            return []
        sections = self.recipe.teacher.member
        pairs = [(self.section, one) for one in self.given] if self.given else [(one, None) for one in sections]
        return [
            Teaching(self.run, self.recipe, self.have, self.arm, self.visible, section, given, self.folder / str(i))
            for i, (section, given) in enumerate(pairs)
        ]

    @property
    def name(self) -> str:
        """The kind of model that teaches, by its name in the recipe."""
        weights = self.kind == "file" and self.section.file is not None and self.section.file.suffix == NET_FILE
        if weights or (self.kind in ("net", "fitted here") and self.section.hub is None):
            return self.section.name or default_teacher(self.have.data.train.inputs)
        return self.section.hub or (self.section.file.name if self.section.file else self.kind)

    @property
    def labels_seen(self) -> int | None:
        """Labels used to train it here; None for a teacher that was handed over."""
        return None if self.handed_over else int((self.visible >= 0).sum())

    @property
    def handed_over(self) -> bool:
        """Whether it came ready, from Python, a file, a hub folder or a service."""
        return all(m.handed_over for m in self.members) if self.members else ready(self.section, self.given)

    @property
    def trains_net(self) -> bool:
        """Whether a net is to be trained here, which an earlier, interrupted run has not finished."""
        return any(m.trains_net for m in self.members) or (
            self.kind == "net" and not self.fitted_here and not (self.folder / WEIGHTS).exists()
        )

    @property
    def fitted_here(self) -> bool:
        """Whether it is a model of scikit-learn that is fitted in this run."""
        return self.kind in ("net", "fitted here") and self.name in SKLEARN_NAMES

    @property
    def trainable(self) -> list[Teaching]:
        """Itself, or its members, where a net is still to be trained."""
        return [m for m in self.members if m.trains_net] if self.members else [self] if self.trains_net else []

    @cached_property
    def budget(self) -> Budget:
        """What training a net here may spend."""
        return budget_of(self.section.training, len(self.have.data.train.targets))

    @cached_property
    def teacher(self) -> Teacher:
        """The teacher: given, loaded, fitted now (trees), or trained before (nets)."""
        classes, precision = self.have.classes, self.recipe.store.teacher_precision
        if self.members:
            return EnsembleTeacher(
                [m.teacher for m in self.members],
                self.recipe.teacher.combine,
                labels=self.visible,
                labelled_views=self.have.views.labelled,
            )
        if self.fitted_here:
            return self.fit_trees()
        weights = self.section.file if self.kind == "file" else None
        if ready(self.section, self.given) and (weights is None or weights.suffix != NET_FILE):
            data = self.have.data
            return appoint(
                self.section,
                self.given,
                classes=data.source.classes,
                decode=data.encoder.decode,
                probe=data.source.take(data.split.train[:4]),
                layers=self.layers,
                precision=precision,
                folder=self.run.folder,
            )
        return ModuleTeacher(self.load_file(weights or self.folder / WEIGHTS), classes, self.layers, precision)

    def fit_trees(self) -> Teacher:
        """A model of scikit-learn, fitted to the labels it may see, and once more without each fold."""
        section, inputs, seed = self.section, self.have.data.train.inputs, self.recipe.data.seed
        with self.run.timed("train teachers"), stage(f"{self.arm}: {self.name}", 1, "fit") as advance:
            fitted = fit_sklearn(
                self.name,
                section.settings,
                inputs,
                self.visible,
                classes=self.have.classes,
                folds=section.folds,
                seed=seed,
            )
            advance(1)
        return fitted

    @property
    def module(self) -> nn.Module:
        """The teacher as a module from inputs to logits, for the cost table."""
        return self.teacher.module if isinstance(self.teacher, ModuleTeacher) else AsModule(self.teacher)

    def origin(self) -> tuple[nn.Module, dict[str, Any]]:
        """The net that a student is cut out of, trained if it is trained already, and its card.

        Raises:
            UsageError: this teacher is no net.
        """
        if self.kind == "net" and not self.fitted_here:
            net = self.net() if self.trains_net else self.module
        elif isinstance(self.teacher, ModuleTeacher):
            net = self.module
        else:
            raise UsageError("[student.derive] needs a teacher that is a net: a zoo name, a module, or [teacher] hub.")
        return merged(net), self.card(net)

    def card(self, net: nn.Module) -> dict[str, Any]:
        """How to build the teacher's net again; empty for the user's own."""
        if isinstance(merged(net), TokenNet):
            return {"hub": card_of(merged(net))}
        if self.given is not None or self.name.startswith(CODE):
            return {}
        shape = list(self.have.data.train.inputs.shape[1:])
        return {"name": self.name, "settings": self.settings(), "shape": shape}

    def settings(self) -> dict[str, Any]:
        """Of the zoo's net; the vocabulary is the data's."""
        settings: dict[str, Any] = dict(self.section.settings)
        vocabulary = getattr(self.have.data.encoder, "vocabulary", None)
        if vocabulary is not None and "vocabulary" in students.defaults(self.name):
            settings.setdefault("vocabulary", vocabulary)
        return settings

    def net(self) -> nn.Module:
        """A fresh net of the recipe's kind."""
        if self.section.hub is not None:
            made = hub_net(self.section, self.have.data.source.classes, self.recipe.data.seed)
            return whole_length(made, self.layers)
        shape = tuple(self.have.data.train.inputs.shape[1:])
        if self.name.startswith(CODE):
            made = own_code(self.name, True)(shape=shape, classes=self.have.classes, **self.section.settings)
            return checked_module(made, self.name)
        return students.make(self.name, shape=shape, classes=self.have.classes, settings=self.settings())

    def load_file(self, file: Path) -> nn.Module:
        """A ready teacher's weights."""
        if not file.exists():
            raise UsageError(f"[teacher] file = {str(file)!r} does not exist. Give the path of a .safetensors file.")
        net = merged(self.net())
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
            Step(self.net(), label_smoothing=self.section.training.label_smoothing),
            Rows(data.train.inputs, self.visible),
            Stream(seen, batch_size=batch_size, seed=self.recipe.data.seed, views=views.labelled),
            views,
            self.budget,
            folder=self.folder,
            identity=f"{self.run.record['digest']}/{self.folder.relative_to(self.run.folder)}",
            valid=data.valid,
            tags={"arm": self.arm, "seed": "-"},
            advance=advance,
        )
        write_weights(self.folder / WEIGHTS, tensor_state(merged(trained)))
        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def ask(self, advance: Advance) -> Store:
        """Its answers to every training row and view; asked now where they are not there yet."""
        folder = self.run.folder / self.arm.replace("teacher", "store")
        return ask_all(self.teacher, self.have, self.recipe, self.layers, folder, advance)

    def log_probs(self, part: str) -> np.ndarray:
        """Normalised log-probabilities float32 (N, C) of the rows of "valid" or "test"."""
        inputs, raw = getattr(self.have.data, part).inputs, self.have.raw(part)
        return answers_of(self.teacher, inputs, torch.full((len(inputs),), -1), raw)


def answers_of(teacher: Teacher, inputs: Tensor, rows: Tensor, raw: Any) -> np.ndarray:
    """Normalised log-probabilities float32 (N, C) of encoded rows, their ids, and the same rows as they were read."""
    parts = []
    for start in range(0, len(rows), CHUNK):
        some = slice(start, start + CHUNK)
        ids = rows[some]
        batch = Batch(inputs[some], torch.full_like(ids, -1), ids, torch.zeros_like(ids), raw=part_of(raw, some))
        parts.append(torch.log_softmax(teacher.outputs(batch).logits.double(), -1).float())
    return torch.cat(parts).numpy() if parts else np.empty((0, teacher.classes), np.float32)


def part_of(raw: Any, rows: slice) -> Any:
    """Some rows of an array or a frame; None where there are none to give."""
    if raw is None:
        return None
    return raw[rows] if isinstance(raw, np.ndarray) else raw.iloc[rows]


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
        raw=lambda rows: data.source.take(data.split.train[rows]),
    )


def teach_all(run: Run, teachings: Sequence[Teaching], workers: int) -> dict[str, Store]:
    """Train the teachers that need it, side by side, and ask each about every row and view; returns the stores."""
    to_train = [one for t in teachings for one in t.trainable]
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
    """A convolutional net for images, a transformer for texts, boosted trees for the rest."""
    if not inputs.is_floating_point():
        return "transformer_tiny"
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
