"""The sections of the report that only language models have."""

from stillhouse.tasks.language_modelling.report.closeness import CLOSENESS
from stillhouse.tasks.language_modelling.report.samples import SAMPLES

SECTIONS = (CLOSENESS, SAMPLES)
