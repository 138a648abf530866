"""The sections of the report that only language models have."""

from stillhouse.tasks.language_modelling.report.closeness import CLOSENESS

SECTIONS = (CLOSENESS,)
