"""The cost of running a net: parameters, bytes, operations, milliseconds; nets that are compared take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stillhouse.timing import Timed, clock_of, in_turns
from stillhouse.types import count_bytes, count_parameters, evaluating

BATCHES = (1, 64)


def measure_cost(module: nn.Module, example: Tensor, *, budget_seconds: float = 2.0) -> dict[str, Any]:
    """Measure one net; see ``measure_costs``."""
    return measure_costs({"net": module}, example, budget_seconds=budget_seconds)["net"]


def measure_costs(
    modules: Mapping[str, nn.Module], example: Tensor | Mapping[str, Tensor], *, budget_seconds: float = 2.0
) -> dict[str, dict[str, Any]]:
    """Measure nets side by side, each on its own device, in eval mode; the mode is restored afterwards.

    The nets take turns call by call on one thread, so that a busy moment of the machine affects all of them equally.
    The time is the core's, or wall time for a net that computes elsewhere: see ``timing.clock_of``.

    Args:
        modules: by name.
        example: (1 or more, ...) inputs, for all nets or by name; rows are repeated to fill a batch.
        budget_seconds: of all timing, about; each net and batch is called at least 15 times.

    Returns:
        By name: ``parameters``, ``bytes`` (parameters and buffers as they are stored), ``flops`` of one row (two for a
        multiply-add; matrix products and convolutions only), ``ms_1``, ``ms_64`` (median milliseconds of a batch of 1
        and of 64 rows), ``ms_1_p95``, ``ms_64_p95``, ``rows_per_second`` at 64, and ``clock``: "core" or "wall".
    """
    examples = example if isinstance(example, Mapping) else dict.fromkeys(modules, example)
    with evaluating(*modules.values()), torch.inference_mode():
        times = {}
        for n in BATCHES:
            calls = {name: Timed(_call(m, _batch(examples[name], n)), clock_of(m)) for name, m in modules.items()}
            times[n] = in_turns(calls, seconds=budget_seconds / len(BATCHES))
        return {
            name: _facts(m, examples[name]) | _summary({n: times[n][name] for n in BATCHES})
            for name, m in modules.items()
        }


def _batch(example: Tensor, rows: int) -> Tensor:
    """Repeat the example's rows to a batch of this size."""
    return example[torch.arange(rows) % len(example)]


def _facts(module: nn.Module, example: Tensor) -> dict[str, Any]:
    """The figures that do not depend on the clock."""
    counter = FlopCounterMode(display=False)
    # In inference mode the counter fails on modules whose parts get a parameter as input: parametrizations.
    with torch.inference_mode(False), torch.no_grad(), counter:
        module(_batch(example, 1).to(_device(module)))
    return {
        "parameters": count_parameters(module),
        "bytes": count_bytes(module),
        "flops": int(counter.get_total_flops()),
        "clock": clock_of(module),
    }


def _device(module: nn.Module) -> torch.device:
    return next((t.device for t in [*module.parameters(), *module.buffers()]), torch.device("cpu"))


def _call(module: nn.Module, batch: Tensor) -> Callable[[], None]:
    """One forward pass, complete when it returns."""
    device = _device(module)
    inputs = batch.to(device)

    def call() -> None:
        module(inputs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return call


def _summary(times: Mapping[int, list[float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for rows, seconds in times.items():
        median, slow = (1000 * float(x) for x in np.quantile(seconds, [0.5, 0.95]))
        found |= {f"ms_{rows}": median, f"ms_{rows}_p95": slow}
    return found | {"rows_per_second": 64 / (found["ms_64"] / 1000)}
