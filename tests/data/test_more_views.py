"""Cutout, munge, lost and exchanged words: replayed exactly, and distributed as their papers say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import cdist

from stillhouse.data import Views
from stillhouse.data.views.masked import token_neighbours
from stillhouse.errors import UsageError
from tests.data.replay import same_in_any_batch

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(40, 2, 6, 7, generator=GENERATOR)
IDS = torch.randint(5, 50, (40, 9), generator=GENERATOR) * (torch.arange(9) < torch.randint(3, 10, (40, 1)))
IDS[:, 0] = 2
NUMBERS = torch.randn(40, 3, generator=GENERATOR)
KINDS = torch.nn.functional.one_hot(torch.randint(0, 3, (40,), generator=GENERATOR), 3).float()
TABLE = torch.cat([NUMBERS, KINDS], 1)
NEAR = token_neighbours(torch.randn(50, 8, generator=GENERATOR), 4, special_ids=range(5))

CUTOUT = Views("cutout", 6, 3, seed=3, fill=(-9.0, -8.0))
MUNGE = Views("munge", 6, 2.0, seed=3, columns=(0, 1, 2), column_groups=((3, 4, 5),), pool=TABLE)
WORDS = Views("words", 6, 0.5, seed=3, mask_id=4, special_ids=(0, 1, 2, 3, 4))
MASKED = Views("masked", 6, 0.5, seed=3, special_ids=(0, 1, 2, 3, 4), neighbours=NEAR)
ALL = [(CUTOUT, IMAGES), (MUNGE, TABLE), (WORDS, IDS), (MASKED, IDS)]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 5)), min_size=1, max_size=20), st.integers(1, 7))
def test_a_view_is_the_same_in_any_batch(asked: list[tuple[int, int]], batch: int) -> None:
    assert all(same_in_any_batch(policy, inputs, asked, batch) for policy, inputs in ALL)


@pytest.mark.parametrize(("policy", "inputs"), ALL)
def test_view_zero_is_the_row_as_it_is_and_inputs_are_left_alone(policy: Views, inputs: torch.Tensor) -> None:
    before, rows = inputs.clone(), torch.arange(40)
    seen = policy.apply(inputs, rows, rows % 6)
    assert seen[::6].equal(inputs[::6])
    assert not seen[1::6].equal(inputs[1::6])
    assert not policy.apply(inputs, rows, rows * 0 + 1).equal(policy.apply(inputs, rows, rows * 0 + 2))
    assert inputs.equal(before)
    assert (seen.shape, seen.dtype) == (inputs.shape, inputs.dtype)


def test_what_may_be_of_another_class_has_no_label() -> None:
    rows = torch.arange(12)
    assert [policy.labelled for policy, _ in ALL] == [6, 1, 6, 1]
    assert WORDS.targets(rows, rows % 6).equal(rows)
    assert MUNGE.targets(rows, rows % 6).tolist() == [0, *[-1] * 5, 6, *[-1] * 5]


@pytest.mark.parametrize("side", [1, 2, 3, 9])
def test_cutout_fills_one_square_whose_centre_is_uniform(side: int) -> None:
    count = 6000
    seen = Views("cutout", 2, side, seed=0, fill=(5.0,)).apply(
        torch.zeros(count, 1, 6, 7), torch.arange(count), torch.ones(count, dtype=torch.int64)
    )
    squares: dict[bytes, list[tuple[int, int]]] = {}
    for y in range(6):
        for x in range(7):
            image = np.zeros((6, 7))
            up, left = y - side // 2, x - side // 2
            image[max(up, 0) : max(up + side, 0), max(left, 0) : max(left + side, 0)] = 5.0
            squares.setdefault(image.tobytes(), []).append((y, x))
    found: dict[bytes, int] = {}
    for image in seen[:, 0].double().numpy():
        found[image.tobytes()] = found.get(image.tobytes(), 0) + 1
    assert set(found) <= set(squares)
    expected = [count * len(centres) / 42 for centres in squares.values()]
    counts = [found.get(square, 0) for square in squares]
    assert len(squares) == 1 or stats.chisquare(counts, expected).pvalue > 1e-3


def test_cutout_fills_each_channel_with_its_own_value() -> None:
    seen = CUTOUT.apply(IMAGES, torch.arange(40), torch.ones(40, dtype=torch.int64))
    cut = seen != IMAGES
    assert cut[:, 0].equal(cut[:, 1])
    assert (seen[:, 0][cut[:, 0]] == -9).all()
    assert (seen[:, 1][cut[:, 1]] == -8).all()


def test_words_are_lost_with_the_asked_probability_and_never_all() -> None:
    count = 8000
    ids = torch.arange(5, 13).repeat(count, 1)
    ids[:, 0], ids[:, 7] = 2, 0
    views = Views("words", 2, 0.3, seed=1, mask_id=4, special_ids=(0, 1, 2, 3, 4))
    seen = views.apply(ids, torch.arange(count), torch.ones(count, dtype=torch.int64))
    lost = seen == 4
    assert seen[~lost].equal(ids[~lost])
    assert not lost[:, [0, 7]].any()
    assert not lost[:, 1:7].all(1).any()
    kept = 1 - 0.3**6  # the one case that is changed: six lost become five
    numbers = np.bincount(lost.sum(1).numpy(), minlength=6)
    expected = stats.binom.pmf(np.arange(6), 6, 0.3) + np.array([0, 0, 0, 0, 0, 1 - kept])
    assert stats.chisquare(numbers, count * expected).pvalue > 1e-3
    sure = Views("words", 2, 1.0, seed=1, mask_id=4, special_ids=(0, 1, 2, 3, 4))
    assert ((sure.apply(ids, torch.arange(count), torch.ones_like(ids[:, 0])) == 4).sum(1) == 5).all()


def test_words_of_a_text_without_words_stay() -> None:
    ids = torch.tensor([[2, 3, 0, 0]])
    assert WORDS.apply(ids, torch.tensor([0]), torch.tensor([1])).equal(ids)


def test_neighbours_are_those_of_scipy() -> None:
    table = torch.randn(30, 6, generator=torch.Generator().manual_seed(2))
    found = token_neighbours(table, 3, special_ids=(0, 7), chunk=8)
    distances = cdist(table.numpy(), table.numpy(), "cosine")
    distances[:, [0, 7]] = distances[np.arange(30), np.arange(30)] = np.inf
    np.testing.assert_array_equal(found, np.argsort(distances, 1)[:, :3])
    with pytest.raises(UsageError, match="27 others"):
        token_neighbours(table, 28, special_ids=(0, 7))


def test_exchanged_words_become_each_neighbour_alike() -> None:
    count = 6000
    ids = torch.tensor([[2, 9, 30, 0]]).repeat(count, 1)
    seen = Views("masked", 2, 0.4, seed=0, special_ids=(0, 1, 2, 3, 4), neighbours=NEAR).apply(
        ids, torch.arange(count), torch.ones(count, dtype=torch.int64)
    )
    assert seen[:, [0, 3]].equal(ids[:, [0, 3]])
    for place, word in ((1, 9), (2, 30)):
        counts = [(seen[:, place] == other).sum().item() for other in (word, *NEAR[word].tolist())]
        assert stats.chisquare(counts, [count * 0.6, *[count * 0.1] * 4]).pvalue > 1e-3
    with pytest.raises(UsageError, match="has 50 rows"):
        MASKED.apply(ids + 48, torch.arange(count), torch.ones(count, dtype=torch.int64))


def reference_munge(table: np.ndarray, p: float, s: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The paper's exchange for a table of three numbers and one category in three marks; and each row's neighbour."""
    scaled = (table[:, :3] - table[:, :3].min(0)) / np.ptp(table[:, :3], 0)
    kind = table[:, 3:].argmax(1)
    made, near = table.copy(), np.zeros(len(table), int)
    for i in range(len(table)):
        squares = ((scaled - scaled[i]) ** 2).sum(1) + (kind != kind[i])
        squares[i] = np.inf
        near[i] = squares.argmin()
        other = table[near[i]]
        for column in range(3):
            if rng.random() < p:
                made[i, column] = rng.normal(other[column], abs(other[column] - table[i, column]) / s)
        if rng.random() < p:
            made[i, 3:] = other[3:]
    return made, near


