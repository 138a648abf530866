"""Knowledge distillation that proves whether it paid.

    import stillhouse as sh

    run = sh.distill(teacher=big, student=small, data=(train, valid, test), method="hinton", out="runs/small")
    print(run.scores["sentence"])
    model = sh.load("runs/small")

Nothing heavy is imported until one of these names is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillhouse.pipeline import Run, distill, embed, evaluate, export, load, plan
    from stillhouse.pipeline import write_report as report
    from stillhouse.recipe import Recipe
    from stillhouse.teachers import Adapted

__all__ = [
    "Adapted",
    "Recipe",
    "Run",
    "distill",
    "embed",
    "evaluate",
    "export",
    "load",
    "plan",
    "report",
]

_AT = {
    "Adapted": ("stillhouse.teachers", "Adapted"),
    "Recipe": ("stillhouse.recipe", "Recipe"),
    "report": ("stillhouse.pipeline", "write_report"),
}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'stillhouse' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _AT.get(name, ("stillhouse.pipeline", name))
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
