"""What no judgement needs never ends a judged run: it is left out, with its reason in the record and on the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import stillhouse as sh
from stillhouse.reporting import write
from stillhouse.task import Section
from tests.pipeline.test_odd_students import DATA, Body, Knowing, distilled


class NeedsTwo(Knowing):
    """A teacher that cannot be asked about one row, nor looked into: it can be judged, not timed or explained."""

    def forward(self, rows: Tensor) -> Tensor:
        if len(rows) == 1:
            raise ZeroDivisionError("one row has no variance")
        if self.head._forward_pre_hooks:
            raise RuntimeError("hooks are not allowed")
        return super().forward(rows)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    return distilled(tmp_path_factory.mktemp("left") / "run", Body, teacher=NeedsTwo())


def words_of(page: Path) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.read_text()).split())


def test_a_teacher_that_cannot_be_timed_or_looked_into_is_judged(run: sh.Run) -> None:
    assert run.verdict
    assert {part: why for part, why in run.record["left_out"].items() if part != "self_trained"} == {
        "the costs of the nets": "ZeroDivisionError: one row has no variance",
        "the comparison of the inner layers": "RuntimeError: hooks are not allowed",
    }
    shown = words_of(run.report_path)
    assert "Left out" in shown
    assert "one row has no variance" in shown
    assert "hooks are not allowed" in shown
    assert run.scores["models"]["distilled"]["parameters"] > 0, "what is known of the costs is shown"


def test_the_rest_of_a_judged_run_works_without_what_was_left_out(run: sh.Run) -> None:
    assert run.load().predict(DATA[2][0].numpy()).shape == (70,)
    assert run.export("safetensors").exists()
    unmeasured = [one.passed for one in sh.check(run, {"max_bytes": 10**9})]
    assert unmeasured == [False], "a size that was not measured is not within a limit"
    assert run.summary()


def test_a_part_that_works_again_is_no_longer_left_out(run: sh.Run) -> None:
    record = sh.Run(run.folder)
    with record.optional("the costs of the nets"):
        pass
    left = {"the comparison of the inner layers", "self_trained"}  # every training row has a label
    assert set(sh.Run(run.folder).record["left_out"]) == left


def test_a_section_that_fails_is_named_in_its_place_and_the_page_is_written(run: sh.Run, tmp_path: Path) -> None:
    def broken(files: Any) -> Any:
        raise KeyError("figure")

    sections = (
        Section("early", "Early", broken, "never", order=5),
        Section("late", "Late", lambda files: {"a": 1}, "{{ it.b }}", order=6),
    )
    told: list[str] = []
    task = replace_sections(run.task, sections)
    page = write(run.folder, task, lambda part, error: told.append(part))
    assert told == ["section 'Early' of the report", "section 'Late' of the report"]
    assert "This section could not be made: KeyError" in words_of(page)
    with pytest.raises(KeyError):
        write(run.folder, task)


def replace_sections(task: Any, sections: tuple[Section, ...]) -> Any:
    class WithSections(type(task)):  # type: ignore[misc]
        @property
        def sections(self) -> tuple[Section, ...]:
            return sections

    made = WithSections.__new__(WithSections)
    made.__dict__.update(vars(task))
    return made


def test_a_stop_is_no_failure_of_a_part(run: sh.Run) -> None:
    record = sh.Run(run.folder)
    with pytest.raises(KeyboardInterrupt), record.optional("anything"):
        raise KeyboardInterrupt
    assert "anything" not in sh.Run(run.folder).record["left_out"]
