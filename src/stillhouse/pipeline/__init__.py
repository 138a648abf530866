"""The pipeline: recipe -> data, teacher -> store -> fit -> evaluate -> run folder; every stage resumable."""

from stillhouse.pipeline.api import Run
from stillhouse.pipeline.curve import curve
from stillhouse.pipeline.distill import demo, distill, label
from stillhouse.pipeline.evaluation.full import evaluate
from stillhouse.pipeline.export import export, predict
from stillhouse.pipeline.kinds import check, load, write_report
from stillhouse.pipeline.plan import plan
from stillhouse.tasks.embedding.distill import embed
from stillhouse.tasks.predictor import Deployed

__all__ = [
    "Deployed",
    "Run",
    "check",
    "curve",
    "demo",
    "distill",
    "embed",
    "evaluate",
    "export",
    "label",
    "load",
    "plan",
    "predict",
    "write_report",
]
