"""Plain progress lines say how far, how fast and how long still."""

from __future__ import annotations

import io

import pytest

from stillhouse.pipeline.run import progress


def test_a_line_tells_rows_a_second_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 5.0, 20.0, 30.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with progress.shown(True), progress.stage("asking", 1000, "rows") as advance:
        advance(100)  # too early for a line
        advance(300)
    assert capsys.readouterr().err.splitlines() == [
        "asking: 1000 rows",
        "asking: 400 of 1000 rows, 20.0 a second, about 30 s left",
        "asking: done in 30.0 s",
    ]


@pytest.mark.parametrize("closed", [False, True])
def test_a_process_without_standard_error_works_on(closed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr("sys.stderr", stream if closed else None)
    monkeypatch.setattr("logging.raiseExceptions", False)
    with progress.shown(True), progress.stage("asking", 10, "rows") as advance:
        advance(10)
