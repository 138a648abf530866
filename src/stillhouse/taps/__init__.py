"""Taps: features of an unmodified module by path, through forward hooks.

A path is a module's dotted name, with a part after a colon where not the output is meant:

    features.3                  the module's output (also ``features.3:output``)
    features.3:input            its first input
    features.3:1                tensor number 1 of an output that holds several
    encoder.0.self_attn:query   (``:key``, ``:value``) a projection of an attention module, (B, L, D)
    encoder.0.self_attn:scores  query times key over the root of the head's width, before mask and softmax, (B, A, L, L)
    encoder.0.self_attn:attention   the attention weights (B, A, L, L), where the module returns them
    "" or "."                   the whole module
    embedding                   the input of the last ``nn.Linear``: what the classifier sees

Of outputs that are tuples or dicts the first tensor is taken, depth first. A module that runs several times in one
forward leaves its last value. Names that ``torch.compile``, data-parallel wrappers and Fabric put in front are ignored,
so a path of the plain module holds for the wrapped one.
"""

from stillhouse.taps.hooks import Taps
from stillhouse.taps.layers import Layer, Pair, layers, propose
from stillhouse.taps.paths import EMBEDDING, embedding_path, unwrap
from stillhouse.taps.tap import copy_untapped

__all__ = ["EMBEDDING", "Layer", "Pair", "Taps", "copy_untapped", "embedding_path", "layers", "propose", "unwrap"]
