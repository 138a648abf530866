"""From a run folder to one self-contained page: ``write`` for a run, ``compare`` for several side by side."""

from stillhouse.reporting.compare import compare
from stillhouse.reporting.console import sentences, table
from stillhouse.reporting.curve import write_curve
from stillhouse.reporting.page import write

__all__ = ["compare", "sentences", "table", "write", "write_curve"]
