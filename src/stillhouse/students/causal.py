"""Causal students: language models cut out of their teacher, which read the teacher's token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.causal_vocabulary import Kept, cut_with_rest, most_frequent, special_ids
from stillhouse.students.derive import Derived, MapRow, derive
from stillhouse.students.stacks import Choice
from stillhouse.windows import DOCUMENTS, IDS, CausalWindows

PROBE = 4096  # tokens on which importance is measured: the logits of all of them are in memory at once


class CausalStudent(CausalWindows):
    """A causal model that reads windows in the teacher's ids and gives logits of its own classes.

    Args:
        model: causal model of transformers with C ids.
        table: int64 (V,), the model's id of each of the teacher's; C - 1, the rest class, for those it lacks. None: the
            ids are the same.
    """

    table: Tensor | None

    def __init__(self, model: nn.Module, table: Tensor | None = None) -> None:
        super().__init__(model)
        self.register_buffer("table", table)

    def asked(self, inputs: Tensor) -> dict[str, Any]:
        """The arguments of the model for windows (B, 2, T) in the teacher's ids."""
        return super().asked(torch.stack([self.read(inputs[:, IDS]), inputs[:, DOCUMENTS]], 1))

    def read(self, ids: Tensor) -> Tensor:
        """The student's ids of the teacher's ids, any shape."""
        return ids if self.table is None else self.table[ids]


def derive_causal(
    teacher: nn.Module,
    *,
    layers: int | Sequence[int] | None = None,
    choose: Choice = "alternate",
    width: float | int | None = None,
    heads: int | None = None,
    feedforward: float | None = None,
    vocabulary: int | None = None,
    counts: Tensor | None = None,
    special: Tensor | None = None,
    probe: Tensor | None = None,
) -> Derived:
    """Cut a causal student out of a causal model, with the teacher's weights.

    Args:
        teacher: causal model of transformers, or the ``CausalWindows`` around it; it is not changed.
        layers: how many stay, or which; see ``derive``.
        choose: how to choose them; "importance" and units need the probe to be chosen by what they do.
        width: hidden units that stay, a share or a number.
        heads: attention heads that stay, a multiple of those that share their keys.
        feedforward: share of the feed-forward units.
        vocabulary: ids that stay by frequency; one more class stands for all others.
        counts: (V,), how often each id is in the user's training texts; needed with ``vocabulary``.
        special: int64, ids that stay in any case, besides those that the model's configuration names.
        probe: windows int64 (B, 2, T); the first 4,096 tokens are used.

    Returns:
        ``module`` is a ``CausalStudent``; ``ids`` its table, or None.

    Raises:
        UsageError: the model has no such part, or not so many.
    """
    model: nn.Module = getattr(teacher, "model", teacher) if isinstance(teacher, CausalWindows) else teacher
    if probe is not None:
        probe = probe[: max(1, PROBE // probe.shape[-1])]
    made = derive(
        CausalWindows(model).train(model.training),
        layers=layers,
        choose=choose,
        width=width,
        heads=heads,
        feedforward=feedforward,
        probe=probe,
    )
    cut: Any = made.module
    rows, table, notes = made.map, None, list(made.notes)
    if vocabulary is not None:
        kept = frequent_ids(model, vocabulary, counts, special)
        cut_with_rest(cut.model, kept)
        table = kept.table
        seen = float(kept.counts[kept.ids].sum() / kept.counts.sum().clamp_min(1))
        notes.append(
            f"vocabulary: {vocabulary:,} of {len(table):,} ids and one class for the rest; {seen:.2%} of tokens kept"
        )
        rows = [_with_rest(row, len(table), vocabulary) for row in rows]
    return Derived(CausalStudent(rebuilt(cut.model), table).train(model.training), rows, notes, made.layers, table)


def rebuilt(model: nn.Module) -> nn.Module:
    """The model that its configuration and its weights describe, as whoever opens the saved folder gets it.

    Some models compute constants from their sizes when they are built (Gemma's scale of embeddings), so a model that
    was cut in place may answer otherwise than the same one loaded again.

    Args:
        model: causal model of transformers; the new one takes over its weights.
    """
    old: Any = model
    forget_file(old)
    new: Any = type(old)(old.config).to(next(old.parameters()).dtype)
    new.load_state_dict(old.state_dict())
    new.tie_weights()
    if getattr(old, "generation_config", None) is not None:
        new.generation_config = old.generation_config
    made: nn.Module = new.train(old.training)
    return made


def _with_rest(row: MapRow, total: int, kept: int) -> MapRow:
    """The row of a parameter that lost ids and got one of the rest."""
    if not row.shape or row.shape[0] != total or not row.student.endswith((".weight", ".bias")):
        return row
    return row._replace(shape=(kept + 1, *row.shape[1:]), how=f"sliced [{kept} of {total}], and the mean of the rest")


def frequent_ids(model: nn.Module, size: int, counts: Tensor | None, special: Tensor | None = None) -> Kept:
    """The ids of a model that stay in a vocabulary of ``size``; see ``derive_causal``."""
    whole: Any = model
    total = len(whole.get_input_embeddings().weight)
    if counts is None or len(counts) > total:
        raise UsageError(
            f"vocabulary = {size}: the most frequent ids of your texts stay, so `counts` must hold a number for "
            f"each of at most {total:,} ids; got {'none' if counts is None else len(counts)}."
        )
    padded = torch.zeros(total, dtype=torch.float64)  # embeddings are often padded beyond the tokenizer's ids
    padded[: len(counts)] = counts.double().cpu()
    always = special_ids(model, total)
    return most_frequent(padded, size, always if special is None else torch.cat([always, special.cpu()]))


def forget_file(model: nn.Module) -> None:
    """Remove what ties a model to a quantised file that its weights came from, in place.

    The weights are plain numbers once they are loaded, but transformers (5.24) refuses to save a model that names a
    GGUF file, and would look for that file again.
    """
    for name in ("hf_quantizer", "is_quantized", "quantization_method"):
        if name in vars(model):
            delattr(model, name)
    config: Any = getattr(model, "config", None)
    if getattr(config, "quantization_config", None) is not None:
        del config.quantization_config
