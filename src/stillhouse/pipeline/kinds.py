"""The kinds of run: what each verb does with a run folder, told apart here by ``Run.task``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from stillhouse.evaluation import gate
from stillhouse.pipeline.evaluation import score as judging
from stillhouse.pipeline.run.folder import RunFolder, read_json, task_of
from stillhouse.reporting import write
from stillhouse.tasks import get
from stillhouse.tasks.classification.predictor import CARD, FOLDER, load_classifier
from stillhouse.tasks.embedding import judge as embedding_judging
from stillhouse.tasks.embedding.predictor import load_embedder
from stillhouse.tasks.embedding.report import write_embedding


class Kind(NamedTuple):
    """What the verbs do with the run folders of one task."""

    judge: Callable[[Path], dict[str, Any]]  # again, from what the nets once answered
    write_report: Callable[[Path], Path]
    load: Callable[[Path, nn.Module | None], Any]  # of the student's folder
    criteria: Mapping[str, gate.Rule]  # that a gate may hold it to
    full: bool  # whether there is more to judge with the nets at hand


KINDS: Mapping[str, Kind] = {
    "classification": Kind(judging.evaluate, write, load_classifier, get("classification").criteria, True),
    "embedding": Kind(
        embedding_judging.judge_vectors, write_embedding, load_embedder, get("embedding").criteria, False
    ),
}


def kind_of(run: RunFolder) -> Kind:
    """What the verbs do with this folder."""
    return KINDS[run.task.name]


def write_report(folder: Path | str) -> Path:
    """Write ``report.html`` of a run anew from the files of its folder.

    Returns:
        The path of the page.

    Raises:
        UsageError: the folder is no run, or was not judged yet.
        DamagedError: a file of the run cannot be read.
    """
    run = RunFolder(Path(folder))
    return kind_of(run).write_report(run.folder)


def check(folder: Path | str, limits: Mapping[str, Any]) -> list[gate.Criterion]:
    """Hold a judged run against the limits of a gate (``evaluation/gate.py``, ``evaluation/embedding_gate.py``).

    Raises:
        UsageError: the folder is no judged run, or the gate is wrong.
    """
    run = RunFolder(Path(folder))
    return gate.check(run.scores, limits, kind_of(run).criteria)


def load(folder: Path | str, module: nn.Module | None = None) -> Any:
    """Load the student of a run folder (or of its ``student`` folder alone).

    Args:
        folder: the run folder.
        module: your own student, freshly built, where the run was given one from Python: code is never stored.

    Returns:
        A ``Deployed`` with ``predict`` and ``predict_proba`` where the student is a classifier, a ``DeployedEmbedder``
        with ``embed`` where it is an embedder: which one stands in the folder, so the type is open.

    Raises:
        UsageError: there is no student, or it is your own module and was not given.
        DamagedError: weights and description do not fit each other.
    """
    folder = Path(folder)
    folder = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    return KINDS[task_of(read_json(folder / CARD)).name].load(folder, module)
