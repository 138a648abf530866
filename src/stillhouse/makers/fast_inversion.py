"""A generator that is meta-learned: a few steps from its weights make the rows of each batch of codes.

Terms and presets are those of `inversion`. Training looks for weights from which few steps are enough (Reptile); then
each batch of rows gets steps of its own, and of these the rows with the least loss are kept. FastDFKD's published code
offers Reptile beside first-order MAML.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stillhouse.data.source import Ints, Raw
from stillhouse.engine import Budget, fit
from stillhouse.generators.codes import Codes, codes_of
from stillhouse.generators.fast import FastInvertingStep
from stillhouse.makers.base import Workshop
from stillhouse.makers.inversion import DEFAULT, Inversion
from stillhouse.methods.base import Paper


class FastInversion(Inversion):
    """A meta-learned generator.

    Args:
        preset: the weights of a paper, as of `inversion`.
        steps: batches on which the generator is meta-learned.
        inner: steps for each batch, in training and for the rows that are made.
        batch_size: rows of a batch.
        lr: peak learning rate of the meta-learner.
        inner_lr: learning rate of the steps for a batch, of the generator's weights.
        code_lr: and of the codes.
        latent: length of a code.
        width: channels of the generator's last hidden layer.
        scout_steps: optimiser steps of the student that is the rival of the next round.
    """

    paper = Paper("Fang et al.", "Up to 100x faster data-free knowledge distillation", "AAAI", 2022, "2112.06253")

    def __init__(
        self,
        *,
        preset: str = DEFAULT,
        steps: int = 60,
        inner: int = 5,
        batch_size: int = 64,
        lr: float = 1e-2,
        inner_lr: float = 5e-3,
        code_lr: float = 1e-2,
        latent: int = 64,
        width: int = 16,
        scout_steps: int = 300,
    ) -> None:
        super().__init__(
            preset=preset,
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            latent=latent,
            width=width,
            scout_steps=scout_steps,
        )
        if inner < 1 or batch_size < 2 or not min(inner_lr, code_lr) > 0:
            raise ValueError("inner is at least 1, batch_size at least 2, inner_lr and code_lr are above 0.")
        self.inner, self.inner_lr, self.code_lr = inner, inner_lr, code_lr

    def asked(self, count: int) -> int:
        """Rows that the teacher answers with a gradient in a round of so many rows."""
        return self.inner * (self.steps * self.batch_size + count)

    def make_round(self, shop: Workshop, ids: Ints) -> Raw:
        """Meta-learn a fresh generator, and make rows by steps from it."""
        seed = shop.seed * 1000 + shop.number
        torch.manual_seed(seed)
        weights = self.weights(shop)
        step = self.step(self.generator(shop.form), shop, weights)
        trained = fit(
            step,
            Codes(self.batch_size, self.latent, seed),
            Budget(self.steps, self.batch_size, self.lr, weight_decay=0.0, device="cpu", checkpoint_every=10),
            folder=shop.folder,
            identity=shop.identity,
            tags={"arm": f"made/{shop.folder.parent.name}", "seed": shop.number},
            advance=shop.advance,
        )
        making = self.step(trained, shop, weights)
        # Whole batches: rows of a batch share its statistics, and the last one may hold a single row.
        every = np.concatenate([ids, ids[-1] + 1 + np.arange(-len(ids) % self.batch_size)])
        parts = []
        for start in range(0, len(every), self.batch_size):
            some = every[start : start + self.batch_size]
            parts.append(making.adapted(codes_of(some, self.latent, seed), torch.from_numpy(some)).rows)
        making.deployed()
        return shop.form.encoder.decode(torch.cat(parts)[: len(ids)])

    def step(self, generator: Any, shop: Workshop, weights: dict[str, float]) -> FastInvertingStep:
        """The step around a generator."""
        assert shop.teacher is not None
        how: Any = self.how
        rates = {"inner_lr": self.inner_lr, "code_lr": self.code_lr}
        return FastInvertingStep(generator, shop.teacher, weights, how, shop.scout, inner=self.inner, **rates)


MAKER = FastInversion
