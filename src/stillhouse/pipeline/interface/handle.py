"""The run that a user holds in hand."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from stillhouse import tasks
from stillhouse.errors import UsageError
from stillhouse.pipeline.again import evaluate_again
from stillhouse.pipeline.evaluation.score import write_report
from stillhouse.pipeline.export import export as write_export
from stillhouse.pipeline.run.context import NOTHING, Given
from stillhouse.pipeline.run.folder import SCORES, RunFolder
from stillhouse.pipeline.run.progress import shown
from stillhouse.pipeline.student.load import load_student, own_module, student_folder
from stillhouse.pipeline.tuning.leaderboard import CSV
from stillhouse.reporting.overview import Overview, alarm, as_html, as_text, overview
from stillhouse.task import Task


class Run(RunFolder):
    """A run folder, with what can be done with it.

    Args:
        folder: the run folder.
        given: what the run was given from Python; it is kept for ``load``, ``export`` and ``evaluate``.

    Attributes:
        folder: the run folder.
        record: the contents of ``run.json``.

    Raises:
        UsageError: there is no run, or one of another version.
    """

    def __init__(self, folder: Path | str, given: Given | None = None) -> None:
        super().__init__(Path(folder))
        self._given = given or NOTHING
        self._scores: dict[str, Any] | None = None

    @property
    def scores(self) -> dict[str, Any]:
        """The judgement: the contents of ``scores.json``, read once."""
        if self._scores is None:
            self._scores = super().scores
        return self._scores

    @property
    def verdict(self) -> str:
        """The word of the headline comparison, an identifier such as ``"better"``."""
        return str(self.scores["verdict"])

    @property
    def task(self) -> Task:
        """What its nets answer."""
        return tasks.get(self.task_name)

    def overview(self) -> Overview:
        """The models of the run in a few columns."""
        return overview(self.scores, self.task)

    def summary(self) -> str:
        """The models of the run as a table of plain text, and the verdict in a sentence."""
        return "\n\n".join(filter(None, [alarm(self.scores), as_text(self.overview()), self.scores["sentence"]]))

    @property
    def leaderboard(self) -> Any:
        """The tournament that chose its recipe, the best first: a frame, a line for each candidate and rival.

        Raises:
            UsageError: there was none.
        """
        import pandas

        file = self.folder / CSV
        if not file.exists():
            raise UsageError(f"{self.folder} was chosen by no tournament. Hold one: `stillhouse tune recipe.toml`.")
        return pandas.read_csv(file)

    def load(self, module: Any = None, *, arm: str | None = None, allow_code: bool = False) -> Any:
        """The student with its preprocessing, ready for raw rows; see ``stillhouse.load``."""
        own, allowed = self._given.student if module is None else module, allow_code or self._given.allow_code
        folder = student_folder(self.folder, arm)
        return load_student(folder, own_module(folder, own, allowed, kept=module is None))

    def predict(self, rows: Any) -> Any:
        """The student's answers (N, ...) to raw rows: a frame, an array, texts; see ``stillhouse.predict``."""
        return answers(self.load(), rows)

    def evaluate(
        self,
        *,
        full: bool = False,
        labels: Any = None,
        id: str | None = None,
        given: Given | None = None,
        verbose: bool = True,
    ) -> dict[str, Any]:
        """Judge the run again; see ``stillhouse.evaluate``.

        Args:
            full: also judge what is slow.
            labels: of test rows, that came later.
            id: the column by which they are matched.
            given: from Python, where this process did not give it to ``distill``.
            verbose: whether progress is shown.
        """
        known = Given(*(new or old for new, old in zip(given or NOTHING, self._given, strict=True)))._replace(
            overwrite=False
        )
        with shown(verbose):
            self._scores = evaluate_again(self.folder, full=full, labels=labels, id=id, given=known)
        return self._scores

    def report(self) -> Path:
        """Write ``report.html`` again from the files of the folder; returns its path."""
        return write_report(self.folder)

    def export(
        self, format: str = "onnx", module: Any = None, *, arm: str | None = None, allow_code: bool = False
    ) -> Path:
        """Write the student for serving; see ``stillhouse.export``."""
        return write_export(self.folder, format, self.load(module, arm=arm, allow_code=allow_code), arm)

    def __repr__(self) -> str:
        """Verdict and folder."""
        done = (self.folder / SCORES).exists()
        return f"<Run {self.verdict if done else 'unfinished'}: {self.folder}>"

    def _repr_html_(self) -> str:
        """The table and the verdict, for a notebook."""
        if not (self.folder / SCORES).exists():
            return f"<p>{escape(repr(self))}</p>"
        first = f"<p><b>{escape(self.scores['alarm'])}</b></p>" if self.scores.get("alarm") else ""
        return f"{first}{as_html(self.overview())}<p>{escape(self.scores['sentence'])}</p>"


def answers(model: Any, rows: Any) -> Any:
    """What a student answers to raw rows."""
    return model.predict(rows) if hasattr(model, "predict") else model.embed(rows)
