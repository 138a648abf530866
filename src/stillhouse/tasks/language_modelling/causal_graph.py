"""A causal student as an ONNX graph with a cache: it reads tokens behind those whose keys and values it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.errors import StillhouseError, UsageError
from stillhouse.exporting.formats.onnx import TOLERANCE, quiet, reason, runtime_of
from stillhouse.files import write_pieces
from stillhouse.windows import CausalWindows, is_recurrent

# Texts, new tokens and tokens in the cache that are compared: a prompt, one token, several, a cache of one
CASES = ((1, 5, 0), (1, 1, 4), (2, 3, 7), (3, 1, 1))


class Cached(nn.Module):
    """A causal model whose cache is given and returned as tensors.

    Args:
        model: causal model of transformers with attention alone.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, cached: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Logits (B, t, C) after each new token, and the longer cache.

        Args:
            ids: int64 (B, t), in the model's own numbers.
            cached: of each layer keys and values (B, heads, p, head size); p may be 0.
        """
        from transformers import DynamicCache

        whole: Any = self.model
        cache = DynamicCache(config=whole.config)
        for layer in range(len(cached) // 2):
            cache.update(cached[2 * layer], cached[2 * layer + 1], layer)
        logits: Tensor = whole(input_ids=ids, use_cache=True, cache=cache).logits
        return logits, tensors(cache)


def tensors(cache: Any) -> list[Tensor]:
    """Keys and values of each layer, in turns."""
    return [one for layer in cache.layers for one in (layer.keys, layer.values)]


def write_graph(student: CausalWindows, file: Path, metadata: Mapping[str, str]) -> Path:
    """Write the graph; it is compared with the student before it gets its name.

    Inputs are ``ids`` (B, t), the ids of the tokenizer that ``save_pretrained`` writes, and ``past_0``, ``past_1`` ...:
    of each layer keys and values, with a third axis of length 0 for a new text. Outputs are ``logits`` (B, t, C) and
    the cache for the next call, ``cache_0`` ... in the same order.

    Args:
        student: reads windows; its model has attention alone.
        file: of the graph.
        metadata: is written into it.

    Raises:
        UsageError: a recurrent model, or onnx, onnxscript or onnxruntime is not installed.
        StillhouseError: the exporter cannot translate the model, or the file answers otherwise.
    """
    runtime, model = runtime_of(), student.model
    if is_recurrent(model):
        raise UsageError("A recurrent model is not exported to ONNX. Save its folder: `save_pretrained(folder)`.")
    graph = Cached(model).eval()
    with torch.no_grad():
        example = _case(graph, 2, 3, 7)
    names = [f"{{}}_{number}" for number in range(len(example[1]))]
    moving = torch.export.Dim.DYNAMIC
    shapes = ({0: moving, 1: moving}, [{0: moving, 2: moving} for _ in example[1]])
    with quiet():
        try:
            program: Any = torch.onnx.export(
                graph, example, dynamo=True, dynamic_shapes=shapes, verbose=False,
                input_names=["ids", *(name.format("past") for name in names)],
                output_names=["logits", *(name.format("cache") for name in names)],
            )  # fmt: skip
        except Exception as error:  # the exporter's errors have no common base that torch makes public
            raise StillhouseError(
                f"This model cannot be exported to ONNX with its cache: {reason(error)} Save its folder: "
                "`save_pretrained(folder)`."
            ) from error
    program.model.metadata_props.update(metadata)
    data = program.model_proto.SerializeToString()
    write_pieces(file, [data], lambda path: _compare(graph, runtime, path))
    return file


@torch.no_grad()
def _case(graph: Cached, texts: int, new: int, before: int) -> tuple[Tensor, list[Tensor]]:
    """New tokens, and the cache of those before them."""
    from transformers import DynamicCache

    model: Any = graph.model
    classes = model.get_input_embeddings().weight.shape[0]
    ids = torch.randint(0, classes, (texts, before + new), generator=torch.Generator().manual_seed(before))
    cache = DynamicCache(config=model.config)
    model(input_ids=ids[:, : max(before, 1)], use_cache=True, cache=cache)
    return ids[:, before:], [one[:, :, :before].contiguous() for one in tensors(cache)]


@torch.no_grad()
def _compare(graph: Cached, runtime: Any, file: Path, cases: Sequence[tuple[int, int, int]] = CASES) -> None:
    for texts, new, before in cases:
        ids, cached = _case(graph, texts, new, before)
        own, _ = graph(ids, [one.clone() for one in cached])
        try:
            session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            names = [one.name for one in session.get_inputs()]
            given = session.run(None, dict(zip(names, (one.numpy() for one in (ids, *cached)), strict=True)))
        except Exception as error:  # ONNX Runtime's errors have no common base below Exception
            raise StillhouseError(
                f"The ONNX file does not run on {new} tokens behind {before}, so it was not kept: {reason(error)} Save "
                "the folder of the model: `save_pretrained(folder)`."
            ) from error
        apart = float((torch.from_numpy(given[0]).softmax(-1) - own.softmax(-1)).abs().max())
        if not apart <= TOLERANCE or given[1].shape[2] != before + new:
            raise StillhouseError(
                f"The ONNX file's probabilities differ from the student's by {apart:.2g} for {new} tokens behind "
                f"{before}, so it was not kept. Save the folder of the model: `save_pretrained(folder)`."
            )
