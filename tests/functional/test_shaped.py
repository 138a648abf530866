"""A tail that is spread over the classes in a given shape, against dense targets made by numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stillhouse.errors import UsageError
from stillhouse.functional import divergences
from stillhouse.functional.kept_classes import kept_shaped
from stillhouse.functional.listed import listed_divergence
from stillhouse.functional.shaped import shaped_log_probs
from tests.functional.test_token_losses import SETTINGS, sparse, tokens
from tests.reference import divergences as reference


def dense(ids: np.ndarray, p: np.ndarray, tail: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The same targets, token by token."""
    found = np.zeros((*ids.shape[:2], shape.shape[1]))
    for row, place in np.ndindex(*ids.shape[:2]):
        rest = shape[row].copy()
        rest[ids[row, place]] = 0.0
        found[row, place] = tail[row, place] * rest / rest.sum()
        found[row, place, ids[row, place]] = p[row, place]
    return found


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_every_divergence_takes_a_shaped_tail(name: str, temperature: float) -> None:
    student, teacher, mask = tokens()
    ids, log_p, log_tail = sparse(teacher / temperature, 3)
    shape = torch.rand(2, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    of = getattr(divergences, name)
    found = listed_divergence(
        of, student, ids, log_p, log_tail, temperature, shape, temperature=temperature, mask=mask, **SETTINGS[name]
    )
    targets = np.log(dense(ids.numpy(), log_p.exp().numpy(), log_tail.exp().numpy(), shape.numpy()))
    expected = getattr(reference, name)(
        student[mask].numpy(), temperature * targets[mask.numpy()], temperature=temperature, **SETTINGS[name]
    )
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_a_student_that_lacks_classes_gets_their_mass_in_the_class_of_the_rest() -> None:
    _, teacher, _ = tokens()
    ids, log_p, log_tail = sparse(teacher, 3)
    ids[0, 0, 1] = -1
    log_tail[0, 0] = (1 - log_p[0, 0, [0, 2]].exp().sum()).log()
    shape = torch.rand(2, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    table = torch.tensor([4, 0, 1, 4, 2, 4, 4, 3, 4, 4, 4, 4])  # 4 of 12 classes are kept
    whole = shaped_log_probs(ids, log_p, log_tail, shape)
    own = shaped_log_probs(*kept_shaped(ids, log_p, log_tail, shape, table))
    expected = torch.zeros(2, 5, 5, dtype=torch.float64).index_add(2, table, whole.exp())
    torch.testing.assert_close(own.exp(), expected)


def test_unused_places_and_a_shape_without_mass_outside_of_the_list() -> None:
    half = torch.tensor(0.5).log()
    ids = torch.tensor([[[2, -1], [0, 1]]])
    log_p = torch.stack([torch.stack([half, torch.tensor(9.0)]), torch.stack([half, half])]).unsqueeze(0)
    log_tail = torch.tensor([[0.5, 1e-4]]).log()
    found = shaped_log_probs(ids, log_p, log_tail, torch.tensor([[1.0, 1.0, 0.0]])).exp()
    torch.testing.assert_close(found, torch.tensor([[[0.25, 0.25, 0.5], [0.5, 0.5, 0.0]]]))
    with pytest.raises(UsageError, match=r"\(B, C\) beside"):
        shaped_log_probs(ids, log_p, log_tail, torch.ones(2, 3))
