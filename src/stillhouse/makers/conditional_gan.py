"""A small conditional GAN on a few real rows, of the classes that the teacher takes them for.

A generator and a discriminator with a projection of the class (hinge loss), held back by spectral norms or by the R1
penalty; real and made rows are changed alike before they are judged. `teacher` adds the teacher's loss on the class
that a row was asked for; it needs a teacher that can be differentiated.
"""

from __future__ import annotations

import torch

from stillhouse.data.source import Ints, Raw
from stillhouse.engine import Budget, fit
from stillhouse.errors import UsageError
from stillhouse.generators.adversarial import AdversarialStep, likeliest, rows_of_classes
from stillhouse.generators.codes import Codes, classes_of, codes_of
from stillhouse.generators.nets import PictureDiscriminator, PictureGenerator
from stillhouse.makers.base import CLASSES, GRADIENT, ROWS, Form, Trained, Workshop
from stillhouse.methods.base import Paper

REGULARIZERS = ("spectral", "r1")


class ConditionalGan(Trained):
    """A conditional GAN.

    Args:
        steps: optimiser steps.
        batch_size: rows of a step, of each side.
        lr: peak learning rate of both nets.
        latent: length of a code.
        width: channels of the generator's last hidden layer and of the discriminator's first.
        strength: of the changes before a row is judged, as of the view `affine`; 0: none.
        teacher: weight of the teacher's loss; 0: none.
        regularizer: what holds the discriminator back, "spectral" norms (Miyato et al. 2018) or "r1", a penalty on its
            slope at real rows (Mescheder et al. 2018).
        penalty: weight of the R1 penalty.
    """

    paper = Paper("Mirza and Osindero", "Conditional generative adversarial nets", "arXiv", 2014, "1411.1784")
    prior = "some real rows"
    needs = frozenset({ROWS, CLASSES})
    kinds = frozenset({"image"})
    scout_steps = 0  # it has no rival

    def __init__(
        self,
        *,
        steps: int = 600,
        batch_size: int = 64,
        lr: float = 1e-3,
        latent: int = 64,
        width: int = 16,
        strength: float = 1.0,
        teacher: float = 0.0,
        regularizer: str = "spectral",
        penalty: float = 1.0,
    ) -> None:
        if min(steps, batch_size, latent, width) < 1 or not lr > 0 or strength < 0 or teacher < 0:
            raise ValueError(
                "steps, batch_size, latent and width are at least 1, lr is above 0, the others at least 0."
            )
        if regularizer not in REGULARIZERS:
            raise ValueError(f"regularizer = {regularizer!r} is not known. Write one of {', '.join(REGULARIZERS)}.")
        if not penalty > 0:
            raise ValueError(f"penalty = {penalty:g} is above 0. Write `penalty = 1.0`.")
        self.regularizer, self.penalty = regularizer, penalty
        self.steps, self.batch_size, self.lr, self.latent, self.width = steps, batch_size, lr, latent, width
        self.strength, self.teacher = strength, teacher
        if teacher:
            self.needs = frozenset({ROWS, CLASSES, GRADIENT})  # type: ignore[misc]  # of this entry

    def check(self, form: Form) -> None:
        """Refuse pictures that are too small for the nets."""
        if min(form.sides) < 4:
            raise UsageError("[[made]] 'conditional_gan' makes pictures of at least 4 pixels a side. Take 'blobs'.")

    def make_round(self, shop: Workshop, ids: Ints) -> Raw:
        """Train both nets and make rows."""
        assert shop.real is not None
        assert shop.answers is not None
        seed, form, count = shop.seed * 1000 + shop.number, shop.form, shop.width
        torch.manual_seed(seed)
        spectral = self.regularizer == "spectral"
        sizes = {"latent": self.latent, "width": self.width, "classes": count}
        step = AdversarialStep(
            PictureGenerator(form.encoder.shape, low=form.low, high=form.high, **sizes),
            PictureDiscriminator(form.encoder.shape, width=self.width, classes=count, spectral=spectral),
            shop.real,
            likeliest(shop.answers),
            seed=seed,
            strength=self.strength,
            fill=form.low,
            teacher=shop.teacher,
            weight=self.teacher,
            penalty=0.0 if spectral else self.penalty,
        )
        trained = fit(
            step,
            Codes(self.batch_size, self.latent, seed, count),
            Budget(self.steps, self.batch_size, self.lr, weight_decay=0.0, device="cpu", checkpoint_every=50),
            folder=shop.folder,
            identity=shop.identity,
            tags={"arm": f"made/{shop.folder.parent.name}", "seed": shop.number},
            advance=shop.advance,
        )
        asked = step.wanted(classes_of(ids, count, seed))
        return form.encoder.decode(rows_of_classes(trained, codes_of(ids, self.latent, seed), asked))


MAKER = ConditionalGan
