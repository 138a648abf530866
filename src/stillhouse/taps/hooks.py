"""Hooks for several paths, attached and read together."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from types import TracebackType

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.taps.attention import PROJECTIONS, Scores, projection, scores, weights
from stillhouse.taps.classifier import Classifier
from stillhouse.taps.paths import EMBEDDING, find, unwrap
from stillhouse.taps.tap import Tap, first, nth
from stillhouse.types import evaluating


class Taps:
    """Forward hooks on a module that keep the tensors of the last forward at the given paths.

    Attach before ``torch.compile`` runs the module for the first time: a module compiled without hooks never calls
    them.

    Args:
        module: any module, plain or wrapped.
        paths: tap paths (grammar: ``stillhouse.taps``); what ``take`` returns is keyed by them as given.

    Raises:
        UsageError: a path does not exist (names the nearest), or names a part that the module does not have.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> with Taps(net, ["0", "2:input", "embedding"]) as taps:
    ...     _ = net(torch.zeros(5, 4))
    ...     {path: tuple(value.shape) for path, value in taps.take().items()}
    {'0': (5, 3), '2:input': (5, 3), 'embedding': (5, 3)}
    """

    def __init__(self, module: nn.Module, paths: Iterable[str]) -> None:
        self._taps = {path: _tap(module, path) for path in paths}
        self._handles = [handle for tap in self._taps.values() for handle in tap.attach()]

    @property
    def classifier(self) -> str | None:
        """Path of the layer whose input is tapped as "embedding", once a forward has shown it."""
        tap = self._taps.get(EMBEDDING)
        return tap.path if isinstance(tap, Classifier) else None

    def take(self) -> dict[str, Tensor]:
        """Return and clear the features of the last forward.

        Raises:
            UsageError: a tap never fired, or the module gave no tensor there; names the path and what it found.
        """
        found: dict[str, Tensor] = {}
        missing: list[str] = []
        for path, tap in self._taps.items():
            value = tap.take()
            if value is None:
                missing.append(path)
            else:
                found[path] = value
        if missing:
            raise UsageError(self._dead(missing, list(found)))
        return found

    def close(self) -> None:
        """Remove the hooks; the module is as it was."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __enter__(self) -> Taps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _dead(self, missing: list[str], fired: list[str]) -> str:
        ran = f"fired: {', '.join(map(repr, fired))}" if fired else "no tap fired"
        for path in missing:
            if self._taps[path].found is not None:
                return (
                    f"The tap {path!r} found no tensor: the module ran but gave {self._taps[path].found} ({ran}). Let "
                    "the module return it (for attention weights: `output_attentions=True`), or tap another path; "
                    "`stillhouse layers MODEL` lists them."
                )
        return (
            f"The tap {missing[0]!r} never fired in the last forward ({ran}). Either no forward ran since the last "
            "`take`, or the model did not run this layer in it (a branch not taken, an auxiliary head in eval mode), "
            "or it was compiled before the tap was attached. Attach taps before `torch.compile`, or tap a layer that "
            "runs; `stillhouse layers MODEL` lists those."
        )


def copy_untapped(module: nn.Module) -> nn.Module:
    """Return a deep copy without its wrappers and without the hooks of any tap; hooks of others are kept."""
    copied = copy.deepcopy(unwrap(module))
    for child in copied.modules():
        for hooks in (child._forward_hooks, child._forward_pre_hooks):
            for key, hook in list(hooks.items()):
                if isinstance(getattr(hook, "__self__", None), Tap | Classifier):
                    del hooks[key]
    return copied


def classifier_path(module: nn.Module, inputs: Tensor) -> str:
    """Path of the layer whose input the tap "embedding" reads, shown by a forward of some inputs in eval mode.

    Raises:
        UsageError: no linear layer runs.

    >>> import torch
    >>> classifier_path(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), torch.zeros(1, 2, 2))
    '1'
    """
    with evaluating(module), torch.no_grad(), Taps(module, [EMBEDDING]) as taps:
        module(inputs)
        taps.take()
        return str(taps.classifier)


@torch.no_grad()
def try_taps(module: nn.Module, paths: Iterable[str], inputs: Tensor) -> None:
    """Run a module once in its mode, with the random numbers left as they were.

    Raises:
        UsageError: a layer does not exist, does not run, or gives no tensor.
    """
    with torch.random.fork_rng(devices=[]), Taps(module, paths) as taps:
        module(inputs.clone())
        taps.take()


def _tap(root: nn.Module, path: str) -> Tap | Scores | Classifier:
    """Find the module and the part that a path names."""
    if path == EMBEDDING:
        return Classifier(root)
    name, _, part = path.partition(":")
    module = find(root, name, path)
    if part in ("", "output"):
        return Tap(module, lambda _module, _args, _kwargs, output: first(output))
    if part == "input":
        return Tap(module, lambda _module, args, kwargs, _output: first((args, kwargs)), before=True)
    if part.isdecimal():
        return Tap(module, lambda _module, _args, _kwargs, output: nth(output, int(part)))
    if part in PROJECTIONS:
        return projection(module, part, path)
    if part == "scores":
        return scores(module, path)
    if part == "attention":
        return weights(module)
    raise UsageError(
        f"The tap path {path!r} asks for the part {part!r}, which does not exist. After the colon write output, input, "
        f"a number, query, key, value, scores or attention: for instance `{name}:input`."
    )
