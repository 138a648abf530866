"""The tables of the terminal, from scores and from the methods' cards."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.table import Table

from stillhouse.reporting import wording
from stillhouse.tasks.embedding import report as embedding

if TYPE_CHECKING:
    from stillhouse.methods.base import Paper
    from stillhouse.taps import Layer


HEADINGS = {  # of the measures of embedders, shares of the ten nearest texts and a correlation
    "precision_10": "same category %",
    "recall_10": "teacher's nearest %",
    "spearman": "rank correlation",
}


def table(scores: dict[str, Any]) -> Table:
    """One row for each arm: what it saw, quality with intervals, size and speed."""
    models, saw = scores["models"], scores.get("saw", {})
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown.add_column("", min_width=16)
    shown.add_column("labels", justify="right", no_wrap=True)
    shown.add_column(f"accuracy %\n({100 * scores['confidence']:g} % interval)", justify="right", no_wrap=True)
    for heading in ("NLL", "agree\nwith\nteacher", "param-\neters", "ms,\n1 row", "ms,\n64 rows"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for name in wording.in_order(list(models)):
        model = models[name]
        measures = model.get("measures", {})
        shown.add_row(
            wording.arm(name).label,
            wording.count(saw.get(name, {}).get("labels")),
            _share(measures.get("accuracy")),
            wording.decimal((measures.get("nll") or {}).get("value")),
            wording.percent((measures.get("agreement") or {}).get("value")),
            wording.count(model.get("parameters")),
            wording.milliseconds(model.get("ms_1")),
            wording.milliseconds(model.get("ms_64")),
            style="bold" if name == "distilled" else None,
        )
    return shown


def embedding_table(scores: dict[str, Any]) -> Table:
    """One row for each arm of a run of embedders: its measures with intervals, size and speed."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    shown.add_column("", min_width=16)
    interval = f"({100 * scores['confidence']:g} % interval)"
    measures = {name: text for name, text in HEADINGS.items() if name in scores["models"]["distilled"]["measures"]}
    for heading in (*(f"{text}\n{interval}" for text in measures.values()), "param-\neters", "ms,\n1 text"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for name in (n for n in embedding.ARMS if n in scores["models"]):
        model = scores["models"][name]
        cost = scores["costs"].get("teacher" if name == "teacher" else "student", {})
        shown.add_row(
            embedding.arm(name).label,
            *(_measured(measure, model["measures"].get(measure)) for measure in measures),
            wording.count(cost.get("parameters")),
            wording.milliseconds(cost.get("ms_1")),
            style="bold" if name == "distilled" else None,
        )
    return shown


TABLES: dict[str, Callable[[dict[str, Any]], Table]] = {"classification": table, "embedding": embedding_table}


def sentences(scores: dict[str, Any]) -> list[str]:
    """The verdict, the further comparisons, and what makes them less sure."""
    others = [f"- {c['sentence']}" for c in scores["comparisons"][1:] if c.get("sentence")]
    warnings = [f"! {warning}" for warning in scores.get("warnings", [])]
    return ["", f"{scores['verdict'].upper()}: {scores['sentence']}", *others, *warnings, ""]


def methods_table(cards: list[dict[str, Any]]) -> Table:
    """One row for each method."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "family", "needs", "defaults", "paper"):
        shown.add_column(heading, no_wrap=heading == "name", overflow="fold")
    for card in cards:
        defaults = ", ".join(f"{key}={value}" for key, value in card["defaults"].items())
        shown.add_row(card["name"], card["family"], ", ".join(card["needs"]), defaults, card["citation"])
    return shown


def layers_table(name: str, layers: list[Layer]) -> Table:
    """One row for each layer of a net."""
    shown = Table(title=name, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("path", "left"), ("kind", "left"), ("output", "left"), ("parameters", "right")):
        shown.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for layer in layers:
        shape = " x ".join(map(str, layer.shape))
        shown.add_row(layer.path or "(all)", layer.kind, shape, wording.count(layer.parameters))
    return shown


def method_card(name: str) -> dict[str, Any]:
    """A method as data: name, family, needs, defaults and paper.

    Raises:
        UsageError: no method has this name.
    """
    from stillhouse import methods

    method = methods.get(name)
    defaults = {
        key: "required" if default is inspect.Parameter.empty else default
        for key, default in methods.settings(method).items()
    }
    return {
        "name": name,
        "family": method.family,
        "needs": sorted(method.needs),
        "defaults": defaults,
        "paper": method.paper._asdict(),
        "citation": citation(method.paper),
    }


def method_text(name: str) -> str:
    """The docstrings of a method's pure functions: its card in full."""
    import sys

    from stillhouse import methods

    module = sys.modules[methods.get(name).__module__]
    own = [f for f in vars(module).values() if inspect.isfunction(f) and f.__module__ == module.__name__]
    public = [f for f in own if not f.__name__.startswith("_")]
    return "\n\n".join(f"{f.__name__}{_arguments(f)}\n\n{inspect.getdoc(f) or ''}" for f in public)


def _arguments(function: Callable[..., Any]) -> inspect.Signature:
    """A signature without its types, which the docstring gives in words."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)


def citation(paper: Paper) -> str:
    """A paper in one line."""
    arxiv = f", arXiv:{paper.arxiv}" if paper.arxiv else ""
    return f"{paper.authors}: {paper.title}. {paper.venue} {paper.year}{arxiv}"


def _measured(name: str, interval: dict[str, Any] | None) -> str:
    if name in embedding.SHARES or not interval:
        return _share(interval)
    value, low, high = (wording.decimal(interval[end]) for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _share(interval: dict[str, Any] | None) -> str:
    if not interval:
        return wording.ABSENT
    low, high = (wording.decimal(100 * interval[end], 1) for end in ("low", "high"))
    return f"{wording.decimal(100 * interval['value'], 1)} ({low} to {high})"
