"""The pipeline: recipe -> data, teacher -> store -> fit -> evaluate -> run folder; every stage resumable."""

from stillhouse.pipeline.curves import curve
from stillhouse.pipeline.deployed import Deployed
from stillhouse.pipeline.door import demo, distill, label
from stillhouse.pipeline.embedding.door import embed
from stillhouse.pipeline.embedding.shipping import DeployedEmbedder
from stillhouse.pipeline.evaluating import evaluate
from stillhouse.pipeline.finished import Run
from stillhouse.pipeline.kinds import check, load, write_report
from stillhouse.pipeline.planning import plan
from stillhouse.pipeline.shipping import export, predict

__all__ = [
    "Deployed",
    "DeployedEmbedder",
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