def test_munge_has_the_moments_and_the_support_of_the_papers_algorithm() -> None:
    table, rows, count = TABLE.double().numpy(), torch.arange(40), 400
    views = Views(
        "munge", count + 1, 2.0, 3, columns=(0, 1, 2), column_groups=((3, 4, 5),), pool=TABLE, probability=0.4
    )
    seen = np.stack([views.apply(TABLE, rows, rows * 0 + v).numpy() for v in range(1, count + 1)]).astype(float)
    rng = np.random.default_rng(0)
    truth = np.stack([reference_munge(table, 0.4, 2.0, rng)[0] for _ in range(count)])
    near = table[reference_munge(table, 0.4, 2.0, rng)[1]]
    spread = np.abs(near - table)[:, :3]
    scale = np.where(spread > 0, spread, 1)
    moved = [((x[..., :3] - table[:, :3]) / scale).reshape(-1) for x in (seen, truth)]
    for ours, theirs in (moved, [x == 0 for x in moved]):
        assert abs(ours.mean() - theirs.mean()) < 6 * theirs.std() / np.sqrt(len(theirs))
        assert ours.std() == pytest.approx(theirs.std(), rel=0.03)
    changed = seen[..., :3] != table[:, :3]
    noise = ((seen - near)[..., :3] / (scale / 2))[changed & (spread > 0)]
    assert stats.kstest(noise, "norm").pvalue > 1e-3
    own, other = (seen[..., 3:] == table[:, 3:]).all(2), (seen[..., 3:] == near[:, 3:]).all(2)
    assert (own | other).all()  # a category is the row's or its neighbour's, whole
    differ = (table[:, 3:] != near[:, 3:]).any(1)
    if differ.any():
        assert other[:, differ].mean() == pytest.approx(0.4, abs=5 * np.sqrt(0.24 / (count * differ.sum())))


