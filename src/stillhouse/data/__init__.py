"""Data: named sets, tables, arrays and the user's loaders; splits, encoders, reproducible views, batches."""

from stillhouse.data.batches.base import Batches
from stillhouse.data.batches.stored import StoredBatches
from stillhouse.data.encoders.base import Encoder
from stillhouse.data.encoders.fitting import encoder_from_state, fit_encoder
from stillhouse.data.encoders.prepare import Prepared, Rows, encoded_again, prepare
from stillhouse.data.encoders.text import TextEncoder, TextOptions
from stillhouse.data.reading.files import read, read_inputs
from stillhouse.data.reading.python import from_torch
from stillhouse.data.source import Source
from stillhouse.data.splits.random import Split, choose_labelled, split
from stillhouse.data.stream import Mixed, Stream
from stillhouse.data.targets import ReadTargets, TargetCells, Targets
from stillhouse.data.views.base import Views

__all__ = [
    "Batches",
    "Encoder",
    "Mixed",
    "Prepared",
    "ReadTargets",
    "Rows",
    "Source",
    "Split",
    "StoredBatches",
    "Stream",
    "TargetCells",
    "Targets",
    "TextEncoder",
    "TextOptions",
    "Views",
    "choose_labelled",
    "encoded_again",
    "encoder_from_state",
    "fit_encoder",
    "from_torch",
    "prepare",
    "read",
    "read_inputs",
    "split",
]
