"""Running the student compiled, where this machine can compile."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

Call = Callable[[Tensor], Any]


def compiled(student: nn.Module) -> Call | None:
    """The student's forward through ``torch.compile``, taps included; None where this machine cannot compile.

    The losses are not compiled: they look at their inputs (is a class ruled out?), which would cut them into many small
    graphs, and most of the time is the student's. A function is compiled, not the module, so that the weights keep
    their names.
    """
    if why_not() is not None:
        return None
    call: Call = torch.compile(lambda inputs: student(inputs), options={"compile_threads": 1})
    return call


@cache
def why_not() -> str | None:
    """Why nothing can be compiled here, found by trying (a few seconds, once a process); None where it works."""
    try:
        # One thread: a pool of compiler processes would not survive the forks of fits that run side by side.
        torch.compile(lambda x: x.sin() + 1, options={"compile_threads": 1})(torch.zeros(2))
    except Exception as error:  # whatever is missing (compiler, headers, system): say it, and train without
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return None
