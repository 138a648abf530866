"""The run that a user holds in hand: its folder, with the verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stillhouse.pipeline.export import export
from stillhouse.pipeline.kinds import kind_of, load
from stillhouse.pipeline.run.folder import RunFolder


class Run(RunFolder):
    """A run folder; see ``RunFolder`` for what is known about it."""

    def report(self) -> Path:
        """Write the report anew from the files of the folder."""
        return kind_of(self).write_report(self.folder)

    def export(self, format: str = "onnx") -> Path:
        """Write the student for serving; see ``stillhouse.exporting``."""
        return export(self.folder, format)

    def load(self) -> Any:
        """The student with its preprocessing, ready for raw rows; see ``stillhouse.load``."""
        return load(self.folder)
