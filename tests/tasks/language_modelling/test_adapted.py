"""A teacher with a LoRA adapter: the folder of the adapter alone, its model beside it."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM

from stillhouse.errors import RejectedError
from stillhouse.teachers.causal.loading import load_causal, open_causal
from tests.tasks.language_modelling.models import save_causal

IDS = torch.tensor([[0, 5, 9, 30]])


def adapter(base: Path, folder: Path, **settings: object) -> Tensor:
    """Save an adapter with weights that change the model; the logits of both together."""
    torch.manual_seed(3)
    net = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "down_proj"], **settings),  # type: ignore[arg-type]
    )
    for name, weight in net.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    net.save_pretrained(str(folder))
    with torch.no_grad():
        found: Tensor = net.eval()(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"use_dora": True}])
def test_an_adapter_answers_as_peft_does(settings: dict[str, object], teacher: Path, tmp_path: Path) -> None:
    expected = adapter(teacher, tmp_path / "adapter", **settings)
    found = open_causal(str(tmp_path / "adapter"), None)
    plain = open_causal(str(teacher), None)
    assert found.vocabulary == plain.vocabulary
    assert found.fingerprint() != plain.fingerprint()
    with torch.no_grad():
        answer, before = (load_causal(files)(input_ids=IDS).logits for files in (found, plain))
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)
    assert (answer - before).abs().max() > 0.01


def test_adapters_that_cannot_be_read_are_refused(teacher: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    adapter(teacher, folder)
    file = folder / "adapter_config.json"
    told = json.loads(file.read_text(encoding="utf-8"))

    def refused(words: str, **changes: object) -> None:
        file.write_text(json.dumps(told | changes), encoding="utf-8")
        with pytest.raises(RejectedError, match=words):
            load_causal(open_causal(str(folder), None))

    refused("only LoRA is read", peft_type="LOHA")
    refused("layer_replication is a form", layer_replication=[[0, 1]])
    refused("names no model", base_model_name_or_path=None)
    refused("is on one side only", target_modules=["q_proj"])
    refused("does not fit the model", r=3)
    small = save_causal(tmp_path / "small", layers=1)
    refused("is on one side only", base_model_name_or_path=str(small))
    refused("is an adapter itself", base_model_name_or_path=str(folder))
    file.write_text(json.dumps(told), encoding="utf-8")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    refused("a pickle")
