"""Ten epochs with torchdistill's own box and loop; started by the benchmark in the peer's environment.

Reads the name of a world a line from standard input, and answers each with the seconds of the run.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import torch
from torch.utils.data import RandomSampler, TensorDataset

# The published torchvision is built against another torch; torchdistill imports it, and nothing here calls its kernels.
register = torch.library.register_fake
torch.library.register_fake = lambda *given, **named: lambda function: function
import torchvision  # type: ignore[import-not-found]  # noqa: E402, F401

torch.library.register_fake = register
from benchmarks.speed.nets import WORLDS, World, labels, make  # noqa: E402
from torchdistill.core.distillation import (  # type: ignore[import-not-found]  # noqa: E402
    get_distillation_box,
)
from torchdistill.misc.log import (  # type: ignore[import-not-found]  # noqa: E402
    MetricLogger,
    SmoothedValue,
)

EPOCHS = 10


def settings(world: World) -> dict[str, Any]:
    """The box's configuration, as the examples that come with torchdistill write it."""
    at = {
        "student_module_path": ".",
        "student_module_io": "output",
        "teacher_module_path": ".",
        "teacher_module_io": "output",
    }
    term = {
        "criterion": {"key": "KDLoss", "kwargs": {**at, "temperature": 4.0, "alpha": 0.1, "beta": 0.9}},
        "weight": 1.0,
    }
    return {
        "num_epochs": EPOCHS,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": RandomSampler, "kwargs": None},
            "kwargs": {"batch_size": world.batch_size, "num_workers": 0, "drop_last": True},
        },
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False, "forward_hook": {}},
        "student": {"forward_proc": "forward_batch_only", "forward_hook": {}},
        "optimizer": {"key": "AdamW", "kwargs": {"lr": 1e-3, "fused": True}},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": term}}},
    }


def run(world: World) -> float:
    """Ten epochs from cold, as ``examples/torchvision/image_classification.py`` runs them."""
    data = TensorDataset(world.inputs(world.rows), labels(world.rows, world.classes))
    begun = time.perf_counter()
    student, teacher = make(world.student, 1), make(world.teacher, 2).eval()
    box = get_distillation_box(
        teacher, student, {"train": data}, settings(world), torch.device("cpu"), None, False, 1.0
    )
    for epoch in range(EPOCHS):
        box.pre_epoch_process(epoch=epoch)
        logger = MetricLogger(delimiter="  ")
        logger.add_meter("lr", SmoothedValue(window_size=1, fmt="{value}"))
        logger.add_meter("img/s", SmoothedValue(window_size=10, fmt="{value}"))
        for batch, targets, more in logger.log_every(box.train_data_loader, 50, f"Epoch: [{epoch}]"):
            began = time.perf_counter()
            box.pre_forward_process()
            loss = box.forward_process(batch, targets, more)
            box.post_forward_process(loss=loss)
            logger.update(loss=loss.item(), lr=box.optimizer.param_groups[0]["lr"])
            logger.meters["img/s"].update(len(batch) / (time.perf_counter() - began))
        box.post_epoch_process()
    return time.perf_counter() - begun


def main() -> None:
    """Serve until standard input ends."""
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    print("ready", flush=True)
    for line in sys.stdin:
        print(run(WORLDS[line.strip()]), flush=True)


if __name__ == "__main__":
    main()
