"""Vision models of timm, by name; what needs timm itself runs where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stillhouse.engine import write_weights
from stillhouse.errors import UsageError
from stillhouse.pipeline import distill, load
from stillhouse.pipeline.student.config import build
from stillhouse.recipe import parse
from stillhouse.teachers.hub.timm_nets import timm_classifier

SHAPE = (1, 32, 32)


def timm() -> Any:
    """The library, whole: of a part that lacks another package it would only fail later."""
    return pytest.importorskip("timm", exc_type=ImportError)


def test_it_names_its_extra_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"pip install 'stillhouse\[timm\]'"):
        timm_classifier("resnet18", SHAPE, 2, {})
    with pytest.raises(UsageError, match=r"pip install 'stillhouse\[timm\]'"):
        build({"name": "timm:resnet18", "settings": {}, "shape": [1, 32, 32]}, 2)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("hf-hub:timm/resnet18", {}),
        ("resnet18", {"pretrained": True}),
        ("resnet18", {"checkpoint_path": "weights.pth"}),
        ("resnet18", {"pretrained_cfg": "a1_in1k"}),
    ],
)
def test_it_fetches_no_weights(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="timm would download weights"):
        timm_classifier(name, SHAPE, 2, settings)


def test_what_it_cannot_read_or_does_not_know_is_told_at_once() -> None:
    with pytest.raises(UsageError, match="from the data, whose rows are"):
        timm_classifier("resnet18", (7,), 2, {})
    timm()
    with pytest.raises(UsageError, match="resnet18"):
        timm_classifier("resnet81", SHAPE, 2, {})
    with pytest.raises(UsageError, match="no_such_setting"):
        timm_classifier("resnet18", SHAPE, 2, {"no_such_setting": 1})
    with pytest.raises(UsageError, match="img_size"):
        timm_classifier("vit_tiny_patch16_224", SHAPE, 2, {})


@pytest.mark.parametrize(
    ("name", "settings"), [("resnet18", {}), ("vit_tiny_patch16_224", {"img_size": 32, "patch_size": 8, "depth": 2})]
)
def test_it_is_timms_own_net_for_these_images(name: str, settings: dict[str, Any]) -> None:
    theirs = timm().create_model(name, num_classes=3, in_chans=1, **settings).eval()
    ours = timm_classifier(name, SHAPE, 3, settings)
    assert ours.training
    ours.load_state_dict(theirs.state_dict())
    inputs = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.eval()(inputs), theirs(inputs))


def recipe(folder: Path, teacher: dict[str, Any]) -> Any:
    return parse(
        {
            "data": {"name": "digits", "labels": 60, "valid": 0.1},
            "teacher": {"name": "timm:resnet18", **teacher},
            "student": {"name": "timm:test_resnet"},
            "training": {"steps": 3, "batch_size": 16, "seeds": [0], "workers": 1},
            "controls": {"all_labels": False},
            "evaluation": {"resamples": 50},
            "output": {"dir": str(folder)},
        }
    )


def test_a_run_trains_one_by_name_and_ships_another(tmp_path: Path) -> None:
    timm()
    run = distill(recipe(tmp_path / "run", {"training": {"steps": 3, "batch_size": 16}}), accept_teacher=True)
    net = build({"name": "timm:resnet18", "settings": {}, "shape": [1, 8, 8]}, 10)
    assert run.scores["models"]["teacher"]["parameters"] == sum(p.numel() for p in net.parameters())
    shipped = load(run.folder)
    assert shipped.predict_proba(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_weights_of_ones_own_come_from_a_safetensors_file(tmp_path: Path) -> None:
    timm()
    made = timm_classifier("resnet18", (1, 8, 8), 10, {})
    write_weights(tmp_path / "resnet18.safetensors", made.state_dict())
    run = distill(recipe(tmp_path / "run", {"file": str(tmp_path / "resnet18.safetensors")}), accept_teacher=True)
    assert run.record["saw"]["teacher"]["labels"] is None
