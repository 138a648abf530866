"""Step and loop: training that knows neither method, nor teacher, nor kind of data."""

from stillhouse.engine.checkpoint import NAME as CHECKPOINT
from stillhouse.engine.checkpoint import read_shapes, read_weights, tensor_state, write_weights
from stillhouse.engine.group import ALONE, Group, LostProcessError, Together, sentence
from stillhouse.engine.log import LOG, read_log
from stillhouse.engine.loop import Budget, fit
from stillhouse.engine.placement import Device, check_place, describe, device_of
from stillhouse.engine.signals import StopRequest, stops
from stillhouse.engine.step import Step

__all__ = [
    "ALONE",
    "CHECKPOINT",
    "LOG",
    "Budget",
    "Device",
    "Group",
    "LostProcessError",
    "Step",
    "StopRequest",
    "Together",
    "check_place",
    "describe",
    "device_of",
    "fit",
    "read_log",
    "read_shapes",
    "read_weights",
    "sentence",
    "stops",
    "tensor_state",
    "write_weights",
]
