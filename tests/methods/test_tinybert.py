"""TinyBERT: padding and added masks count for nothing, and soft targets are not divided by the classes."""

from __future__ import annotations

import pytest
import torch

from stillhouse.errors import UsageError
from stillhouse.methods.hinton import hinton
from stillhouse.methods.tinybert import TinyBERT, tinybert
from stillhouse.types import Outputs, Spec
from tests.methods.examples import one_batch


def test_padding_tokens_changes_nothing() -> None:
    hidden, scores = torch.randn(2, 2, 3, 4), torch.randn(2, 2, 2, 3, 3)
    mask = torch.tensor([[True, True, True, False]] * 2)
    h, a = torch.full((2, 2, 4, 4), torch.nan), torch.full((2, 2, 2, 4, 4), torch.nan)
    h[:, :, :3], a[..., :3, :3] = hidden, scores
    plain = tinybert(hidden[0], hidden[1], scores[0], scores[1])
    torch.testing.assert_close(tinybert(h[0], h[1], a[0], a[1], mask), plain)


def test_sentences_of_several_lengths_count_by_their_tokens() -> None:
    scores = torch.randn(2, 2, 3, 3), torch.randn(2, 2, 3, 3)
    hidden = torch.zeros(2, 3, 4), torch.zeros(2, 3, 4)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    gaps = (scores[0] - scores[1]).square()
    by_hand = (gaps[0].mean((0, 2)).sum() + gaps[1, :, 0, 0].mean()) / 4
    torch.testing.assert_close(tinybert(*hidden, *scores, mask=mask), by_hand)


def test_keys_that_one_model_rules_out_by_adding_a_large_number_count_as_0_there() -> None:
    scores = torch.randn(1, 1, 2, 2), torch.randn(1, 1, 2, 2)
    hidden = torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)
    masked = torch.zeros(1, 1, 2, 2)
    masked[..., 1] = -10000.0
    expected = tinybert(*hidden, scores[0] * (masked == 0), scores[1] * (masked == 0))
    torch.testing.assert_close(tinybert(*hidden, scores[0] + masked, scores[1] + masked), expected)


def test_soft_targets_are_a_sum_over_classes_and_carry_the_square_of_the_temperature() -> None:
    method = TinyBERT(["a"], ["b"], temperature=3.0)
    method.build(Spec(50, {"a": (3, 4)}), Spec(50, {"b": (3, 6)}))
    student = Outputs(torch.randn(2, 50), {"a": torch.randn(2, 3, 4)})
    teacher = Outputs(torch.randn(2, 50), {"b": torch.randn(2, 3, 6)})
    terms = method(student, teacher, one_batch(2))
    torch.testing.assert_close(terms["soft_targets"], hinton(student.logits, teacher.logits, 3.0))
    assert set(terms) == {"hidden", "soft_targets"}


def test_named_attention_modules_are_tapped_for_their_scores() -> None:
    method = TinyBERT(["a", "b"], ["c", "d"], ["s"], ["t"])
    assert method.student_layers == ("a", "b", "s:scores")
    assert method.teacher_layers == ("c", "d", "t:scores")
    tokens, heads = (3, 4), (2, 3, 3)
    method.build(
        Spec(5, {"a": tokens, "b": tokens, "s:scores": heads}), Spec(5, {"c": tokens, "d": tokens, "t:scores": heads})
    )
    features = {"a": torch.randn(2, *tokens), "b": torch.randn(2, *tokens), "s:scores": torch.randn(2, *heads)}
    targets = {"c": features["a"], "d": features["b"], "t:scores": torch.randn(2, *heads)}
    terms = method(Outputs(torch.zeros(2, 5), features), Outputs(torch.zeros(2, 5), targets), one_batch(2))
    torch.testing.assert_close(terms["attention"], (features["s:scores"] - targets["t:scores"]).square().mean())


def test_another_number_of_heads_is_refused_and_points_to_the_method_that_can() -> None:
    method = TinyBERT(["a"], ["b"], ["s"], ["t"])
    student = Spec(5, {"a": (3, 4), "s:scores": (2, 3, 3)})
    with pytest.raises(UsageError, match=r"\(2, 3, 3\).*\(4, 3, 3\).*minilm"):
        method.build(student, Spec(5, {"b": (3, 4), "t:scores": (4, 3, 3)}))
