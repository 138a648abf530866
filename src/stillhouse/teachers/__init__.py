"""Teachers: modules, fitted models, files, services and stores of earlier outputs, all behind one question."""

from stillhouse.teachers.crossfit import CrossFitted, fold_of
from stillhouse.teachers.ensemble import EnsembleTeacher
from stillhouse.teachers.label import check_teacher, label
from stillhouse.teachers.module import (
    Adapted,
    ModuleTeacher,
    as_float32,
    copied,
    output_of,
    refuse_empty,
    spec_of,
    taking_float32,
)
from stillhouse.teachers.sklearn import NAMES as SKLEARN_NAMES
from stillhouse.teachers.sklearn import fit_sklearn
from stillhouse.teachers.stored import StoredTeacher, make_codec

__all__ = [
    "SKLEARN_NAMES",
    "Adapted",
    "CrossFitted",
    "EnsembleTeacher",
    "ModuleTeacher",
    "StoredTeacher",
    "as_float32",
    "check_teacher",
    "copied",
    "fit_sklearn",
    "fold_of",
    "label",
    "make_codec",
    "output_of",
    "refuse_empty",
    "spec_of",
    "taking_float32",
]
