"""What holds an accelerator against the CPU runs here too, and sees what differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks import cuda
from benchmarks.speed.nets import S, make

from stillhouse.engine.placement import devices

TINY = cuda.Size((S,), 32, 3, 1)


@pytest.mark.skipif(devices() != ["cpu"], reason="this machine has an accelerator")
def test_without_an_accelerator_it_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cuda.main([]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.slow
def test_the_cpu_is_equal_to_itself_in_every_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    assert cuda.hold("cpu", TINY) == 0
    said = capsys.readouterr().out
    for name in ("32-true", "bf16-mixed", "16-mixed"):
        assert f"equal   S, {name}, fit: " in said
    for what in ("labelling", "export to onnx", "export to safetensors"):
        assert f"equal   S, 32-true, {what}: " in said
    assert "equal   S, bf16-mixed, labelling: 0.00" in said
    assert said.count("/ on the CPU in float32: ") == 5  # seconds of labelling in two arithmetics, of fits in three
    assert "DIFFERS" not in said


def test_another_teacher_start_or_weight_is_above_every_limit(tmp_path: Path) -> None:
    wrong = replace(S, teacher=lambda: make(S.teacher, 77))
    one, other = (cuda.answers(world, 32, "cpu", cuda.FLOAT32) for world in (S, wrong))
    assert cuda.relative(other, one) > max(a.answers for a in cuda.ARITHMETICS)
    start = cuda.outputs(make(S.student, 1), S, 32)
    ends = []
    for number, world in enumerate((S, wrong)):
        net = cuda.fitted(S, TINY, "cpu", cuda.FLOAT32, cuda.asked(world, 32, tmp_path / str(number)))
        ends.append(cuda.outputs(net, S, 32) - start)
    assert cuda.relative(ends[1], ends[0]) > 2 * max(a.fits for a in cuda.ARITHMETICS)
    before = cuda.exported(net, S, tmp_path / "before.safetensors", "safetensors")
    with torch.no_grad():
        next(net.parameters()).mul_(1 + 1e-4)
    after = cuda.exported(net, S, tmp_path / "after.safetensors", "safetensors")
    assert not cuda.Held("export", cuda.relative(after, before), cuda.FLOAT32.answers).kept
    assert not cuda.Held("fit", float("nan"), 1.0).kept
