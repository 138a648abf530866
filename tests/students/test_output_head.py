"""The output layer of causal models: scales and soft caps are part of the logits that a loss in chunks sees."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.functional.divergences import forward_kl, reverse_kl
from stillhouse.functional.vocabulary import vocabulary_loss
from stillhouse.output_head import output_head

transformers = pytest.importorskip("transformers")
SMALL = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
SHAPED = {
    "Llama": {},
    "Gemma2": {"final_logit_softcapping": 0.5},
    "Cohere": {"logit_scale": 0.0625},
    "Granite": {"logits_scaling": 8.0},
}


def model_of(family: str) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SMALL, **SHAPED[family])
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.5)
    return model


@pytest.mark.parametrize("family", SHAPED)
@pytest.mark.parametrize("divergence", [forward_kl, reverse_kl])
def test_logit_soft_cap_and_scale_respected(family: str, divergence: Any) -> None:
    model, ids = model_of(family), torch.arange(3, 21).reshape(2, 9)
    head, teacher = output_head(model), 2 * torch.randn(2, 9, 40)
    hidden = model.base_model(input_ids=ids).last_hidden_state.detach().requires_grad_(True)
    weight = head.weight

    def own(states: Tensor) -> Tensor:
        """The model's own way from hidden states to logits."""
        handle = model.base_model.register_forward_hook(lambda *call: type(call[2])(last_hidden_state=states))
        try:
            logits: Tensor = model(input_ids=ids).logits
        finally:
            handle.remove()
        return logits

    plain = divergence(own(hidden), teacher, temperature=2.0)
    ours = vocabulary_loss(
        divergence, hidden, weight, teacher, bias=head.bias, scale=head.scale, cap=head.cap, temperature=2.0, chunk=4
    )
    torch.testing.assert_close(ours, plain)
    for a, b in zip(*(torch.autograd.grad(loss, [hidden, weight]) for loss in (ours, plain)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    by_states = vocabulary_loss(
        divergence, hidden, weight, hidden.detach(), teacher_weight=weight.detach(), scale=head.scale, cap=head.cap,
        teacher_scale=head.scale, teacher_cap=head.cap,
    )  # fmt: skip
    assert by_states.item() == pytest.approx(0.0, abs=1e-5)


def test_a_model_that_does_more_to_its_logits_is_refused() -> None:
    model = model_of("Llama")
    model.register_forward_hook(lambda *call: type(call[2])(logits=call[2].logits.clamp(max=0.5)))
    with pytest.raises(UsageError, match="does more to its logits"):
        output_head(model)


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"cap": -1.0}, {"teacher_cap": 0.0}])
def test_a_scale_or_cap_that_is_no_such_thing_is_refused(wrong: dict[str, float]) -> None:
    states, weight = torch.randn(3, 4), torch.randn(5, 4)
    with pytest.raises(UsageError, match="must be above 0"):
        vocabulary_loss(forward_kl, states, weight, torch.randn(3, 5), **wrong)  # type: ignore[arg-type]
