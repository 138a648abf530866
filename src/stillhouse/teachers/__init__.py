"""Who teaches: modules, scikit-learn models, and stores of earlier answers, all behind one question."""

from stillhouse.teachers.label import StoredTeacher, check_teacher, label
from stillhouse.teachers.module import ModuleTeacher, spec_of
from stillhouse.teachers.sklearn import NAMES as SKLEARN_NAMES
from stillhouse.teachers.sklearn import SklearnTeacher, fit_sklearn

__all__ = [
    "SKLEARN_NAMES",
    "ModuleTeacher",
    "SklearnTeacher",
    "StoredTeacher",
    "check_teacher",
    "fit_sklearn",
    "label",
    "spec_of",
]
