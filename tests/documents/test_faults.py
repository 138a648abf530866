"""docs/faults.md says what the tests of faults say."""

from __future__ import annotations

from benchmarks.faults import GROUPS, PAGE, faults, page


def test_the_page_of_faults_is_not_stale() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m benchmarks.faults"


def test_every_fault_has_a_group_and_a_known_exit_code() -> None:
    for fault in faults():
        assert fault.name[0] in GROUPS
        assert fault.code in (0, 1, 2, 3, 4, 5, 75, 129, 130, 137, 141, 143), fault
