"""Histograms of oriented gradients: the paper's formula pixel by pixel, whole files and graphs."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from stillhouse import students
from stillhouse.errors import UsageError
from stillhouse.exporting import Exportable, export
from stillhouse.students.hog import CLIP, LEAST, Hog


def by_hand(picture: np.ndarray, cell: int, orientations: int) -> np.ndarray:
    """Dalal and Triggs, pixel by pixel in float64: (4 * orientations, blocks down, blocks across)."""
    channels, height, width = picture.shape
    cells = np.zeros((height // cell, width // cell, orientations))
    for i in range(height // cell * cell):
        for j in range(width // cell * cell):
            steepest = (0.0, 0.0, 0.0)
            for c in range(channels):
                gx = picture[c, i, j + 1] - picture[c, i, j - 1] if 0 < j < width - 1 else 0.0
                gy = picture[c, i + 1, j] - picture[c, i - 1, j] if 0 < i < height - 1 else 0.0
                steepest = max(steepest, (math.hypot(gx, gy), gx, gy), key=lambda one: one[0])
            size, gx, gy = steepest
            place = math.atan2(gy, gx) % math.pi / math.pi * orientations - 0.5
            low = math.floor(place)
            cells[i // cell, j // cell, low % orientations] += size * (1 - (place - low))
            cells[i // cell, j // cell, (low + 1) % orientations] += size * (place - low)
    cells /= cell**2
    down, across = (max(1, side - 1) for side in cells.shape[:2])
    found = np.zeros((down, across, min(2, cells.shape[0]) * min(2, cells.shape[1]) * orientations))
    for i in range(down):
        for j in range(across):
            block = cells[i : i + 2, j : j + 2].transpose(1, 0, 2).reshape(-1)
            block = np.minimum(block / math.sqrt((block**2).sum() + LEAST**2), CLIP)
            found[i, j] = block / math.sqrt((block**2).sum() + 1e-10)
    return found.transpose(2, 0, 1)


@given(
    seed=st.integers(0, 10_000),
    channels=st.sampled_from([1, 3]),
    height=st.integers(3, 13),
    width=st.integers(3, 13),
    cell=st.integers(2, 4),
    orientations=st.integers(2, 9),
)
@settings(max_examples=25, deadline=None)
def test_the_histograms_are_those_of_the_paper(
    seed: int, channels: int, height: int, width: int, cell: int, orientations: int
) -> None:
    cell = min(cell, height, width)
    pictures = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed))
    found = Hog(cell, orientations)(pictures)
    for picture, features in zip(pictures, found, strict=True):
        expected = by_hand(picture.double().numpy(), cell, orientations)
        assert features.numel() == expected.size
        np.testing.assert_allclose(features.numpy().reshape(expected.shape), expected, atol=2e-5)


def test_a_flat_picture_has_no_directions_and_light_changes_little() -> None:
    pictures = torch.randn(4, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    hog = Hog(2, 9)
    assert float(hog(torch.full((1, 1, 14, 14), 3.0)).abs().max()) == 0.0
    torch.testing.assert_close(hog(pictures + 5.0), hog(pictures), atol=1e-4, rtol=0)
    assert float((hog(pictures * 1.5) - hog(pictures)).abs().max()) < 0.05
    torch.testing.assert_close(hog(-pictures), hog(pictures), atol=1e-5, rtol=0)  # a direction and its opposite


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures of digits, standardised, and classes."""
    x, y = load_digits(return_X_y=True)
    pictures = torch.from_numpy((x - x.mean()) / x.std()).float().view(-1, 1, 8, 8)
    return pictures, torch.from_numpy(y).long()


def fit(x: torch.Tensor, y: torch.Tensor, name: str = "hog_linear", **given: Any) -> torch.nn.Module:
    targets = torch.nn.functional.one_hot(y, 10).double()
    return students.fit_soft(name, inputs=x, targets=targets, weights=None, settings=given, seed=0)


def test_the_linear_part_is_scikit_learns_on_the_histograms_and_beats_pixels() -> None:
    x, y = digits()
    net = fit(x[:200], y[:200], C=0.1)
    z = Hog(2, 9)(x).flatten(1).double().numpy()
    mean, scale = z[:200].mean(0), z[:200].std(0)
    z = (z - mean) / np.where(scale > 1e-6, scale, 1.0)
    theirs = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000).fit(z[:200], y[:200])
    np.testing.assert_allclose(net(x).softmax(-1).detach().numpy(), theirs.predict_proba(z), atol=2e-3)
    pixels = fit(x[:200], y[:200], "logistic", C=0.1)
    right = [float((one(x[200:]).argmax(1) == y[200:]).float().mean()) for one in (net, pixels)]
    assert right[0] > right[1] + 0.01


def test_a_fit_loads_and_is_exported(tmp_path: Path) -> None:
    x, y = digits()
    x = x.repeat(1, 3, 1, 1) * torch.tensor([1.0, 0.5, -2.0]).view(3, 1, 1)
    net = fit(x[:100], y[:100])
    empty = students.make("hog_linear", shape=(3, 8, 8), outputs=10, settings={})
    empty.load_state_dict(net.state_dict())
    assert set(net.state_dict()) == {"head.weight", "head.bias"}
    assert torch.equal(empty(x), net(x))
    shipped = Exportable(net, x[:3], net, x[:3], {"logits": lambda logits: logits})
    file = export(shipped, tmp_path / "pictures.onnx", format="onnx", metadata={})
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["logits"], {"inputs": x.numpy()})[0], net(x).detach().numpy(), atol=1e-4)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(UsageError, match=r"pictures .* Use `name = .logistic.`"):
        students.make("hog_linear", shape=(64,), outputs=2, settings={})
    with pytest.raises(UsageError, match="cell = 9 is larger"):
        students.make("hog_linear", shape=(1, 8, 8), outputs=2, settings={"cell": 9})
