"""The toy from which the project began: on random labels nothing can be learned, so nothing may be claimed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from benchmarks.examples.toy import errors, repeat

REPETITIONS, WORKERS = 200, 2


def test_each_of_the_three_errors_hides_what_the_page_says() -> None:
    shape, loss, rows = errors()
    assert "refuses it" in shape
    assert "(100, 100)" in shape
    assert "the same, bit for bit" in loss
    assert rows.startswith("**Accuracy on training rows.**")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_random_labels_are_called_better_no_more_often_than_the_level() -> None:
    share = REPETITIONS // WORKERS
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        found: Counter[str] = Counter()
        for part in pool.map(repeat, [share] * WORKERS, range(0, REPETITIONS, share)):
            found.update(part)
    assert found.total() == REPETITIONS
    assert found["better"] <= 0.025 * REPETITIONS
