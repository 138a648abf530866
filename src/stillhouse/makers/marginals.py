"""Each column of a table by itself: its own values, as often as they come, and nothing of how columns go together."""

from __future__ import annotations

from stillhouse.data.source import Ints, Raw
from stillhouse.makers.base import STATISTICS, Form, Maker, draws

_DRAWN = 76  # stream of random words


class Marginals(Maker):
    """Columns by themselves."""

    prior = "somebody knew the values of each column and how often they come"
    needs = frozenset({STATISTICS})
    kinds = frozenset({"table", "array"})
    rank = 10

    def make(self, form: Form, ids: Ints, seed: int) -> Raw:
        """Rows whose cells were drawn one by one."""
        shares = draws(seed, _DRAWN, ids, 2 * len(form.columns))
        cells = {}
        for place, (name, summary) in enumerate(form.columns.items()):
            empty = shares[:, 2 * place + 1] < summary.missing
            cells[name] = summary.cells(shares[:, 2 * place], empty)
        return form.from_cells(cells)


MAKER = Marginals
