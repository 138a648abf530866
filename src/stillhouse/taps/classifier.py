"""The tap ``embedding``: what the classifier sees."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.taps.paths import unwrap, walk
from stillhouse.taps.tap import Removable, Tap, first
from stillhouse.types import logits_of


class Classifier:
    """The input of the linear layer that makes the outputs.

    It is found in the first forward, for a layer may be defined last and never called, or run in training only: the
    layer whose output the module returns; else the last one of the outputs' width that ran; else the last one that ran.

    Args:
        root: any module with an ``nn.Linear``.

    Raises:
        UsageError: it has none.
    """

    def __init__(self, root: nn.Module) -> None:
        self.root = unwrap(root)
        names = list(walk(root))
        self.paths: dict[nn.Module, str] = {child: path for path, child in names if isinstance(child, nn.Linear)}
        if not self.paths:
            raise UsageError(
                "The path 'embedding' means the input of the classifier, an nn.Linear, and "
                f"{type(self.root).__name__} has none. Name a layer instead, for instance `student_layer = "
                f"{names[-1][0] or '.'!r}`; `stillhouse layers MODEL` lists them."
            )
        self.chosen: nn.Module | None = next(iter(self.paths)) if len(self.paths) == 1 else None
        self._taps = {child: _input(child) for child in ([self.chosen] if self.chosen else self.paths)}
        self._ran: dict[nn.Module, Tensor] = {}
        self._handles: list[Removable] = []

    @property
    def path(self) -> str | None:
        """Path of the layer, once it is found."""
        return None if self.chosen is None else self.paths[self.chosen]

    @property
    def found(self) -> str | None:
        """What was found in place of a tensor."""
        return None if self.chosen is None else self._taps[self.chosen].found

    def attach(self) -> list[Removable]:
        """Register the hooks; the returned handle takes off those that are left."""
        self._handles = [handle for tap in self._taps.values() for handle in tap.attach()]
        if self.chosen is None:
            self._handles += [child.register_forward_hook(self._note) for child in self.paths]
            self._handles.append(self.root.register_forward_hook(self._choose))
        return [self]

    def remove(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()

    def take(self) -> Tensor | None:
        """Return and clear the input of the last forward; None where the layer did not run."""
        return None if self.chosen is None else self._taps[self.chosen].take()

    def _note(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self._ran.pop(module, None)  # a layer that runs again is the last one
        self._ran[module] = output

    def _choose(self, module: nn.Module, args: Any, output: Any) -> None:
        ran, self._ran = self._ran, {}
        if not ran:
            return
        try:
            returned: Tensor | None = logits_of(output)
        except TypeError:
            returned = first(output)
        wide = [child for child, made in ran.items() if returned is not None and made.shape[-1:] == returned.shape[-1:]]
        same = [child for child, made in ran.items() if returned is not None and _shares(made, returned)]
        self.chosen = (same or wide or list(ran))[-1]
        self.remove()
        kept = self._taps[self.chosen]
        self._taps = {self.chosen: kept}
        self._handles = [*kept.attach()]


def _input(module: nn.Module) -> Tap:
    return Tap(module, lambda _module, args, kwargs, _output: first((args, kwargs)), before=True)


def _shares(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are views of the same numbers."""
    return one is other or (one.numel() == other.numel() and one.data_ptr() == other.data_ptr())
