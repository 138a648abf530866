"""Report sections for embedders only: one file each."""

from stillhouse.reporting.registry import in_folder

SECTIONS = in_folder(__name__, __path__)
