"""Whether the maker `copula` is a copula: letters of it beside those of another implementation, and of a mixture.

python -m benchmarks.examples.copulas

Prints for each kind of made rows the accuracy of a perceptron of 32 units that learns a forest's answers to 500 real
and 10,000 made letters, and how far correlations of columns are from those of the real rows. `corrected` divides the
correlations of normal scores by what ties take from them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from benchmarks.examples.cases import letter
from benchmarks.examples.example import DATA, ROOT
from benchmarks.examples.running import prepare
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from sklearn.ensemble import ExtraTreesClassifier

from stillhouse.data.encoders.tensors import ArrayEncoder
from stillhouse.data.summaries import summaries
from stillhouse.makers import base as makers

Table = NDArray[np.float64]
DRAWS, REAL, MADE, TRAINING = 3, 500, 10_000, 16_000
STEPS, BATCH, LR, UNITS = 3000, 128, 1e-2, 32


def independent(real: Table, seed: int, *, corrected: bool = False) -> Table:
    """Rows of a Gaussian copula by scipy and numpy alone, which share no code with the maker."""
    scores = norm.ppf(rankdata(real, axis=0) / (len(real) + 1))
    found: Table = np.asarray(np.corrcoef(scores.T))
    if corrected:
        left = scores.std(0) / norm.ppf(np.arange(1, len(real) + 1) / (len(real) + 1)).std()
        found = found / np.outer(left, left)
        values, vectors = np.linalg.eigh(found)
        found = (vectors * values.clip(1e-4)) @ vectors.T
        found = found / np.sqrt(np.outer(np.diag(found), np.diag(found)))
    drawn = np.random.default_rng(seed).multivariate_normal(np.zeros(real.shape[1]), found, MADE, method="eigh")
    columns = zip(real.T, norm.cdf(drawn).T, strict=True)
    return np.stack([np.quantile(own, shares, method="inverted_cdf") for own, shares in columns], 1)


def made_by(name: str, real: Table, seed: int) -> Table:
    """Rows of a maker."""
    form = makers.Form("array", ArrayEncoder.fit(real), real=real, columns=summaries(real))
    return np.asarray(makers.make(name).make(form, np.arange(MADE), seed))


def student(rows: torch.Tensor, answers: torch.Tensor, seed: int) -> torch.nn.Module:
    """A perceptron that has learned the answers (N, C) to standardised rows."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(rows.shape[1], UNITS), torch.nn.ReLU(), torch.nn.Linear(UNITS, 26))
    optimizer = torch.optim.AdamW(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, STEPS)
    for _ in range(STEPS):
        some = torch.randint(len(rows), (BATCH,))
        loss = torch.nn.functional.cross_entropy(net(rows[some]), answers[some])
        optimizer.zero_grad()
        torch.autograd.backward([loss])
        optimizer.step()
        schedule.step()
    return net


def main() -> None:
    """Make, learn, print."""
    prepare(letter.EXAMPLE)
    frame = pd.read_csv(ROOT / DATA / "letter.csv")
    targets = np.unique(frame.pop("lettr"), return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(len(frame))
    rows, targets = frame.to_numpy(np.float64)[order], targets[order]
    train, test = rows[:TRAINING], rows[TRAINING:]
    teacher = ExtraTreesClassifier(100, random_state=0).fit(train, targets[:TRAINING])
    middle, spread = train.mean(0), train.std(0)
    apart = ~np.eye(rows.shape[1], dtype=bool)
    found: dict[str, list[tuple[float, float]]] = {}
    for draw in range(DRAWS):
        real = train[np.random.default_rng(draw + 1).choice(TRAINING, REAL, replace=False)]
        kinds = {name: made_by(name, real, draw) for name in ("copula", "mixture")}
        kinds |= {"independent": independent(real, draw), "corrected": independent(real, draw, corrected=True)}
        for name, made in kinds.items():
            seen = np.concatenate([real, made])
            answers = torch.from_numpy(teacher.predict_proba(seen)).float()
            net = student(torch.from_numpy((seen - middle) / spread).float(), answers, draw)
            with torch.no_grad():
                said = net(torch.from_numpy((test - middle) / spread).float()).argmax(1).numpy()
            off = np.abs(np.corrcoef(made.T) - np.corrcoef(real.T))[apart].mean()
            found.setdefault(name, []).append((100 * float((said == targets[TRAINING:]).mean()), float(off)))
    for name, draws in found.items():
        accuracies, distances = zip(*draws, strict=True)
        each = ", ".join(f"{accuracy:.1f}" for accuracy in accuracies)
        print(f"{name}: {np.mean(accuracies):.1f} % ({each}); correlations off by {np.mean(distances):.3f}")


if __name__ == "__main__":
    main()
