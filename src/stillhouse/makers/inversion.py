"""A generator that is trained against the teacher: rows of which it is sure, of all classes, with its own statistics.

The terms of its loss are weights of their own: `confidence` (the teacher is sure), `balance` (classes are even),
`statistics` (channel means and variances are those that the teacher's BatchNorm layers kept), `variation` (neighbouring
pixels are alike), `activation` (the teacher's last features are large), and from the second round `rival` (a student of
the rows so far disagrees). `preset` sets the weights of a paper; a generator is trained where DeepInversion and ADI
optimise each picture by itself. In rounds, rows of all rounds are kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from stillhouse.data.source import Ints, Raw
from stillhouse.engine import Budget, fit
from stillhouse.errors import UsageError
from stillhouse.functional.synthesis import RIVALS, Rival
from stillhouse.generators.codes import Codes, codes_of
from stillhouse.generators.inverting import InvertingStep, has_statistics, rows_from
from stillhouse.generators.nets import PictureGenerator
from stillhouse.makers.base import Form, Trained, Workshop
from stillhouse.methods.base import Paper

NO_STATISTICS = {"confidence": 1.0, "balance": 2.0, "activation": 0.1, "variation": 0.2}  # in place of the default's


class Preset(NamedTuple):
    """The weights of a paper."""

    paper: Paper
    weights: dict[str, float]
    how: Rival = "kl"


DAFL = Paper("Chen et al.", "Data-free learning of student networks", "ICCV", 2019, "1904.01186")
DFAD = Paper("Fang et al.", "Data-free adversarial distillation", "arXiv", 2019, "1912.11006")
ZSKT = Paper(
    "Micaelli and Storkey", "Zero-shot knowledge transfer via adversarial belief matching", "NeurIPS", 2019,
    "1905.09768",
)  # fmt: skip
DEEP_INVERSION = Paper(
    "Yin et al.", "Dreaming to distill: data-free knowledge transfer via DeepInversion", "CVPR", 2020, "1912.08795"
)
DFQ = Paper(
    "Choi et al.", "Data-free network quantization with adversarial knowledge distillation", "CVPR Workshops", 2020,
    "2005.04136",
)  # fmt: skip
INVERTED = {"confidence": 1.0, "statistics": 1.0, "variation": 0.1}
PRESETS = {
    "dafl": Preset(DAFL, {"confidence": 1.0, "activation": 0.1, "balance": 5.0}),
    "dfad": Preset(DFAD, {"rival": 1.0}, "l1"),
    "zskt": Preset(ZSKT, {"rival": 1.0}),
    "deep_inversion": Preset(DEEP_INVERSION, INVERTED),
    "adi": Preset(DEEP_INVERSION, INVERTED | {"rival": 1.0}, "js"),
    "dfq": Preset(DFQ, {"confidence": 0.5, "balance": 1.0, "statistics": 1.0, "rival": 1.0}),
}
DEFAULT = "dfq"


class Inversion(Trained):
    """A generator trained against the teacher.

    Args:
        preset: the weights of a paper: dafl, dfad, zskt, deep_inversion, adi or dfq.
        confidence, balance, statistics, variation, activation, rival: weights of the terms; None: the preset's.
        rival_by: how the disagreement is measured, "kl", "l1" or "js"; empty: as in the preset.
        steps: optimiser steps of a round.
        batch_size: rows of a step.
        lr: peak learning rate.
        latent: length of a code.
        width: channels of the generator's last hidden layer.
        scout_steps: optimiser steps of the student that is the rival of the next round.
    """

    paper = PRESETS[DEFAULT].paper
    prior = "the teacher's weights, and what its BatchNorm layers kept of its training rows"
    kinds = frozenset({"image"})
    rank = 0

    def __init__(
        self,
        *,
        preset: str = DEFAULT,
        confidence: float | None = None,
        balance: float | None = None,
        statistics: float | None = None,
        variation: float | None = None,
        activation: float | None = None,
        rival: float | None = None,
        rival_by: str = "",
        steps: int = 300,
        batch_size: int = 64,
        lr: float = 6e-3,
        latent: int = 64,
        width: int = 16,
        scout_steps: int = 300,
    ) -> None:
        if preset not in PRESETS:
            raise ValueError(f"preset = {preset!r} is not known. Write one of {', '.join(PRESETS)}.")
        if rival_by and rival_by not in RIVALS:
            raise ValueError(f"rival_by = {rival_by!r} is not known. Write one of {', '.join(RIVALS)}.")
        if min(steps, batch_size, latent, width, scout_steps) < 1 or not lr > 0:
            raise ValueError("steps, batch_size, latent, width and scout_steps are at least 1, and lr is above 0.")
        own = {
            "confidence": confidence, "balance": balance, "statistics": statistics, "variation": variation,
            "activation": activation, "rival": rival,
        }  # fmt: skip
        self.own = {name: weight for name, weight in own.items() if weight is not None}
        if any(weight < 0 for weight in self.own.values()):
            raise ValueError("the weight of a term is at least 0.")
        self.preset, self.how = preset, rival_by or PRESETS[preset].how
        self.steps, self.batch_size, self.lr = steps, batch_size, lr
        self.latent, self.width, self.scout_steps = latent, width, scout_steps

    @property
    def name(self) -> str:
        """As in a recipe."""
        return type(self).__module__.rpartition(".")[2]

    def weights(self, shop: Workshop) -> dict[str, float]:
        """The weights of a round; without BatchNorm in the teacher that term is left out, with a line."""
        given = PRESETS[self.preset].weights | self.own
        if given.get("statistics") and (shop.teacher is None or not has_statistics(shop.teacher)):
            rest = (given if self.preset != DEFAULT else given | NO_STATISTICS | self.own) | {"statistics": 0.0}
            shop.say(
                f"{self.name}: the teacher has no BatchNorm layer, so the term `statistics` is left out; the weights "
                f"are {', '.join(f'{name} {weight:g}' for name, weight in rest.items() if weight)}."
            )
            given = rest
        if shop.scout is None and not any(weight for name, weight in given.items() if name != "rival"):
            given = given | {"confidence": 1.0, "balance": 1.0}
            shop.say(
                f"{self.name}: in the first round there is no student to disagree with, so `confidence` and `balance` "
                "stand in for the term `rival`."
            )
        return given

    def check(self, form: Form) -> None:
        """Refuse pictures that are too small for two steps of doubling."""
        if min(form.sides) < 2:
            raise UsageError(f"[[made]] {self.name!r} makes pictures of at least 2 pixels a side. Take 'blobs'.")

    def generator(self, form: Form, classes: int = 0) -> PictureGenerator:
        """A fresh generator of such rows."""
        return PictureGenerator(
            form.encoder.shape,
            latent=self.latent,
            width=self.width,
            low=form.low,
            high=form.high,
            classes=classes,
        )

    def make_round(self, shop: Workshop, ids: Ints) -> Raw:
        """Train a fresh generator and make rows by it."""
        seed = shop.seed * 1000 + shop.number
        assert shop.teacher is not None
        torch.manual_seed(seed)
        how: Any = self.how
        step = InvertingStep(self.generator(shop.form), shop.teacher, self.weights(shop), how, shop.scout)
        trained = fit(
            step,
            Codes(self.batch_size, self.latent, seed),
            Budget(self.steps, self.batch_size, self.lr, weight_decay=0.0, device="cpu", checkpoint_every=50),
            folder=shop.folder,
            identity=shop.identity,
            tags={"arm": f"made/{shop.folder.parent.name}", "seed": shop.number},
            advance=shop.advance,
        )
        return shop.form.encoder.decode(rows_from(trained, codes_of(ids, self.latent, seed)))


MAKER = Inversion
