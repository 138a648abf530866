"""Random numbers by counter: the published generator, and a replay that depends on the key alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data.splitmix import mix, permuted, shuffled, stream, words
from tests.data.splitmix_reference import reference, reference_word

INT64 = st.integers(-(2**63), 2**63 - 1)


def test_stream_gives_the_published_outputs_of_seed_1234567() -> None:
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert stream(np.array(1234567, np.uint64), 4).tolist() == published


@given(st.integers(0, 2**64 - 1), st.integers(1, 20))
def test_stream_equals_the_authors_generator(state: int, count: int) -> None:
    assert stream(np.array(state, np.uint64), count).tolist() == reference(state, count)


@given(st.lists(INT64, min_size=1, max_size=20), INT64)
def test_a_word_does_not_depend_on_its_neighbours(rows: list[int], seed: int) -> None:
    together = words(seed, rows)
    alone = [words(seed, row)[0] for row in rows]
    assert together.tolist() == alone


def test_words_do_not_collide_over_a_small_grid() -> None:
    grid = words(np.arange(20)[:, None, None], np.arange(30)[:, None], np.arange(50))
    assert len(np.unique(grid)) == grid.size


def test_order_of_the_parts_matters() -> None:
    assert words(1, 2)[0] != words(2, 1)[0]


def test_mix_is_a_bijection_on_a_sample() -> None:
    states = np.arange(100_000, dtype=np.uint64)
    assert len(np.unique(mix(states))) == len(states)


@given(st.integers(0, 300), INT64)
def test_shuffled_is_a_permutation(count: int, seed: int) -> None:
    assert sorted(shuffled(count, seed).tolist()) == list(range(count))


@given(st.integers(0, 40), INT64, INT64)
def test_shuffled_sorts_positions_by_words_of_the_authors_generator(count: int, seed: int, epoch: int) -> None:
    order = sorted(range(count), key=lambda position: reference_word(seed, epoch, position))
    assert shuffled(count, seed, epoch).tolist() == order


@settings(max_examples=40)
@given(st.integers(1, 400), INT64, INT64)
def test_permuted_is_a_permutation_that_any_part_of_the_places_agrees_with(count: int, seed: int, epoch: int) -> None:
    whole = permuted(np.arange(count), count, seed, epoch)
    assert sorted(whole.tolist()) == list(range(count))
    middle = np.arange(count // 3, count // 2 + 1) % count
    assert permuted(middle, count, seed, epoch).tolist() == whole[middle].tolist()


@pytest.mark.parametrize("count", [2**20 + 1, 10**9, 10**11, 2**40])
def test_permuted_needs_no_table(count: int) -> None:
    places = np.arange(count - 5_000, count)
    found = permuted(places, count, 3)
    assert len(np.unique(found)) == len(places)
    assert found.min() >= 0
    assert found.max() < count
    # Places beside each other go far apart: a third of the count, as for two that are drawn.
    assert abs(np.abs(np.diff(found)).mean() / count - 1 / 3) < 0.02
    assert not np.array_equal(found, permuted(places, count, 4))


def test_permuted_never_changes() -> None:
    """A run that is resumed by a later version goes on in the same order."""
    assert permuted(np.arange(6), 10**9, 1, 21, 0).tolist() == [
        137944364, 628551265, 276254419, 739273727, 761215925, 275701777,
    ]  # fmt: skip
