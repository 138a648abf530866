"""Function matching's views: blends that replay, have no label, and belong to the rows they are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stillhouse.data import Views
from stillhouse.errors import UsageError
from tests.data.replay import same_in_any_batch
from tests.data.splitmix_reference import reference, reference_word

POOL = torch.randn(40, 2, 3, 3, generator=torch.Generator().manual_seed(0))
MIXUP = Views("mixup", 5, 0.0, seed=3, pool=POOL)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 4)), min_size=1, max_size=30), st.integers(1, 7))
def test_a_blend_is_the_same_in_any_batch(asked: list[tuple[int, int]], batch: int) -> None:
    assert same_in_any_batch(MIXUP, POOL, asked, batch)


def test_partner_and_share_are_those_of_the_published_generator() -> None:
    for row, view in ((0, 1), (7, 4), (39, 2)):
        partner, share = reference(reference_word(3, 13, row, view), 2)
        c = (share >> 40) / 2**24
        expected = c * POOL[row].double() + (1 - c) * POOL[partner % 40].double()
        got = MIXUP.apply(POOL[row][None], torch.tensor([row]), torch.tensor([view]))[0]
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_shares_are_uniform_and_partners_are_all_rows_alike() -> None:
    count = 20_000
    pool = torch.stack([torch.zeros(count), torch.arange(1.0, count + 1)], 1)
    rows, view = torch.arange(count), torch.ones(count, dtype=torch.int64)
    inputs = torch.tensor([1.0, 0.0]).expand(count, 2)  # not in the pool: the first column is the share itself
    blends = Views("mixup", 2, 0.0, seed=0, pool=pool).apply(inputs, rows, view).double().numpy()
    share = blends[:, 0]
    assert stats.kstest(share, stats.uniform.cdf).pvalue > 1e-3
    sure = share < 0.9
    partners = blends[sure, 1] / (1 - share[sure])
    assert stats.kstest(partners / count, stats.uniform.cdf).pvalue > 1e-3
    assert abs(stats.pearsonr(share[sure], partners).statistic) < 0.03


def test_view_zero_is_the_row_as_it_is_and_alone_keeps_its_label() -> None:
    rows, views = torch.arange(40), torch.arange(40) % 5
    blends = MIXUP.apply(POOL, rows, views)
    assert blends[views == 0].equal(POOL[views == 0])
    assert (blends[views > 0] != POOL[views > 0]).flatten(1).any(1).all()
    labels = MIXUP.targets(rows % 10, views)
    assert labels[views == 0].equal((rows % 10)[views == 0])
    assert (labels[views > 0] == -1).all()
    assert MIXUP.labelled == 1


def test_views_that_keep_what_is_shown_keep_their_label() -> None:
    shift, rows = Views("shift", 8, 2.0, 0), torch.arange(40)
    assert shift.targets(rows, rows % 8).equal(rows)
    assert shift.labelled == 8


def test_a_store_of_blends_belongs_to_the_contents_of_all_rows() -> None:
    changed = POOL.clone()
    changed[17, 0, 0, 0] += 1
    texts = {
        MIXUP.describe(),
        Views("mixup", 5, 0.0, seed=3, pool=changed).describe(),
        Views("mixup", 5, 0.0, seed=4, pool=POOL).describe(),
        Views("mixup", 6, 0.0, seed=3, pool=POOL).describe(),
    }
    assert len(texts) == 4
    assert Views("mixup", 5, 9.0, seed=3, pool=POOL.clone()).describe() == MIXUP.describe()


def test_what_cannot_be_blended_is_refused() -> None:
    with pytest.raises(UsageError, match="pool=inputs"):
        Views("mixup", 5, 0.0, 0)
    rows = torch.ones(40, dtype=torch.int64)
    with pytest.raises(UsageError, match="fractions"):
        MIXUP.apply(POOL.long(), rows, rows)
