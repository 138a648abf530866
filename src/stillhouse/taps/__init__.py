"""Taps: features of an unmodified module by path, through forward hooks.

A path is a module's dotted name. A part after a colon names something other than the output:

    features.3                  the module's output (also ``features.3:output``)
    features.3:input            its first input
    features.3:1                tensor number 1 of an output that holds several
    encoder.0.self_attn:query   (``:key``, ``:value``) a projection of an attention module, (B, L, D)
    encoder.0.self_attn:scores  query times key over the root of the head's width, before mask and softmax, (B, A, L, L)
    encoder.0.self_attn:attention   the attention weights (B, A, L, L), where the module returns them
    "" or "."                   the whole module
    embedding                   what the classifier sees: the input of the ``nn.Linear`` that makes the outputs

Where an output is a tuple or a dict, the tap takes the first tensor, depth first. Of a module that runs several times
in one forward, it takes the last value. Prefixes of ``torch.compile``, data-parallel wrappers and Fabric are ignored,
so a path of the plain module works for the wrapped one.
"""

from stillhouse.taps.hooks import Taps, classifier_path, copy_untapped, try_taps
from stillhouse.taps.layers import Layer, Pair, layers, propose
from stillhouse.taps.paths import EMBEDDING, unwrap
from stillhouse.taps.tap import tensors

__all__ = [
    "EMBEDDING",
    "Layer",
    "Pair",
    "Taps",
    "classifier_path",
    "copy_untapped",
    "layers",
    "propose",
    "tensors",
    "try_taps",
    "unwrap",
]
