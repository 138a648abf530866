"""Real processes, real signals, a real full disk: nothing already computed is lost."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from stillhouse.pipeline import Run
from tests.pipeline.recipes import command, environment, stillhouse, write_recipe

ARMS = ("labels_only", "distilled", "all_labels", "distilled_same")


def student_bits(run: Path, arms: tuple[str, ...] = ARMS) -> dict[str, bytes]:
    return {
        f"{arm}/{seed}": (run / "fits" / arm / str(seed) / "model.safetensors").read_bytes()
        for arm in arms
        for seed in (0, 1)
    }


def start_until(recipe: Path, path: Path) -> subprocess.Popen[str]:
    """Start the run and wait until it has written a certain file."""
    process = subprocess.Popen(
        command("distill", str(recipe)), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    while not path.exists() and process.poll() is None:
        os.sched_yield()
    return process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("until", "number", "code"),
    [
        pytest.param("teacher/metrics.jsonl", signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param("store/manifest.json", signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param("fits/distilled/0/checkpoint.safetensors", signal.SIGINT, 130, marks=pytest.mark.slow),
        ("fits/distilled/0/metrics.jsonl", signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_stopped_anywhere_and_started_again_the_students_are_the_same_bit_for_bit(
    until: str, number: int, code: int, tmp_path: Path, finished: Run
) -> None:
    recipe = write_recipe(tmp_path, controls={"same_teacher": True})
    process = start_until(recipe, tmp_path / "run" / until)
    os.killpg(process.pid, number)
    _, errors = process.communicate()
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    again = stillhouse("distill", str(recipe))
    assert again.returncode == 0, again.stderr
    assert student_bits(tmp_path / "run") == student_bits(finished.folder)


@pytest.mark.slow
def test_self_training_stopped_between_two_rounds_ends_with_the_same_student(tmp_path: Path) -> None:
    rivals = {"controls": {"self_trained": True}}
    whole, killed = (write_recipe(tmp_path / name, **rivals) for name in ("whole", "killed"))
    assert stillhouse("distill", str(whole)).returncode == 0
    process = start_until(killed, tmp_path / "killed" / "run" / "fits" / "self_trained" / "1" / "round-2")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    again = stillhouse("distill", str(killed))
    assert again.returncode == 0, again.stderr
    arms = ("labels_only", "self_trained", "distilled")
    assert student_bits(tmp_path / "killed" / "run", arms) == student_bits(tmp_path / "whole" / "run", arms)


@pytest.mark.slow
def test_a_full_disk_is_one_clear_error_and_the_same_command_resumes(tmp_path: Path, finished: Run) -> None:
    recipe = write_recipe(tmp_path, controls={"same_teacher": True})

    def limit() -> None:
        # The kernel refuses to let any file grow past this, as a full disk would.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, 16_000))

    full = stillhouse("distill", str(recipe), preexec_fn=limit)
    assert full.returncode == 75, full.stderr
    assert "run the same command again" in full.stderr
    assert "Traceback" not in full.stderr
    again = stillhouse("distill", str(recipe))
    assert again.returncode == 0, again.stderr
    assert student_bits(tmp_path / "run") == student_bits(finished.folder)


@pytest.mark.slow
def test_a_rate_that_diverges_ends_with_exit_1_and_the_cure(tmp_path: Path) -> None:
    ended = stillhouse("distill", str(write_recipe(tmp_path, training={"lr": 1e20})))
    assert ended.returncode == 1
    assert "diverged" in ended.stderr
    assert "[training] lr" in ended.stderr
