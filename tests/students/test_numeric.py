"""Embeddings of numbers: the formulas of the paper in double precision, and a run whose student has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.students import make
from stillhouse.students.numeric import Periodic, Piecewise, numeric_columns, shown

Floats = NDArray[np.float64]


def piecewise(x: float, edges: Floats) -> Floats:
    """Equation 1 of Gorishniy et al. 2022, piece by piece."""
    last, found = len(edges) - 2, []
    for t in range(last + 1):
        if x < edges[t] and t > 0:
            found.append(0.0)
        elif x >= edges[t + 1] and t < last:
            found.append(1.0)
        else:
            found.append((x - edges[t]) / (edges[t + 1] - edges[t]))
    return np.array(found)


def test_the_piecewise_encoding_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(0)
    seen, asked = rng.gamma(2.0, size=(500, 3)), 3 * rng.normal(size=(50, 3))
    layer = Piecewise(3, 8)
    layer.see(torch.from_numpy(seen).float())
    found = layer(torch.from_numpy(asked).float()).numpy()
    for column in range(3):
        edges = np.quantile(seen[:, column].astype(np.float32).astype(np.float64), np.linspace(0, 1, 9))
        wanted = np.stack([piecewise(x, edges) for x in asked[:, column].astype(np.float32).astype(np.float64)])
        np.testing.assert_allclose(found[:, column], wanted, rtol=1e-4, atol=1e-4)


def test_a_column_of_few_values_has_few_pieces_and_one_of_a_single_value_says_nothing() -> None:
    layer = Piecewise(2, 8)
    layer.see(torch.stack([torch.arange(90.0) % 3, torch.full((90,), 5.0)], 1))
    found = layer(torch.tensor([[0.0, 5.0], [1.5, 5.0], [2.0, 7.0]]))
    np.testing.assert_allclose(found[:, 0, :2], [[0.0, 0.0], [1.0, 0.5], [1.0, 1.0]])
    assert not found[:, 0, 2:].any()
    assert not found[:, 1].any()


def test_the_periodic_encoding_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    layer, asked = Periodic(3, 5, 4), torch.randn(20, 3)
    x, c, w, b = (t.detach().double().numpy() for t in (asked, layer.frequencies, layer.weight, layer.bias))
    for column in range(3):
        angles = 2 * np.pi * x[:, column, None] * c[column]
        waves = np.concatenate([np.sin(angles), np.cos(angles)], 1)
        wanted = np.maximum(waves @ w[column] + b[column], 0)
        np.testing.assert_allclose(layer(asked)[:, column].detach(), wanted, atol=1e-5)


def test_columns_of_two_values_are_not_embedded() -> None:
    rows = torch.stack([torch.randn(100), torch.arange(100.0) % 2, torch.zeros(100), torch.arange(100.0) % 3], 1)
    assert numeric_columns(rows) == [0, 3]
    net = make("mlp_numeric", shape=(4,), outputs=2, settings={"columns": [0, 3], "bins": 4, "hidden": [5]})
    first = net.get_submodule("blocks.0.0")
    assert first.in_features == 2 + 2 * 4
    embedded = net.get_submodule("embed")(rows)
    assert torch.equal(embedded[:, :2], rows[:, 1:3])
    assert shown(net, rows)(rows).shape == (100, 2)


@pytest.mark.parametrize("settings", [{"columns": [4]}, {"bins": 0}, {"embedding": "fourier"}, {"width": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="mlp_numeric"):
        make("mlp_numeric", shape=(4,), outputs=2, settings=settings)


@pytest.mark.slow
@pytest.mark.parametrize("embedding", ["piecewise", "periodic"])
def test_a_run_fits_the_embedding_to_its_rows_ships_it_and_exports_it(tmp_path: Path, embedding: str) -> None:
    import onnxruntime

    rng = np.random.default_rng(0)
    x = np.concatenate([rng.gamma(1.0, size=(700, 2)), rng.integers(0, 2, (700, 1))], 1).astype(np.float32)
    y = (np.floor(3 * x[:, 0]) % 2).astype(np.int64)
    parts = (slice(0, 400), slice(400, 500), slice(500, 700))
    run = sh.distill(
        {"controls": {"simple": False, "self_trained": False}, "evaluation": {"resamples": 100}},
        teacher=lambda rows: np.eye(2)[(np.floor(3 * np.asarray(rows)[:, 0]) % 2).astype(int)] * 0.9 + 0.05,
        student={"name": "mlp_numeric", "settings": {"embedding": embedding}}, data=tuple((x[p], y[p]) for p in parts),
        steps=60, seeds=[0], out=tmp_path / "run", accept_teacher=True, verbose=False,
    )  # fmt: skip
    student = sh.load(run.folder)
    assert student.net_card["settings"]["columns"] == [0, 1]
    if embedding == "piecewise":
        left = student.net.get_submodule("embed.embed").left
        encoded = student.encoder.encode(x[parts[0]])[:, :2].double().numpy()
        np.testing.assert_allclose(left.T, np.quantile(encoded, np.linspace(0, 1, 17)[:-1], axis=0), atol=1e-4)
    with np.load(run.folder / "predictions.npz") as file:
        judged = np.exp(file["distilled/0"])
    np.testing.assert_allclose(student.predict_proba(x[parts[2]]), judged, atol=1e-4)
    session = onnxruntime.InferenceSession(str(sh.export(run.folder)))
    asked = {session.get_inputs()[0].name: student.encoder.encode(x[parts[2]]).numpy()}
    np.testing.assert_allclose(session.run(["probabilities"], asked)[0], judged, atol=1e-4)
