"""Margin-MSE: only margins count, and triples are found in the batch by the teacher's scores."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stillhouse.methods.margin_mse import MarginMSE, in_batch_triples, margin_mse
from stillhouse.types import Outputs
from tests.methods.examples import one_batch
from tests.methods.golden import rows


@settings(max_examples=20, deadline=None)
@given(mine=st.floats(-100, 100), theirs=st.floats(-100, 100))
def test_a_constant_added_to_all_scores_of_a_net_changes_nothing(mine: float, theirs: float) -> None:
    a, b, c, d = torch.randn(4, 6, dtype=torch.float64)
    torch.testing.assert_close(margin_mse(a + mine, b + mine, c + theirs, d + theirs), margin_mse(a, b, c, d))


def test_triples_that_do_not_count_are_left_out() -> None:
    mask = torch.tensor([True, True, False, True])
    scores = torch.randn(4, 4)
    a, b, c, d = scores[:, mask]
    rubbish = scores.masked_fill(~mask, torch.nan)
    with_rubbish = margin_mse(rubbish[0], rubbish[1], rubbish[2], rubbish[3], mask)
    torch.testing.assert_close(with_rubbish, margin_mse(a, b, c, d))


def test_each_row_is_a_query_its_best_other_row_the_positive_and_the_rest_negatives() -> None:
    scores = torch.tensor([[9.0, 1.0, 2.0], [5.0, 9.0, 3.0], [0.0, 4.0, 9.0]])
    triples = {tuple(triple) for triple in torch.stack(in_batch_triples(scores), 1).tolist()}
    assert triples == {(0, 2, 1), (1, 0, 2), (2, 1, 0)}


def loss(student: Tensor, teacher: Tensor, mask: Tensor | None = None) -> Tensor:
    logits = torch.zeros(len(student), 2)
    mine, theirs = Outputs(logits, {"embedding": student}), Outputs(logits, {"embedding": teacher})
    found: Tensor = MarginMSE()(mine, theirs, one_batch(len(student), mask))["margin"]
    return found


def test_the_batch_gives_the_value_that_loops_over_its_triples_give() -> None:
    student, teacher = rows()
    mine, theirs = student @ student.T, teacher @ teacher.T
    gaps = []
    for query in range(4):
        others = [row for row in range(4) if row != query]
        best = max(others, key=lambda row, query=query: theirs[query, row])  # type: ignore[misc]
        for negative in others:
            if negative != best:
                margins = [s[query, best] - s[query, negative] for s in (mine, theirs)]
                gaps.append((margins[0] - margins[1]) ** 2)
    torch.testing.assert_close(loss(student, teacher), torch.stack(gaps).mean())


def test_fewer_than_three_rows_hold_no_triple() -> None:
    student, teacher = rows()
    assert loss(student[:2], teacher[:2]).item() == 0.0
    assert loss(student, teacher, torch.tensor([True, True, False, False])).item() == 0.0
