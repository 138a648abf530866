"""Knowledge distillation that proves whether it paid.

```python
import stillhouse as sh

run = sh.distill(teacher=big, student=small, data=(train, valid, test), steps=200, out="runs/small")
print(run.verdict, run.scores["sentence"])
model = run.load()  # an nn.Module with .predict and .predict_proba
```

In another process the student is ``sh.load("runs/small", module=small)``: weights are stored, code is not.

Nothing heavy is imported until one of the names below is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillhouse import methods
    from stillhouse.estimator.distiller import Distiller
    from stillhouse.pipeline.interface.api import curve, distill, label, make, plan, tune
    from stillhouse.pipeline.interface.finished import check, evaluate, export, load, predict, report
    from stillhouse.pipeline.interface.handle import Run
    from stillhouse.recipe import Recipe
    from stillhouse.teachers import Adapted

__all__ = [
    "Adapted",
    "Distiller",
    "Recipe",
    "Run",
    "check",
    "curve",
    "distill",
    "evaluate",
    "export",
    "label",
    "load",
    "make",
    "methods",
    "plan",
    "predict",
    "report",
    "tune",
]

_AT = dict.fromkeys(
    ("check", "evaluate", "export", "load", "predict", "report"), "stillhouse.pipeline.interface.finished"
) | {
    "Adapted": "stillhouse.teachers",
    "Distiller": "stillhouse.estimator.distiller",
    "Recipe": "stillhouse.recipe",
    "Run": "stillhouse.pipeline.interface.handle",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'stillhouse' has no attribute {name!r}; it has {', '.join(__all__)}")
    if name == "methods":
        return importlib.import_module("stillhouse.methods")
    return getattr(importlib.import_module(_AT.get(name, "stillhouse.pipeline.interface.api")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
