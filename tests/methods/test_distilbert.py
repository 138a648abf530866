"""DistilBERT: both terms count the same tokens, and equal widths need no projector."""

from __future__ import annotations

import torch
from torch import nn

from stillhouse.methods.distilbert import DistilBERT, distilbert
from stillhouse.methods.hinton import hinton
from stillhouse.types import Outputs, Spec
from tests.methods.examples import one_batch


def test_padding_tokens_changes_neither_term() -> None:
    logits, hidden = [torch.randn(2, 3, 5) for _ in range(2)], [torch.randn(2, 3, 4) for _ in range(2)]
    mask = torch.tensor([[True, True, True, False], [True, True, True, False]])
    z, y, h, g = (torch.cat([side, torch.full_like(side[:, :1], torch.nan)], 1) for side in (*logits, *hidden))
    plain = distilbert(logits[0], logits[1], hidden[0], hidden[1])
    torch.testing.assert_close(distilbert(z, y, h, g, mask=mask), plain)


def test_the_terms_have_the_published_weights() -> None:
    method = DistilBERT()
    method.build(Spec(3, {"embedding": (4, 6)}), Spec(3, {"embedding": (4, 6)}))
    assert isinstance(method.projector, nn.Identity)
    student = Outputs(torch.randn(2, 3), {"embedding": torch.randn(2, 4, 6)})
    teacher = Outputs(torch.randn(2, 3), {"embedding": torch.randn(2, 4, 6)})
    terms = method(student, teacher, one_batch(2))
    cosines = torch.cosine_similarity(student.features["embedding"], teacher.features["embedding"], -1)
    torch.testing.assert_close(terms["soft_targets"], 5 * hinton(student.logits, teacher.logits, 2.0))
    torch.testing.assert_close(terms["hidden_cosine"], 1 - cosines.mean())


def test_hidden_states_of_other_widths_are_joined_by_a_linear_map_on_each_token() -> None:
    method = DistilBERT()
    method.build(Spec(3, {"embedding": (4, 6)}), Spec(3, {"embedding": (4, 8)}))
    assert isinstance(method.projector, nn.Linear)
