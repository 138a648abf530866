"""The toy from which the project began, done as it was written and done right; writes docs/examples/toy.md.

    python -m benchmarks.examples.toy                    runs it all (about ten minutes) and writes the page
    python -m benchmarks.examples.toy --repetitions 20   prints the rate of false claims alone

A teacher 10-5-2 and a student 10-3-2, ten steps of gradient descent on 100 random rows with random labels.
"""

from __future__ import annotations

import argparse
import inspect
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from benchmarks.examples.example import PAGES
from benchmarks.examples.markdown import table
from torch import Tensor, nn

import stillhouse as sh
from stillhouse.task import VERDICTS, show_verdict

REPETITIONS = 200
Pair = tuple[Tensor, Tensor]


def teacher_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 2))


def student_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(10, 3), nn.ReLU(), nn.Linear(3, 2))


def random_rows(rows: int, seed: int) -> Pair:
    """Inputs (rows, 10) and labels (rows,) that have nothing to do with each other."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 10, generator=draw), torch.randint(0, 2, (rows,), generator=draw)


def rows_with_a_rule(rows: int, seed: int) -> Pair:
    """The same inputs with labels that follow from them: whether two products of inputs add up to more than 0."""
    x, _ = random_rows(rows, seed)
    return x, (x[:, 0] * x[:, 1] + x[:, 2] > 0).long()


def trained(net: nn.Module, data: Pair, steps: int, lr: float = 0.1) -> nn.Module:
    """The net after some steps of gradient descent on all rows."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        loss: Tensor = F.cross_entropy(net(data[0]), data[1])
        torch.autograd.backward(loss)
        optimizer.step()
    return net.eval()


def distilled(data: Pair, pool: Tensor, test: Pair, teacher: nn.Module, out: Path, **options: Any) -> sh.Run:
    """The whole of it with stillhouse: rows with a label, rows without one, fresh rows to test on."""
    x = torch.cat([data[0], pool])
    y = np.concatenate([data[1].numpy(), np.full(len(pool), np.nan)])  # NaN: no label
    return sh.distill(
        {"teacher": {"outputs": "logits"}},  # of a net of ten steps: all may lie between 0 and 1
        teacher=teacher,
        student=student_net,
        data=((x.numpy(), y), None, (test[0].numpy(), test[1].numpy())),
        out=out,
        accept_teacher=True,
        verbose=False,
        **options,
    )


def repeat(repetitions: int, first: int = 0) -> Counter[str]:
    """How often each verdict comes on random labels, where nothing can be learned; ``first`` is the first seed."""
    found: Counter[str] = Counter()
    for seed in range(first, first + repetitions):
        data, test = random_rows(100, 2 * seed), random_rows(200, 2 * seed + 1)
        torch.manual_seed(seed)
        teacher = trained(teacher_net(), data, 10)
        with tempfile.TemporaryDirectory() as folder:
            run = distilled(data, test[0][:0], test, teacher, Path(folder) / "run", steps=10, seeds=[seed])
            found[run.verdict] += 1
    return found


def errors() -> list[str]:
    """What each of the three errors hides, in figures."""
    data, fresh = random_rows(100, 0), random_rows(100, 1)
    x, y = data
    column = y[:, None]
    torch.manual_seed(0)
    teacher, start = trained(teacher_net(), data, 10), student_net()
    memory = trained(teacher_net(), data, 2000)
    right = (memory(x).argmax(1) == y).float().mean()
    wide = memory(x).argmax(1) == column
    try:
        F.cross_entropy(teacher(x), column)
        refusal = "accepts it"
    except RuntimeError as error:
        refusal = f"refuses it (`{error}`)"
    twins = []
    for other in (teacher, teacher_net()):
        student = student_net()
        student.load_state_dict(start.state_dict())
        with torch.no_grad():
            other(x)  # asked, as in the article; its answers appear in no loss
        twins.append(nn.utils.parameters_to_vector(trained(student, data, 10).parameters()))
    same = "the same, bit for bit" if torch.equal(*twins) else "not the same"
    there, here = ((memory(a).argmax(1) == b).float().mean() for a, b in (data, fresh))
    return [
        f"**Targets of shape (100, 1).** `cross_entropy` {refusal}. A comparison does not: `net(x).argmax(1) == y` has "
        f"the shape {tuple(wide.shape)}, every answer against every label. After 2,000 "
        f"steps its mean is {100 * wide.float().mean():.1f} %, and the accuracy is {100 * right:.1f} %.",
        "**A student's loss in which the teacher does not appear.** The student's weights after ten steps with the "
        f"trained teacher and with an untrained one are {same}: nothing was distilled.",
        f"**Accuracy on training rows.** After 2,000 steps the teacher has {100 * there:.1f} % of the random labels it "
        f"was trained on, and {100 * here:.1f} % of fresh ones. The first figure is memory.",
    ]


def page(repetitions: int) -> list[str]:
    """The blocks of the page."""
    rates, folder = repeat(repetitions), Path("runs/examples/toy")
    shutil.rmtree(folder, ignore_errors=True)
    train, test = rows_with_a_rule(2000, 1), rows_with_a_rule(2000, 2)
    torch.manual_seed(0)
    teacher = trained(teacher_net(), train, 3000, 0.05)
    labelled = train[0][:100], train[1][:100]
    run = distilled(labelled, train[0][100:], test, teacher, folder, steps=1000, lr=0.01, seeds=[0, 1, 2, 3, 4])
    shown = [(show_verdict(word), str(rates[word]), f"{100 * rates[word] / repetitions:.1f} %") for word in VERDICTS]
    return [
        "# The toy from which the project began",
        "*Written by `python -m benchmarks.examples.toy`; every figure is of that call.*",
        "An article explained distillation with a teacher 10-5-2, a student 10-3-2 and ten steps of gradient descent "
        "on 100 random rows with random labels. It has three errors, and each hides something:",
        "\n".join(f"{n}. {text}" for n, text in enumerate(errors(), 1)),
        "## The same with stillhouse",
        f"```python\n{inspect.getsource(distilled)}```",
        "The student is tested on rows that no net has seen, and held against its rivals. Labels that are random "
        f"cannot be learned, so the verdict must not be *better*. Of {repetitions} repetitions, each with its rows, "
        "teacher and student of one seed:",
        table(["Verdict", "Repetitions", "Share"], shown),
        "A claim is made at the level of 5 %, 2.5 % on each side; *worse* is said if the student is measurably worse "
        "than any of its rivals (`docs/statistics.md`).",
        "## Data with something to teach",
        "The same nets on the same inputs, where the label says whether `x0 * x1 + x2 > 0`. The teacher had 2,000 "
        "labels; the student's owner has 100 and the other 1,900 rows without a label. 2,000 fresh test rows:",
        f"```text\n{run.summary()}\n```",
    ]


def main() -> None:
    """Run it, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.examples.toy", description=__doc__)
    parser.add_argument("--repetitions", type=int, help="only the rate of false claims, of so many repetitions")
    given = parser.parse_args()
    if given.repetitions:
        print(dict(repeat(given.repetitions)))
        return
    (PAGES / "toy.md").write_text("\n\n".join(page(REPETITIONS)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
