"""Trees as a torch module: tables of nodes, evaluated for all rows and all trees together.

Nothing is trained here; ``tree_fitting`` and ``boosting`` fit trees and write them as a ``Forest``. The tables are
buffers, so they load, save and export as any net does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.students.lightgbm_text import Doubles, Tables, whole_model
from stillhouse.students.native_trees import NativeWalk, can_walk
from stillhouse.students.tree_paths import at_once, levels_of, paths_of, walked

FEW = 8  # rows for which all paths at once are faster than a walk


class Forest(NamedTuple):
    """All nodes of all trees in one table; a leaf is its own child, and a child stands after its parent."""

    feature: Tensor  # (nodes,) int64: the number of the flattened input value that the node tests; 0 in leaves
    threshold: Tensor  # (nodes,) float32: a row goes left where the value is at most this
    left: Tensor  # (nodes,) int64
    right: Tensor  # (nodes,) int64
    value: Tensor  # (nodes, W) float32: what a leaf adds to the outputs; W is 1 (of one output) or K
    share: Tensor  # (nodes,) float32: share of the training rows that reach the node; empty where it was not kept
    roots: Tensor  # (trees,) int64: where W is 1, tree t is of output t modulo K
    base: Tensor  # (K,) float32: the outputs before any tree


def stump(outputs: int) -> Forest:
    """One leaf that answers 0 for every output: classes then have the same probability."""
    leaf = torch.zeros(1, dtype=torch.int64)
    ones = torch.ones(1)
    return Forest(leaf, torch.zeros(1), leaf, leaf, torch.zeros(1, outputs), ones, leaf, torch.zeros(outputs))


class TreeEnsemble(nn.Module):
    """Outputs (B, K) of encoded inputs (B, ...): a base score plus the value of a leaf of each tree.

    Outputs are log-probabilities of classes up to a constant for each row, logits of independent labels, or values,
    depending on the targets of the fit. A single tree holds all outputs in its leaves; boosted trees hold additive
    scores, one tree for each output and iteration. There are no learned parameters: ``size`` is the cost. The state
    can be loaded into an ensemble of any other size with the same inputs and outputs.

    Args:
        forest: the nodes.
        inputs: values of one flattened input row.

    Example:
        >>> TreeEnsemble(stump(3), inputs=4)(torch.ones(2, 4)).softmax(-1)[0]
        tensor([0.3333, 0.3333, 0.3333])
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    share: Tensor
    roots: Tensor
    base: Tensor
    native: NativeWalk | None  # made when it is needed

    def __init__(self, forest: Forest, inputs: int) -> None:
        super().__init__()
        for name, tensor in forest._asdict().items():
            self.register_buffer(name, tensor.clone())
        self.inputs = inputs
        self._prepare()

    @property
    def outputs(self) -> int:
        """Number of outputs K."""
        return len(self.base)

    @property
    def size(self) -> int:
        """Number of nodes, in place of the parameters in a table of costs."""
        return len(self.feature)

    @property
    def leaves(self) -> int:
        """Number of nodes that are not split."""
        return int(self.is_leaf().sum())

    @property
    def depth(self) -> int:
        """Steps from the roots to the farthest leaf."""
        return len(self.levels.counts)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs float32 (B, K) of float32 inputs (B, ...) without gaps."""
        rows, device = inputs.flatten(1), self.base.device
        # An exported graph takes any number of rows, so its way to the leaves cannot depend on it.
        alone = not torch.compiler.is_exporting() and rows.shape[0] <= FEW and device.type == "cpu"
        if alone and self.paths is not None and rows.dtype == torch.float32:
            found = at_once(rows, self.paths)
        elif (leaves := self._natively(rows)) is not None:
            found = self.value.index_select(0, leaves.reshape(-1)).view(len(leaves), -1, self.value.shape[1])
        else:
            found = walked(rows, self.levels.to(device), self.feature, self.threshold, self.value)
        values = found.transpose(0, 1)[:, self.levels.place.to(device)]
        return self.base + values.reshape(rows.shape[0], -1, self.outputs).sum(1)

    def is_leaf(self) -> Tensor:
        """Which nodes (nodes,) have no branch."""
        return self.left == torch.arange(self.size, device=self.left.device)

    def _natively(self, rows: Tensor) -> Tensor | None:
        """The leaves (T, B) of float32 rows without gaps by LightGBM, where it is installed; None: walk the tables."""
        tracing = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        traced = tracing or torch.compiler.is_compiling() or torch.compiler.is_exporting()
        if traced or rows.dtype != torch.float32 or rows.device.type != "cpu" or self.base.device.type != "cpu":
            return None
        if self.native is None and can_walk(self.threshold, len(self.levels.roots)):
            self.native = NativeWalk(self._tables(), self.levels.roots.tolist(), self.inputs)
        if self.native is None or bool(rows.isnan().any()):  # the library reads NaN as 0, the tables send it left
            return None
        return self.native(rows.detach())

    def lightgbm_model(self, named: str, factor: Doubles, shift: Doubles) -> str:
        """The text of LightGBM's model file.

        Args:
            named: the objective, in the library's words.
            factor: (K,) by which outputs are multiplied.
            shift: (K,) what is added then.
        """
        base = self.base.double().cpu().numpy() * factor + shift
        return whole_model(self._tables(), self.roots.tolist(), self.inputs, named, factor, base)

    def _tables(self) -> Tables:
        return {name: getattr(self, name).cpu().numpy() for name in ("feature", "threshold", "left", "right", "value")}

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made again when it is needed."""
        return {**self.__dict__, "native": None}

    def _prepare(self) -> None:
        """What follows from the tables and is not stored."""
        self.native = None
        left, right, feature, threshold, value, roots = (
            getattr(self, name).detach().cpu() for name in ("left", "right", "feature", "threshold", "value", "roots")
        )
        self.levels = levels_of(left, right, roots)
        self.paths = paths_of(self.levels, feature, threshold, value)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Set the stored sizes before the stored values, and refuse tables in which a row would never reach a leaf."""
        stored = {name: state_dict.get(prefix + name) for name in Forest._fields}
        for name, tensor in stored.items():
            if name != "base" and isinstance(tensor, Tensor):
                self.register_buffer(name, torch.empty_like(tensor, device=self.base.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        fault = self._fault()
        if fault:
            errors: list[str] = rest[-1]
            errors.append(f"these are not trees of {self.inputs} inputs and {self.outputs} outputs: {fault}")
        else:
            self._prepare()

    def _fault(self) -> str:
        """The fault of the tables; empty where there is none."""
        nodes = torch.arange(self.size)
        left, right = self.left.cpu(), self.right.cpu()
        tables = (self.threshold, self.left, self.right, self.value)
        if not self.size or any(len(table) != self.size for table in tables):
            return "the tables of the nodes differ in length"
        if self.value.dim() != 2 or self.value.shape[1] not in (1, self.outputs):
            return f"leaves hold {tuple(self.value.shape[1:])} values"
        if not len(self.roots) or len(self.roots) * self.value.shape[1] % self.outputs:
            return f"{len(self.roots)} trees are not a multiple of the outputs"
        if int(self.feature.min()) < 0 or int(self.feature.max()) >= self.inputs:
            return "a node tests an input that does not exist"
        if int(self.roots.min()) < 0 or int(self.roots.max()) >= self.size:
            return "a tree starts outside the table"
        inside = (left >= nodes) & (right >= nodes) & (left < self.size) & (right < self.size)
        if not (inside & ((left == nodes) == (right == nodes))).all():
            return "the children of a node do not come after it"
        inner = left != nodes
        parents = torch.cat([left[inner], right[inner]]).bincount(minlength=self.size)
        parents[self.roots.cpu()] += 1
        return "a node has two parents" if int(parents.max()) > 1 else ""
