"""Taps find any layer by path, keep true values, survive wrappers, and say so when a layer is dead."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

from stillhouse.errors import UsageError
from stillhouse.taps import Taps
from tests.taps.nets import images, small_net, wrapped


class Overwriting(nn.Module):
    """What torchvision's residual blocks do: in-place activation and in-place addition."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.Linear(4, 4)
        self.relu = nn.ReLU(inplace=True)
        self.late = False

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.bn(inputs)
        if not self.late:
            out = self.relu(out)
            out += 1.0
        return out


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.auxiliary = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> dict[str, object]:
        extra = self.auxiliary(inputs) if self.training else None
        return {"note": "text", "loss": None, "logits": (self.used(inputs), inputs), "extra": extra}


def test_output_input_and_whole_module_are_the_values_of_a_forward_by_hand() -> None:
    net = small_net()
    with Taps(net, ["0.1", "2:input", "", ".", "0:output"]) as taps:
        net(images())
        found = taps.take()
    pooled = net[0](images())
    assert torch.equal(found["0.1"], net[0][1](net[0][0](images())))
    assert torch.equal(found["2:input"], pooled.flatten(1))
    assert torch.equal(found["0:output"], pooled)
    assert torch.equal(found[""], net(images()))
    assert torch.equal(found["."], found[""])


def test_gradients_flow_through_what_is_tapped() -> None:
    net = small_net()
    with Taps(net, ["0.0"]) as taps:
        net(images())
        torch.autograd.backward(taps.take()["0.0"].square().sum())
    assert net[0][0].weight.grad.abs().sum() > 0


def test_taking_clears_and_closing_removes_every_hook() -> None:
    net = small_net()
    taps = Taps(net, ["0.0", "embedding"])
    net(images())
    taps.take()
    with pytest.raises(UsageError, match=r"'0\.0' never fired in the last forward \(no tap fired\)"):
        taps.take()
    taps.close()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_first_tensor_of_nested_outputs_is_taken_and_others_by_number() -> None:
    net = Branching().train()
    inputs = torch.randn(2, 4)
    with Taps(net, ["", ":1", ":2"]) as taps:
        net(inputs)
        found = taps.take()
    assert torch.equal(found[""], net.used(inputs))
    assert torch.equal(found[":1"], inputs)
    assert torch.equal(found[":2"], net.auxiliary(inputs))


def test_a_layer_that_did_not_run_is_an_error_that_names_it_and_what_fired() -> None:
    net = Branching().eval()
    with Taps(net, ["used", "auxiliary"]) as taps:
        net(torch.randn(2, 4))
        with pytest.raises(UsageError, match=r"'auxiliary' never fired.*fired: 'used'.*stillhouse layers"):
            taps.take()


def test_a_module_that_gives_no_such_tensor_is_an_error_that_shows_what_it_gave() -> None:
    with Taps(net := Branching().eval(), [":7"]) as taps:
        net(torch.randn(2, 4))
        with pytest.raises(
            UsageError, match=r"':7' found no tensor: the module ran but gave dict .*\(2, 3\), \(2, 4\)"
        ):
            taps.take()


@pytest.mark.parametrize(("path", "near"), [("0.00", "'0.0'"), ("featrues.0", "'features.0'")])
def test_a_path_that_does_not_exist_names_the_nearest(path: str, near: str) -> None:
    net = small_net() if path.startswith("0") else nn.ModuleDict({"features": nn.Sequential(nn.Linear(1, 1))})
    with pytest.raises(UsageError, match=near):
        Taps(net, [path])


def test_an_unknown_part_lists_the_parts_there_are() -> None:
    with pytest.raises(UsageError, match="output, input, a number, query, key, value, scores or attention"):
        Taps(small_net(), ["0.0:inputs"])


@pytest.mark.parametrize("mode", ["grad", "no_grad", "inference"])
def test_values_overwritten_in_place_by_later_layers_are_the_tapped_layers_own(mode: str) -> None:
    net = Overwriting()
    context = {"grad": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}[mode]
    with Taps(net, ["bn"]) as taps, context():
        for step in range(3):
            inputs = torch.randn(2, 4) + step
            net(inputs)
            assert torch.equal(taps.take()["bn"], net.bn(inputs))


def test_untouched_values_are_not_copied_after_the_first_forward_and_late_overwriting_is_an_error() -> None:
    net = Overwriting()
    net.late = True
    with Taps(net, ["bn"]) as taps:
        net(torch.randn(2, 4))
        taps.take()
        output = net(torch.randn(2, 4))
        assert taps.take()["bn"] is output
        net.late = False
        net(torch.randn(2, 4))
        with pytest.raises(UsageError, match="overwritten in place"):
            taps.take()
        inputs = torch.randn(2, 4)
        net(inputs)
        assert torch.equal(taps.take()["bn"], net.bn(inputs))


def test_inputs_that_the_module_itself_overwrites_are_kept_as_they_came() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    inputs = torch.randn(2, 4)
    with Taps(net, ["1:input"]) as taps:
        net(inputs)
        assert torch.equal(taps.take()["1:input"], net[0](inputs))


@pytest.mark.parametrize("kind", ["compile", "data parallel", "averaged"])
def test_paths_of_the_plain_module_hold_for_the_wrapped_one_and_the_wrappers_paths_too(kind: str) -> None:
    net = wrapped(kind, small_net())
    prefix = "_orig_mod." if kind == "compile" else "module."
    with Taps(net, ["0.0", f"{prefix}0.0", "embedding"]) as taps:
        net(images())
        found = taps.take()
    assert torch.equal(found["0.0"], found[f"{prefix}0.0"])
    assert found["embedding"].shape == (2, 12)


def test_distributed_data_parallel_with_hooks_trains_on_live_features(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        net = nn.parallel.DistributedDataParallel(small_net())
        with Taps(net, ["0.0"]) as taps:
            net(images())
            torch.autograd.backward(taps.take()["0.0"].square().sum())
    finally:
        dist.destroy_process_group()
    assert net.module[0][0].weight.grad.abs().sum() > 0


@pytest.mark.filterwarnings("ignore:FSDP is switching")
def test_a_net_that_is_sharded_in_either_way_has_the_paths_and_features_of_the_plain_one(tmp_path: Path) -> None:
    plain, inputs = small_net(), images()
    with Taps(plain, ["0.0"]) as taps:
        plain(inputs)
        expected = taps.take()["0.0"]
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        older = FullyShardedDataParallel(copy.deepcopy(plain), device_id=torch.device("cpu"))
        newer = fully_shard(copy.deepcopy(plain), mesh=init_device_mesh("cpu", (1,)))
        for net, paths in ((older, ["0.0", "_fsdp_wrapped_module.0.0"]), (newer, ["0.0"])):
            with Taps(net, paths) as taps:
                net(inputs)
                assert all(torch.equal(found, expected) for found in taps.take().values())
    finally:
        dist.destroy_process_group()


def test_a_child_called_module_is_not_taken_for_a_wrapper() -> None:
    net = nn.ModuleDict({"module": nn.Sequential(nn.Linear(2, 2))})
    with Taps(net, ["module.0"]) as taps:
        net["module"](torch.zeros(1, 2))
        assert taps.take()["module.0"].shape == (1, 2)


def test_compiled_before_the_tap_is_an_error_and_not_a_silent_zero() -> None:
    torch.compiler.reset()
    net: Any = torch.compile(small_net(), backend="eager")
    net(images())
    with Taps(net, ["0.0"]) as taps:
        net(images())
        with pytest.raises(UsageError, match=r"Attach taps before `torch\.compile`"):
            taps.take()
