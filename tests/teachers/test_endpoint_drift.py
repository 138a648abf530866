"""A service that changes its model while it is asked would be two teachers: it is refused, or its rows are marked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillhouse.cli import main
from stillhouse.errors import RejectedError
from stillhouse.teachers.endpoint.teacher import EndpointTeacher
from tests.pipeline.test_teachers_of_all_kinds import service_recipe, texts_of, write_texts
from tests.teachers.misbehaving_server import Act, Server, completion, raw
from tests.teachers.test_endpoint import teacher_of

pytestmark = pytest.mark.enable_socket
OLD, NEW = {"model": "m-2024", "system_fingerprint": "fp_1"}, {"model": "m-2025", "system_fingerprint": "fp_2"}


def told(content: str, **of: Any) -> Act:
    """A completion that tells of its model."""
    return raw(json.dumps(completion(content) | of).encode())


def one_by_one(server: Server, folder: Path, **more: Any) -> EndpointTeacher:
    return teacher_of(server, folder, **({"samples": 1, "concurrency": 1} | more))


@pytest.mark.parametrize(
    ("later", "names"),
    [(NEW, ("`model`", "m-2024", "m-2025")), (OLD | {"system_fingerprint": "fp_9"}, ("fingerprint`", "fp_1", "fp_9"))],
)
def test_a_change_is_refused_with_both_values_and_the_row(
    later: dict[str, str], names: tuple[str, ...], tmp_path: Path
) -> None:
    texts = ["a", "b", "c", "d"]
    with Server(told("A", **OLD), plan={"c": [told("B", **later)]}) as server:
        with pytest.raises(RejectedError) as refused:
            one_by_one(server, tmp_path).prefetch(texts, rows=[40, 41, 42, 43])
        assert all(name in str(refused.value) for name in (*names, "row 42"))
        assert server.asked == {"a": 1, "b": 1, "c": 1}, "nothing more is paid for"
        found = one_by_one(server, tmp_path, accept_drift=True).prefetch(texts)
    assert server.asked == {"a": 1, "b": 1, "c": 1, "d": 1}, "what was paid for is used"
    assert found.log_probs.argmax(1).tolist() == [0, 0, 1, 0]
    assert found.drifted.tolist() == [False, False, True, False]
    assert found.told["system_fingerprint"] == ["fp_1", later["system_fingerprint"]]


def test_a_service_that_is_what_it_was_is_asked_again_where_it_was_not(tmp_path: Path) -> None:
    with Server(told("A", **OLD), plan={"b": [told("B", **NEW), told("C", **OLD)]}) as server:
        with pytest.raises(RejectedError):
            one_by_one(server, tmp_path).prefetch(["a", "b"])
        found = one_by_one(server, tmp_path).prefetch(["a", "b"])
    assert found.log_probs.argmax(1).tolist() == [0, 2]
    assert not found.drifted.any()


def test_a_change_between_a_stopped_run_and_its_resume_counts(tmp_path: Path) -> None:
    with Server(told("A", **OLD)) as server:
        one_by_one(server, tmp_path).prefetch(["a"])
        server.default = told("A", **NEW)
        with pytest.raises(RejectedError, match=r"'m-2024'.*'m-2025'.*row 1 "):
            one_by_one(server, tmp_path).prefetch(["a", "b"])


def test_a_service_that_tells_nothing_at_times_has_not_changed(tmp_path: Path) -> None:
    plan = {"a": [told("A")], "c": [told("A", model=None, system_fingerprint=7)], "d": [told("A", model="m-2024")]}
    with Server(told("A", **OLD), plan=plan) as server:
        found = one_by_one(server, tmp_path).prefetch(["a", "b", "c", "d"])
    assert not found.drifted.any()
    assert found.told == {"model": ["m-2024"], "system_fingerprint": ["fp_1"]}


def test_the_marks_do_not_change_what_a_teacher_is(tmp_path: Path) -> None:
    with Server() as server:
        prints = {one_by_one(server, tmp_path, accept_drift=flag).fingerprint() for flag in (False, True)}
    assert len(prints) == 1


@pytest.mark.slow
@pytest.mark.fault("A3", "a service that changes its model or its fingerprint while it is asked", exit=4)
def test_a_run_names_the_change_and_with_accept_drift_the_page_says_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = texts_of(60)
    write_texts(tmp_path, rows)
    plan = {text: [told(f"Label: {label.upper()}.", **OLD)] for text, label in rows}
    plan[rows[7][0]] = [told("Label: A.", **NEW)]
    with Server(plan=plan) as server:
        recipe = service_recipe(tmp_path, server.url, samples=1)
        command = ["distill", str(recipe), "--accept-teacher"]
        assert main(command) == 4
        err = capsys.readouterr().err
        assert all(word in err for word in ("m-2024", "m-2025", "row 7 ", "--accept-drift"))
        assert main([*command, "--accept-drift"]) == 0, "the cure works in the same folder"
        assert sum(server.asked.values()) == 60
        capsys.readouterr()
        assert main(["evaluate", str(tmp_path / "run"), "--full"]) == 0, "it was accepted once"
        assert main(command) == 0
        assert sum(server.asked.values()) == 60
    service = json.loads((tmp_path / "run" / "run.json").read_text())["service"]
    assert service["drifted"] == [7]
    assert service["told"]["model"] == ["m-2024", "m-2025"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The service changed while it was asked" in page
    assert "m-2025" in page
    assert np.load(tmp_path / "run" / "split.npz")["train"].size
