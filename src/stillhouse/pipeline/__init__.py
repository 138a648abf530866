"""The pipeline: recipe -> data, teacher -> store -> fit -> evaluate -> run folder; every stage resumable."""

from stillhouse.pipeline.interface.api import (
    check,
    compare,
    curve,
    distill,
    evaluate,
    export,
    label,
    load,
    plan,
    predict,
    predict_rows,
    report,
    tune,
)
from stillhouse.pipeline.interface.handle import Run

__all__ = [
    "Run",
    "check",
    "compare",
    "curve",
    "distill",
    "evaluate",
    "export",
    "label",
    "load",
    "plan",
    "predict",
    "predict_rows",
    "report",
    "tune",
]
