"""The step in which a generator is trained against a frozen teacher, and a frozen student as its rival."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.engine import Step
from stillhouse.errors import RejectedError
from stillhouse.functional import synthesis
from stillhouse.taps import EMBEDDING, Taps
from stillhouse.types import Batch, Outputs, in_eval, logits_of

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
TERMS = ("confidence", "balance", "statistics", "variation", "activation", "rival")


class Statistics:
    """What goes through the BatchNorm layers of a frozen net, beside what they kept of its training rows."""

    def __init__(self, net: nn.Module) -> None:
        self.layers = [m for m in net.modules() if isinstance(m, NORMS) and m.running_mean is not None]
        self.found: list[tuple[Tensor, Tensor]] = []
        self.hooks = [layer.register_forward_pre_hook(self.seen) for layer in self.layers]

    def seen(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        """Keep mean and variance of a layer's input."""
        values = arguments[0]
        axes = [axis for axis in range(values.ndim) if axis != 1]
        self.found.append((values.mean(axes), values.var(axes, unbiased=False)))

    def distance(self) -> Tensor:
        """The term, of the last batch."""
        found, self.found = self.found, []
        kept = [(layer.running_mean, layer.running_var) for layer in self.layers]
        return synthesis.batch_statistics(found, kept)  # type: ignore[arg-type]

    def close(self) -> None:
        """Take the hooks out."""
        for hook in self.hooks:
            hook.remove()


class InvertingStep(Step):
    """A step whose student is a generator; its forward gives the weighted terms of what the teacher answers.

    Args:
        generator: from codes to encoded rows.
        teacher: frozen, in eval mode; its weights and buffers are not changed.
        weights: of ``TERMS``; 0 leaves one out.
        how: see ``synthesis.rival``.
        scout: a frozen student, for the rival; None: there is none yet, and the term is left out.
        augment: changes the rows before they are asked, such as by small shifts; gets rows and codes' numbers.

    Raises:
        RejectedError: the rival is the teacher itself: the two would never differ.
    """

    def __init__(
        self,
        generator: nn.Module,
        teacher: nn.Module,
        weights: Mapping[str, float],
        how: synthesis.Rival = "kl",
        scout: nn.Module | None = None,
        augment: Callable[[Tensor, Tensor], Tensor] = lambda rows, numbers: rows,
    ) -> None:
        super().__init__(generator, label_weight=0.0)
        if scout is teacher:
            raise RejectedError("The rival of the teacher is the teacher itself: they never differ. Give a student.")
        self.how, self.augment = how, augment
        self.term_weights = {name: weight for name, weight in weights.items() if weight}
        if scout is None:
            self.term_weights.pop("rival", None)
        # No parts of this module: what is frozen is neither trained nor kept in checkpoints.
        self.frozen = (in_eval(teacher), None if scout is None else in_eval(scout))
        self.statistics = Statistics(teacher) if self.term_weights.get("statistics") else None
        self.tapped = Taps(teacher, [EMBEDDING]) if self.term_weights.get("activation") else None

    def forward(
        self, batch: Batch, teacher: Outputs | None = None, call: Callable[[Tensor], Any] | None = None
    ) -> dict[str, Tensor]:
        """Return the weighted terms; ``teacher`` is not used, the frozen net answers."""
        return self.judged((call or self.student)(batch.inputs), batch.rows)

    def judged(self, rows: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        """The weighted terms of encoded rows; ``numbers`` are those of their codes."""
        asked, scout = (None if net is None else net.to(rows.device) for net in self.frozen)
        assert asked is not None
        shown = self.augment(rows, numbers)
        answers = logits_of(asked(shown))
        return {
            name: weight * self.term(name, rows, answers, scout, shown) for name, weight in self.term_weights.items()
        }

    def term(self, name: str, rows: Tensor, answers: Tensor, scout: nn.Module | None, shown: Tensor) -> Tensor:
        """One term of the loss, without its weight."""
        if name == "confidence":
            return synthesis.confidence(answers)
        if name == "balance":
            return synthesis.class_balance(answers)
        if name == "variation":
            return synthesis.total_variation(rows)
        if name == "statistics":
            assert self.statistics is not None
            return self.statistics.distance()
        if name == "activation":
            assert self.tapped is not None
            return synthesis.activation(next(iter(self.tapped.take().values())))
        assert scout is not None
        return synthesis.rival(logits_of(scout(shown)), answers, self.how)

    def deployed(self) -> nn.Module:
        """The generator; the hooks in the teacher are taken out."""
        if self.statistics is not None:
            self.statistics.close()
        if self.tapped is not None:
            self.tapped.close()
        return super().deployed()


def has_statistics(teacher: nn.Module) -> bool:
    """Whether any BatchNorm layer of a net kept statistics."""
    return any(isinstance(m, NORMS) and m.running_mean is not None for m in teacher.modules())


@torch.no_grad()
def rows_from(generator: nn.Module, codes: Tensor, classes: Tensor | None = None, size: int = 250) -> Tensor:
    """Encoded rows for codes, in eval mode, batch by batch."""
    parts = []
    for start in range(0, len(codes), size):
        some = slice(start, start + size)
        own = () if classes is None else (classes[some],)
        parts.append(in_eval(generator)(codes[some], *own))
    return torch.cat(parts)
