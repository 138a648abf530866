"""nets.md: every student and teacher by name, with its settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.examples.markdown import words

from stillhouse import students, tasks
from stillhouse.settings import written
from stillhouse.students import zoo
from stillhouse.teachers.sklearn import NAMES

GROUPS: Mapping[str, str] = {
    "IMAGES": "For images",
    "TABLES": "For tables, and for anything flattened",
    "TEXTS": "For texts",
}
ABOUT = """\
A name stands in `[student] name`, `[teacher] name`, `student=` or `teacher=`; its settings in `[student] settings`,
such as `settings = { hidden = [32] }`. Any net may be the student or the teacher. Without a name the student is
`static_embedding` for texts and `mlp_tiny` for the rest, and the teacher `cnn_large` for images, `transformer_tiny` for
texts and `hist_gradient_boosting` for the rest. `"timm:NAME"` names a net of timm, `"python:package.module:function"` a
function of your own, which is called with `shape` (of one encoded row), `outputs` (their number) and the settings.
"""


def line(name: str, build: Callable[..., Any], settings: Mapping[str, Any]) -> list[str]:
    """A net as a line of the table."""
    values = [f"`{key} = {written(list(v) if isinstance(v, tuple) else v)}`" for key, v in settings.items()]
    about = " ".join((inspect.getdoc(build) or "").split("\n\n")[0].split())
    return [f"`{name}`", about, "<br>".join(values) or "none"]


def nets_page(made: str) -> str:
    """The page."""
    text = f"# Nets and models by name\n\n{made}\n\n{ABOUT}"
    heads = ["name", "what it is", "settings and defaults"]
    for attribute, title in GROUPS.items():
        builders = getattr(zoo, attribute)
        rows = [line(one.__name__, one, students.defaults(one.__name__)) for one in builders]
        text += f"\n## {title}\n\n{words(heads, rows)}\n"
    fitted = [
        [*line(name, kind, students.defaults(name)), ", ".join(kind.reads)] for name, kind in students.FITTED.items()
    ]
    text += f"\n## Students that are fitted at once\n\n{words([*heads, 'reads'], fitted)}\n"
    text += (
        "\n## Teachers of scikit-learn\n\nThey are fitted here and answer their own training rows out of fold "
        "(`[teacher] folds`, default 5). Settings are the keyword arguments of the class of `sklearn.ensemble`, which "
        "follows the task.\n\n"
    )
    by_task = {name: getattr(tasks.get(name).teachers, "ESTIMATORS", {}) for name in tasks.names()}
    known = {task: classes for task, classes in by_task.items() if classes}
    rows = [[f"`{name}`", *(f"`{classes[name]}`" for classes in known.values())] for name in NAMES]
    return text + words(["name", *known], rows) + "\n"
