"""The scikit-learn face: a student that is distilled by ``fit``."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from stillhouse import tasks
from stillhouse.errors import RejectedError, UsageError
from stillhouse.estimator.targets import Targets, read_labels, read_values, validation_rows
from stillhouse.pipeline.arguments import resolve, table_of
from stillhouse.pipeline.distill import fit_student
from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.progress import shown
from stillhouse.recipe import Recipe, merge
from stillhouse.teachers.crossfit import fit_folds

if TYPE_CHECKING:
    from sklearn.utils import Tags

ESTIMATORS = {"softmax": "classifier", "sigmoid": "classifier", "identity": "regressor"}  # by what outputs become
FOLDS = 5  # of an estimator that is fitted here


class Distiller(BaseEstimator):  # type: ignore[misc]
    """A small student, distilled from a teacher by ``fit``: an estimator of scikit-learn.

    It trains the student alone. Whether distilling paid is not judged here: ``stillhouse.distill`` does that, with
    controls and a test part. Rows of X that have no label train the student through the teacher's outputs.

    Args:
        teacher: an estimator, fitted or not; an ``nn.Module``; a function from rows to probabilities; a list of these;
            or a name such as ``"extra_trees"``. An estimator that is not fitted is cloned and fitted on the labelled
            rows of ``fit``, once on all of them and once without each of 5 folds: no labelled row is answered by a
            model that saw its label. Note that ``clone``, and with it ``cross_val_score`` and ``GridSearchCV``,
            makes fitted estimators unfitted: wrap one that must stay as it is in ``sklearn.frozen.FrozenEstimator``.
            Default: gradient boosting for tables, a net for images and texts.
        student: a name such as ``"mlp_tiny"`` or ``"decision_tree"``, an ``nn.Module`` or a function that builds one.
        task: what is learned: ``"classification"`` (default), ``"regression"`` or ``"multilabel"``.
        method: what is matched, as for ``stillhouse.distill``.
        views: changed rows that the teacher answers too, as for ``stillhouse.distill``.
        steps: optimiser steps; default 1000.
        epochs: passes over the rows, in place of steps.
        batch_size: rows a step, all rows at most; default 128.
        lr: peak learning rate.
        validation_fraction: share of the labelled rows, in [0, 1), that is held out to choose the weights of the lowest
            validation loss; 0: none is, and the last weights count.
        unlabelled: the value in y of rows without a label, beside None and NaN. It is a label where it is one of two
            values, as in y of -1 and 1, or where another label is negative too. Of a regression -1 is a number like
            any other, and each other value means "no label". None: there is no such value.
        recipe: further settings: the path of a recipe, a ``Recipe``, or a mapping of its tables.
        out: the run folder that is kept, for one ``fit`` alone; default: a temporary one, which ``fit`` deletes.
        random_state: seed of the student, the folds and the validation rows: an int, a ``RandomState``, or None.
        verbose: whether progress is shown.

    Attributes:
        classes_: of a classifier the labels, sorted, of the type they have in y.
        n_features_in_: columns of X; not there where X holds texts.
        feature_names_in_: names of the columns, where X is a frame with text as names.
        model_: the student with its preprocessing, an ``nn.Module``.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> found = Distiller(ExtraTreesClassifier(random_state=0), "mlp_tiny", steps=100, lr=0.02).fit(x, y)
    >>> found.score(x, y) > 0.9, found.classes_.tolist()
    (True, [0, 1, 2])
    """

    def __init__(
        self,
        teacher: Any = None,
        student: Any = None,
        *,
        task: str | None = None,
        method: Any = None,
        views: Any = None,
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        validation_fraction: float = 0.1,
        unlabelled: Any = -1,
        recipe: Recipe | Mapping[str, Any] | str | Path | None = None,
        out: str | Path | None = None,
        random_state: Any = 0,
        verbose: bool = False,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.task = task
        self.method = method
        self.views = views
        self.steps = steps
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.validation_fraction = validation_fraction
        self.unlabelled = unlabelled
        self.recipe = recipe
        self.out = out
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Distiller:
        """Distil the student.

        Args:
            X: rows: numbers (N, F), images (N, H, W) or (N, C, H, W), a frame (N, F), or texts (N,).
            y: labels (N,), of regression numbers (N,) or (N, K), of several labels a row 0 and 1 (N, K). Without a
                label are rows with None or NaN, among classes also -1.

        Raises:
            ValueError: rows, labels, teacher or settings cannot be used; says which, and why.
        """
        try:
            return self._fit(X, y)
        except (UsageError, RejectedError) as error:
            raise ValueError(_as_arguments(str(error))) from error

    def _fit(self, X: Any, y: Any) -> Distiller:
        if estimator_type(self._task) is None:
            raise UsageError(
                f"Distiller has no task {self._task!r}: there is no y to predict. Use "
                f"`stillhouse.distill(task={self._task!r}, ...)`."
            )
        rows, who = self._rows(X, reset=True), type(self).__name__
        targets = self._targets(y, who)
        check_consistent_length(rows, targets.values)
        state = self.random_state
        seed = int(state) if isinstance(state, int | np.integer) else int(check_random_state(state).randint(2**31 - 1))
        held_out = validation_rows(targets.strata, self.validation_fraction, seed)
        train = np.setdiff1d(np.arange(len(targets.values)), held_out)
        recipe, given = self._resolved(rows, targets, train, held_out, seed)
        folder = tempfile.TemporaryDirectory() if self.out is None else nullcontext(str(self.out))
        with folder as place, shown(self.verbose):
            output = recipe.output.model_copy(update={"dir": Path(place) / "run" if self.out is None else Path(place)})
            self.model_ = fit_student(recipe.model_copy(update={"output": output}), given)
        if is_classifier(self):
            self.classes_ = np.arange(targets.values.shape[1]) if targets.classes is None else targets.classes
        return self

    def _targets(self, y: Any, who: str) -> Targets:
        """The targets; a value that means "no label" is taken out."""
        task = tasks.get(self._task)
        if task.link == "softmax":
            return read_labels(y, self.unlabelled, who)
        ambiguous = task.link == "identity" and self.unlabelled == -1  # the default, and a number like any other
        return read_values(y, who, task.read_targets, None if ambiguous else self.unlabelled)

    def _resolved(
        self, rows: Any, targets: Targets, train: NDArray[np.int64], held_out: NDArray[np.int64], seed: int
    ) -> tuple[Recipe, Given]:
        """The recipe of a run of one student, and what comes as objects."""
        fixed = {
            "data": {"labels": "all"} | ({"classes": targets.names} if targets.names is not None else {}),
            "training": {"seeds": [seed], "workers": 1, "keep": "best" if len(held_out) else "last"},
            "controls": {"all_labels": False, "same_teacher": False, "from_scratch": False, "label_smoothing": 0.0},
        }
        first = np.flatnonzero(targets.strata >= 0)[:1]
        parts = [(take(rows, part), targets.labels[part]) for part in (train, held_out, first)]
        recipe, given = resolve(
            merge(table_of(self.recipe), fixed),
            teacher=self._teacher(self.teacher, rows, targets, train, seed),
            student=self.student,
            # A run must have a test part. Nothing is judged here, so one labelled row stands for it.
            data=(parts[0], parts[1] if len(held_out) else None, parts[2]),
            task=self.task,
            method=self.method,
            views=self.views,
            steps=self.steps,
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
        )
        if (batch := recipe.training.batch_size) is not None:
            fitting = recipe.training.model_copy(update={"batch_size": min(batch, len(train))})
            recipe = recipe.model_copy(update={"training": fitting})
        return recipe, given

    def _teacher(self, given: Any, rows: Any, targets: Targets, train: NDArray[np.int64], seed: int) -> Any:
        """The teacher as ``distill`` takes it: an estimator that is not fitted yet is fitted now."""
        if isinstance(given, list | tuple):
            return [self._teacher(one, rows, targets, train, seed) for one in given]
        if not (hasattr(given, "fit") and hasattr(given, "get_params")) or is_fitted(given):
            return given

        def fit(positions: NDArray[np.int64]) -> Any:
            return clone(given).fit(take(rows, train[positions]), targets.own(train[positions]))

        return fit_folds(fit, targets.values[train], FOLDS, seed, type(given).__name__)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predictions of rows: labels (N,) of the type they have in y; numbers (N,) or (N, K); 0 and 1 (N, K)."""
        if is_classifier(self) and tasks.get(self._task).link == "softmax":
            chosen = self.predict_proba(X).argmax(1)
            predicted: NDArray[Any] = self.classes_[chosen]
            return predicted
        return self._asked("predict", X)

    @available_if(is_classifier)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities float64 (N, C) of rows, in the order of ``classes_``; of a classifier alone."""
        return self._asked("predict_proba", X)

    def _asked(self, verb: str, X: Any) -> NDArray[Any]:
        """What the student answers to rows."""
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        try:
            answers: NDArray[Any] = getattr(self.model_, verb)(rows)
        except RejectedError as error:
            raise ValueError(str(error)) from error
        return answers

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of the predictions for rows, in [0, 1]; of regression R2, at most 1."""
        from sklearn.metrics import accuracy_score, r2_score

        measure = accuracy_score if is_classifier(self) else r2_score
        return float(measure(y, self.predict(X), sample_weight=sample_weight))

    def _rows(self, X: Any, *, reset: bool) -> Any:
        """Rows as the data reader takes them, checked in the manner of scikit-learn."""
        if holds_texts(X):
            return np.asarray(X, dtype=object)
        framed = hasattr(X, "iloc") and hasattr(X, "columns")
        if reset:
            self._framed = framed
        if framed and self._framed:
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        array = validate_data(self, X, reset=reset, dtype="numeric", allow_nd=True)
        if self._framed:
            import pandas as pd

            return pd.DataFrame(array, columns=list(self.feature_names_in_))
        return array.astype(np.float32) if array.dtype == np.float64 else array

    @property
    def _task(self) -> str:
        """The name of the task, from the argument or the recipe."""
        if self.task is not None:
            return self.task
        named = table_of(self.recipe).get("task", {})
        return str(named.get("name", Recipe().task.name))

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn may expect."""
        from sklearn.utils import ClassifierTags, RegressorTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = estimator_type(self._task)
        several = tags.estimator_type is not None and tasks.get(self._task).link != "softmax"
        if tags.estimator_type == "classifier":
            tags.classifier_tags = ClassifierTags(multi_label=several)
        elif tags.estimator_type == "regressor":
            tags.regressor_tags = RegressorTags()
        tags.target_tags.required = True
        tags.target_tags.multi_output = several
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


def _as_arguments(message: str) -> str:
    """A message whose cure is a line of the recipe, with the argument that does the same."""
    message = re.sub(r"`\[task\] name = ([^`]*)`", r"`task=\1`", message)
    return re.sub(r"`\[data\] no_label = ([^`]*)`", r"`unlabelled=\1`", message)


def estimator_type(name: str) -> str | None:
    """What scikit-learn calls the nets of a task; None: it has no name for them, or there is no such task."""
    if name not in tasks.names():
        return None
    task = tasks.get(name)
    return ESTIMATORS[task.link] if task.supervised else None


def is_fitted(model: Any) -> bool:
    """Whether an estimator is fitted."""
    try:
        check_is_fitted(model)
    except (NotFittedError, TypeError):
        return False
    return True


def take(rows: Any, positions: NDArray[np.int64]) -> Any:
    """Some rows of a frame or an array."""
    return rows.iloc[positions] if hasattr(rows, "iloc") else rows[positions]


def holds_texts(X: Any) -> bool:
    """Whether rows are texts: a list, an array or a series (N,) that begins with one."""
    one_axis = isinstance(X, list | tuple) or getattr(X, "ndim", 0) == 1
    first = next(iter(X), None) if one_axis else None
    return isinstance(first, str)
