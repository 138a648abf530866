"""A stranger's model folder runs no code, reads no other folder, and takes no memory that its weights do not need."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from stillhouse.errors import RejectedError
from stillhouse.teachers.hub.loading import hub_classifier, hub_embedder
from stillhouse.teachers.hub.models import open_hub
from tests.teachers import hub_folders

CLASSES = ("world", "sports", "business")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_folders.classifier(tmp_path_factory.mktemp("hub") / "model")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def opened(folder: Path) -> torch.nn.Module:
    return hub_classifier(open_hub(folder), CLASSES)


@pytest.mark.fault("C10", "a model's configuration asks for a kernel of a hub, or for code", exit=4)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attn_implementation", "evil/kernel"),
        ("_attn_implementation", "evil/kernel:run"),
        ("attn_implementation", "flash_attention_2"),
        ("attn_implementation", {"": "evil/kernel"}),
        ("_attn_implementation_internal", "evil/kernel"),
        ("experts_implementation", "evil/kernel"),
        ("quantization_config", {"quant_method": "bitsandbytes"}),
        ("auto_map", {"AutoModel": "evil.Model"}),
        ("use_kernels", True),
        ("text_config", {"attn_implementation": "evil/kernel"}),
        ("vision_config", {"deep": [{"auto_map": {"AutoModel": "evil.Model"}}]}),
    ],
)
def test_a_configuration_that_asks_for_code_is_refused(
    key: str, value: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("transformers.integrations.hub_kernels.get_kernel", lambda *given, **_: asked.append(given))
    hub_folders.edit(folder, "config.json", **{key: value})
    with pytest.raises(RejectedError, match=r"Remove the key|never runs code of a model"):
        opened(folder)
    assert asked == []


@pytest.mark.fault("C10", "keys that the architecture does not know", exit=0)
def test_unknown_keys_are_left_out_and_the_answers_are_the_same(saved: Path, folder: Path) -> None:
    ids = hub_folders.encoded(saved)
    hub_folders.edit(folder, "config.json", evil=1, forward="evil", attn_implementation="eager", _commit_hash="x")
    found = opened(folder)
    assert not hasattr(found.model.config, "evil")  # type: ignore[union-attr]
    assert found.model.config._attn_implementation == "eager"  # type: ignore[union-attr]
    with torch.inference_mode():
        assert torch.allclose(found.eval()(ids), opened(saved).eval()(ids), atol=1e-5)


@pytest.mark.fault(
    "C11", "the index of the weights names a pickle, another folder, or a file that is not there", exit=4
)
@pytest.mark.parametrize(
    "name",
    ["evil.bin", "../outside.safetensors", "/tmp/outside.safetensors", "..", "sub/x.safetensors", "gone.safetensors"],
)
def test_an_index_of_weights_names_files_of_its_own_folder_alone(name: str, folder: Path) -> None:
    weights = folder / "model.safetensors"
    (folder.parent / "outside.safetensors").write_bytes(weights.read_bytes())
    (folder / "sub").mkdir()
    (folder / "sub" / "x.safetensors").write_bytes(weights.read_bytes())
    (folder / "evil.bin").write_bytes(b"\x80\x04")
    weights.unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"a": name}}))
    with pytest.raises(RejectedError, match=r"no \.safetensors file in this folder"):
        opened(folder)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": []}', "{", '{"weight_map": {"a": 3}}', "[" * 100_000])
def test_a_broken_index_is_refused_by_name(index: str, folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(RejectedError, match=r"index\.json"):
        opened(folder)


def test_an_index_of_parts_still_loads(saved: Path, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    names = hub_folders.tensor_names(folder / "model-00001-of-00001.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    ids = hub_folders.encoded(saved)
    with torch.inference_mode():
        assert torch.equal(opened(folder).eval()(ids), opened(saved).eval()(ids))


@pytest.mark.fault("C11", "a folder of additions (adapter_config.json) that names another model", exit=4)
def test_a_folder_cannot_send_the_reader_to_another_model(folder: Path, tmp_path: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path)}))
    with pytest.raises(RejectedError, match="merge_and_unload"):
        opened(folder)


@pytest.mark.fault("C11", "modules.json of a sentence model names a folder outside", exit=4)
@pytest.mark.parametrize("path", ["../outside", "/etc", "a/../../outside", 3])
def test_the_modules_of_a_sentence_model_lie_in_its_folder(path: Any, tmp_path: Path) -> None:
    folder = hub_folders.bert(tmp_path / "model")
    kinds = ("Transformer", "Pooling")
    chain = [{"type": f"sentence_transformers.models.{k}", "path": p} for k, p in zip(kinds, ("", path), strict=True)]
    (folder / "modules.json").write_text(json.dumps(chain))
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "config.json").write_text('{"pooling_mode": "mean"}')
    with pytest.raises(RejectedError, match=r"modules\.json"):
        hub_embedder(open_hub(folder))


@pytest.mark.fault("E16", "a configuration asks for more than the weights beside it", exit=4)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10**6),
        ("hidden_size", 10**9),
        ("hidden_size", 10**30),
        ("intermediate_size", 10**8),
        ("max_position_embeddings", 10**10),
        ("vocab_size", 10**10),
        ("hidden_size", -4),
        ("hidden_size", "x" * 1000),
        ("num_hidden_layers", "many"),
        ("id2label", {str(i): "x" for i in range(3000)}),
    ],
)
def test_a_size_is_compared_with_the_weights_before_memory_is_taken(key: str, value: Any, folder: Path) -> None:
    hub_folders.edit(folder, "config.json", **{key: value})
    with pytest.raises(RejectedError) as caught:
        opened(folder)
    assert "config" in str(caught.value) or "classes" in str(caught.value)
    assert len(str(caught.value)) < 70_000
