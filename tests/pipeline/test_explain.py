"""Every run says what was handed over, and the figures are those of its own nets and files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from stillhouse import students
from stillhouse.engine import read_weights
from stillhouse.pipeline import Run
from stillhouse.pipeline.evaluation.explain import EXPLANATION, TAUGHT
from tests.data.reading import read as read_source
from tests.evaluation.kernels import kernel_cka


def test_the_surrogates_fidelity_is_told_of_the_shipped_student(finished: Run) -> None:
    found = json.loads((finished.folder / EXPLANATION).read_text())["surrogate"]
    with np.load(finished.folder / "predictions.npz") as answers:
        said = answers["distilled/0"].argmax(1)
    assert found["majority"] == pytest.approx((np.bincount(said) / len(said)).max(), abs=0.2)
    assert 0 < found["fidelity"]["low"] <= found["fidelity"]["value"] <= found["fidelity"]["high"] <= 1
    assert "pixel" in found["rules"]


def test_the_rows_that_taught_most_are_training_rows_shown_as_they_are(finished: Run) -> None:
    told = json.loads((finished.folder / EXPLANATION).read_text())["taught"]
    rows = [entry["row"] for entry in told["rows"]]
    source = read_source(name="digits")
    with np.load(finished.folder / "split.npz") as split:
        train, labelled = set(split["train"].tolist()), set(split["labelled"].tolist())
    assert set(rows) <= train
    assert [entry["labelled"] for entry in told["rows"]] == [row in labelled for row in rows]
    assert [entry["label"] for entry in told["rows"]] == [source.names[source.targets[row]] for row in rows]
    shares = [entry["share"] for entry in told["rows"]]
    assert shares == sorted(shares, reverse=True)
    assert told["held_out"] == "valid"
    with np.load(finished.folder / TAUGHT) as kept:
        np.testing.assert_array_equal(kept["inputs"], source.raw[rows])


def test_inner_pictures_are_aligned_as_a_net_loaded_from_the_run_says(finished: Run) -> None:
    told = json.loads((finished.folder / EXPLANATION).read_text())["cka"]
    encoder, source = finished.load().encoder, read_source(name="digits")
    with np.load(finished.folder / "split.npz") as split:
        inputs = encoder.encode(source.raw[split["test"]])
    inner = []
    for seed in (0, 1):
        net = students.make("mlp_tiny", shape=(1, 8, 8), outputs=10, settings={"hidden": [8]})
        net.load_state_dict(read_weights(finished.fit_folder("distilled", seed) / "model.safetensors")[0])
        with torch.no_grad():
            inner.append(nn.Sequential(*list(net.children())[:-1])(inputs).double().numpy())
    assert told["rows"] == len(inputs)
    assert told["between_seeds"] == pytest.approx(kernel_cka(*inner))
    assert 0 <= told["with_teacher"]["distilled"] <= 1
