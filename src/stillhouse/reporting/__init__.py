"""From a run folder to one self-contained page: ``write`` for a run, ``compare`` for several side by side."""

from stillhouse.reporting.compare import compare
from stillhouse.reporting.curve import write_curve
from stillhouse.reporting.page import write
from stillhouse.reporting.tables import table

__all__ = ["compare", "table", "write", "write_curve"]