def test_a_number_beside_its_gap_mark_is_taken_whole_where_the_marks_differ() -> None:
    pairs = torch.tensor([[0.0, 1.0], [3.0, 0.0], [0.0, 1.0], [4.0, 0.0]])
    apart = torch.tensor([[0.0] * 3] * 2 + [[9.0] * 3] * 2)  # the nearest row is the other one of the pair
    table = torch.cat([pairs, apart], 1)
    views = Views("munge", 200, 1.0, 0, columns=(0, 2, 3, 4), column_groups=((0, 1),), pool=table, probability=0.5)
    rows = torch.arange(4).repeat_interleave(200)
    seen = views.apply(table[rows], rows, torch.arange(200).repeat(4))[:, :2]
    assert (seen[seen[:, 1] == 1, 0] == 0).all()  # where the mark says "gap", the number is the gap's
    assert set(seen[seen[:, 1] == 0, 0].tolist()) == {3.0, 4.0}


def test_descriptions_tell_all_settings_apart() -> None:
    def munge(**other: object) -> Views:
        given = {"columns": (0, 1, 2), "column_groups": ((3, 4, 5),), "pool": TABLE} | other
        return Views("munge", 6, 2.0, 3, **given)  # type: ignore[arg-type]

    different = [
        *(policy for policy, _ in ALL),
        Views("cutout", 6, 2, seed=3, fill=(-9.0, -8.0)),
        munge(probability=0.4),
        munge(column_groups=()),
        munge(pool=TABLE + 1),
        Views("words", 6, 0.5, seed=3, mask_id=1, special_ids=(0, 1, 2, 3, 4)),
        Views("words", 6, 0.5, seed=3, mask_id=4),
        Views("masked", 6, 0.5, seed=3, special_ids=(0, 1, 2, 3, 4), neighbours=NEAR.flip(1)),
    ]
    assert len({views.describe() for views in different}) == len(different)
    assert munge().describe() == MUNGE.describe()


def test_what_a_policy_lacks_or_cannot_take_is_said() -> None:
    rows = torch.ones(40, dtype=torch.int64)
    with pytest.raises(UsageError, match="pool=inputs"):
        Views("munge", 2, 1.0, 0)
    with pytest.raises(UsageError, match="at least two training rows"):
        Views("munge", 2, 1.0, 0, pool=IMAGES)
    with pytest.raises(UsageError, match="local variance above 0"):
        Views("munge", 2, 0.0, 0, pool=TABLE)
    with pytest.raises(UsageError, match="mask_id=encoder"):
        Views("words", 2, 0.1, 0)
    with pytest.raises(UsageError, match="from 0 to 1"):
        Views("words", 2, 2.0, 0, mask_id=4)
    with pytest.raises(UsageError, match="token_neighbours"):
        Views("masked", 2, 0.1, 0)
    with pytest.raises(UsageError, match="token ids"):
        WORDS.apply(TABLE, rows, rows)
    with pytest.raises(UsageError, match="covers parts of images"):
        CUTOUT.apply(TABLE, rows, rows)
    with pytest.raises(UsageError, match="no column may be in two groups"):
        Views("munge", 2, 1.0, 0, pool=TABLE, column_groups=((0, 1), (1, 2))).apply(TABLE, rows, rows)
