"""The pipeline: recipe -> data, teacher -> store -> fit -> evaluate -> run folder; every stage resumable."""

from stillhouse.pipeline.interface.api import curve, distill, fit_students, label, make, plan, tune
from stillhouse.pipeline.interface.finished import (
    check,
    compare,
    draft,
    evaluate,
    export,
    load,
    predict,
    predict_rows,
    report,
)
from stillhouse.pipeline.interface.handle import Run
from stillhouse.pipeline.predict import check_out
from stillhouse.pipeline.run.torchrun import follows

__all__ = [
    "Run",
    "check",
    "check_out",
    "compare",
    "curve",
    "distill",
    "draft",
    "evaluate",
    "export",
    "fit_students",
    "follows",
    "label",
    "load",
    "make",
    "plan",
    "predict",
    "predict_rows",
    "report",
    "tune",
]
