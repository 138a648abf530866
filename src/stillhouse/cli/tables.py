"""The tables of the terminal, from scores and from the methods' cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from stillhouse.reporting import wording

if TYPE_CHECKING:
    from stillhouse.methods import Card
    from stillhouse.taps import Layer


def method_line(card: Card) -> str:
    """A method in one line: its name and what is matched."""
    return f"{card.name:<20} {card.matches}"


def layers_table(name: str, layers: list[Layer]) -> Table:
    """One row for each layer of a net."""
    shown = Table(title=name, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading, justify in (("path", "left"), ("kind", "left"), ("output", "left"), ("parameters", "right")):
        shown.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for layer in layers:
        shape = " x ".join(map(str, layer.shape))
        shown.add_row(layer.path or "(all)", layer.kind, shape, wording.count(layer.parameters))
    return shown
