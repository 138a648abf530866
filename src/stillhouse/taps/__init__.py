"""Taps: features of an unmodified module by path, through forward hooks.

A path is a module's dotted name. A part after a colon names something other than the output:

    features.3                  the module's output (also ``features.3:output``)
    features.3:input            its first input
    features.3:1                tensor number 1 of an output that holds several
    encoder.0.self_attn:query   (``:key``, ``:value``) a projection of an attention module, (B, L, D)
    encoder.0.self_attn:scores  query times key over the root of the head's width, before mask and softmax, (B, A, L, L)
    encoder.0.self_attn:attention   the attention weights (B, A, L, L), where the module returns them
    "" or "."                   the whole module
    embedding                   the input of the last ``nn.Linear``: what the classifier sees

Where an output is a tuple or a dict, the tap takes the first tensor, depth first. Of a module that runs several times
in one forward, it takes the last value. Prefixes of ``torch.compile``, data-parallel wrappers and Fabric are ignored,
so a path of the plain module works for the wrapped one.
"""

from stillhouse.taps.hooks import Taps
from stillhouse.taps.layers import Layer, Pair, layers, propose
from stillhouse.taps.paths import EMBEDDING, embedding_path, unwrap
from stillhouse.taps.tap import copy_untapped

__all__ = ["EMBEDDING", "Layer", "Pair", "Taps", "copy_untapped", "embedding_path", "layers", "propose", "unwrap"]
