"""The pipeline: recipe -> data, teacher -> store -> fit -> evaluate -> run folder; every stage resumable."""

from stillhouse.pipeline.curves import curve
from stillhouse.pipeline.deployed import Deployed, load
from stillhouse.pipeline.door import demo, distill, label
from stillhouse.pipeline.embedding import embed
from stillhouse.pipeline.embedding_shipping import load_embedder
from stillhouse.pipeline.evaluating import evaluate
from stillhouse.pipeline.planning import plan
from stillhouse.pipeline.run import Run
from stillhouse.pipeline.shipping import export, predict
from stillhouse.reporting import write as write_report

__all__ = [
    "Deployed",
    "Run",
    "curve",
    "demo",
    "distill",
    "embed",
    "evaluate",
    "export",
    "label",
    "load",
    "load_embedder",
    "plan",
    "predict",
    "write_report",
]
