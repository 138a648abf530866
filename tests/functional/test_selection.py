"""Tokens that are selected: the highest scores of each row, and the same mean whatever the parts of a batch are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stillhouse import methods
from stillhouse.errors import UsageError
from stillhouse.functional.selection import token_weights
from stillhouse.types import Batch, Outputs, Sparse
from tests.functional.test_token_losses import sparse, tokens
from tests.reference.divergences import softmax


@pytest.mark.parametrize("select", ["entropy", "wrong"])
@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_the_tokens_with_the_highest_scores_stand_for_their_row(select: str, share: float) -> None:
    student, teacher, mask = tokens()
    student[~mask] = torch.nan
    q, top = softmax(np.nan_to_num(student.numpy())), teacher.argmax(-1).numpy()
    chosen = np.take_along_axis(q, top[..., None], -1)[..., 0]
    score = -(q * np.log(q)).sum(-1) if select == "entropy" else q.max(-1) - chosen
    found = token_weights(student, torch.from_numpy(top), select, share, mask)
    for row in range(2):
        valid = [t for t in range(5) if mask[row, t]]
        kept = sorted(valid, key=lambda t: -score[row, t])[: math.ceil(share * len(valid))]
        expected = [len(valid) / len(kept) if t in kept else 0.0 for t in range(5)]
        assert found[row].tolist() == pytest.approx(expected)


def batch_of(mask: torch.Tensor) -> Batch:
    index = torch.arange(len(mask))
    return Batch(torch.zeros(len(mask), 1), index, index, index, mask)


@pytest.mark.parametrize("listed", [False, True])
def test_parts_of_a_batch_add_up_to_the_whole_and_only_selected_tokens_learn(listed: bool) -> None:
    student, teacher, mask = tokens()
    student.requires_grad_(True)
    side = Outputs(teacher, sparse=Sparse(*sparse(teacher, 3), 1.0) if listed else None)
    method = methods.get("reverse_kl")(select="entropy", share=0.4)

    def loss(rows: slice) -> torch.Tensor:
        cut = None if side.sparse is None else side.sparse._replace(
            indices=side.sparse.indices[rows], log_probs=side.sparse.log_probs[rows],
            log_tail=None if side.sparse.log_tail is None else side.sparse.log_tail[rows],
        )  # fmt: skip
        found: dict[str, torch.Tensor] = method(
            Outputs(student[rows]), Outputs(teacher[rows], sparse=cut), batch_of(mask[rows])
        )
        return found["reverse_kl"]

    counts = mask.sum(-1)
    parts = sum(loss(slice(row, row + 1)) * counts[row] / counts.sum() for row in range(2))
    whole = loss(slice(None))
    torch.testing.assert_close(parts, whole)
    (slope,) = torch.autograd.grad(whole, student)
    learned = (slope != 0).any(-1)
    assert learned.sum(-1).tolist() == [2, 1]  # ceil(0.4 x 3) and ceil(0.4 x 1)
    assert not (learned & ~mask).any()


def test_all_tokens_are_the_plain_loss() -> None:
    student, teacher, mask = tokens()
    plain = methods.get("forward_kl")()(Outputs(student), Outputs(teacher), batch_of(mask))
    whole = methods.get("forward_kl")(select="wrong", share=1.0)(Outputs(student), Outputs(teacher), batch_of(mask))
    torch.testing.assert_close(whole["forward_kl"], plain["forward_kl"])


def test_empty_mask_and_wrong_settings() -> None:
    student, teacher, mask = tokens()
    student.requires_grad_(True)
    method = methods.get("forward_kl")(select="wrong")
    loss = method(Outputs(student), Outputs(teacher), batch_of(torch.zeros_like(mask)))["forward_kl"]
    (slope,) = torch.autograd.grad(loss, student)
    assert loss.item() == 0.0
    assert (slope == 0).all()
    for wrong in ({"select": "entropie"}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(UsageError, match="choose one of all, entropy, wrong"):
            methods.get("forward_kl")(**wrong)
    with pytest.raises(UsageError, match="single answers have no tokens"):
        method(Outputs(student[0]), Outputs(teacher[0]), batch_of(mask[0]))
