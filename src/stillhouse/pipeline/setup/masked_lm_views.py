"""The words that a masked language model would write in each place of the training texts: asked once, kept on disk."""

from __future__ import annotations

import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from torch import Tensor

from stillhouse import hashes
from stillhouse.archives import open_npz
from stillhouse.data import Encoder, TextEncoder
from stillhouse.data.views.base import Candidates
from stillhouse.errors import UsageError
from stillhouse.files import add_files, write_npz
from stillhouse.pipeline.run.progress import stage

CANDIDATES = "candidates.npz"
FORM = "turns=7 own=0 form=1"  # how the model is asked: another form is asked again


class Guesses:
    """A ``Guesser`` on the local folder of a masked language model.

    Args:
        folder: of the model.
        encoder: of the run's texts.
        k: number of candidates of each place.
        run: the run folder, where ``candidates.npz`` is kept.
    """

    def __init__(self, folder: Path, encoder: Any, k: int, run: Path) -> None:
        self.folder, self.encoder, self.k, self.run = folder, encoder, k, run

    @cached_property
    def key(self) -> str:
        """Hash of the model's files, and how it is asked."""
        return f"{folder_digest(self.folder)} k={self.k} {FORM}"

    def candidates(self, inputs: Tensor) -> Candidates:
        """Candidates of each place of token ids (N, L): those kept, where they are of the same rows and model."""
        key = f"{self.key} rows={xxhash.xxh3_128_hexdigest(inputs.numpy().tobytes())}"
        path = self.run / CANDIDATES
        found = kept(path, key)
        if found is None:
            found = self.ask(inputs)
            write_npz(path, {"key": np.array(key), **found._asdict()})
        return found

    def ask(self, inputs: Tensor) -> Candidates:
        """Ask the model."""
        from stillhouse.teachers.hub.loading import hub_masked
        from stillhouse.teachers.hub.masked_words import guess
        from stillhouse.teachers.hub.models import open_hub

        encoder: TextEncoder = self.encoder
        net = hub_masked(open_hub(self.folder))
        with stage("words that fit their place", len(inputs), "texts") as advance:
            return guess(
                net,
                inputs,
                self.k,
                mask_id=encoder.mask_id,
                special_ids=encoder.special_ids,
                vocabulary=encoder.vocabulary,
                advance=advance,
            )


def kept(path: Path, key: str) -> Candidates | None:
    """What is kept under this key; None where there is nothing, or nothing whole."""
    hashes.check(path)
    try:
        with open_npz(path) as file:
            return Candidates(file["ids"], file["chances"]) if str(file["key"]) == key else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def check_model(policy: str, folder: Path | None, encoder: Encoder) -> None:
    """Refuse a [views] model that the policy does not ask, that is no folder, or whose tokenizer is not the run's.

    Raises:
        UsageError: says which line to fix.
        RejectedError: the folder holds no model that is safe to load.
    """
    if folder is None:
        return
    if policy != "masked" or encoder.text is None:
        raise UsageError(
            f'[views] model = "{folder}" guesses words of texts for `policy = "masked"` only. Write that policy, or '
            "remove the model."
        )
    from stillhouse.teachers.hub.models import open_hub

    if not folder.is_dir():
        raise UsageError(
            f'[views] model = "{folder}" is not a folder. Give that of a masked language model, with its config.json, '
            "model.safetensors and tokenizer.json."
        )
    if not encoder.text.same_ids(open_hub(folder).tokenizer_json):
        raise UsageError(
            f'[views] model = "{folder}": its tokenizer gives other ids than the one that splits the texts. Write '
            f'`tokenizer = "{folder / "tokenizer.json"}"` into [data], or use a model with the teacher\'s tokenizer.'
        )
    if not encoder.text.masks:
        raise UsageError(
            f'[views] model = "{folder}": its tokenizer has no mask, so it is no masked language model. Use one that '
            "was trained to fill masks, such as a BERT."
        )


def folder_digest(folder: Path) -> str:
    """Hash of the names and contents of a model's files."""
    digest = xxhash.xxh3_64()
    add_files(digest, sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors")), folder)
    return digest.hexdigest()
