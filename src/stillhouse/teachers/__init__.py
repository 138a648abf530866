"""Who teaches: modules, scikit-learn models, and stores of earlier answers, all behind one question."""

from stillhouse.teachers.crossfit import CrossFitted, fold_of
from stillhouse.teachers.ensemble import EnsembleTeacher
from stillhouse.teachers.label import check_teacher, label
from stillhouse.teachers.module import Adapted, ModuleTeacher, answer_of, are_probabilities, spec_of
from stillhouse.teachers.sklearn import NAMES as SKLEARN_NAMES
from stillhouse.teachers.sklearn import SklearnTeacher, fit_sklearn
from stillhouse.teachers.stored import StoredTeacher, make_codec

__all__ = [
    "SKLEARN_NAMES",
    "Adapted",
    "CrossFitted",
    "EnsembleTeacher",
    "ModuleTeacher",
    "SklearnTeacher",
    "StoredTeacher",
    "answer_of",
    "are_probabilities",
    "check_teacher",
    "fit_sklearn",
    "fold_of",
    "label",
    "make_codec",
    "spec_of",
]
