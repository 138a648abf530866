"""Small models of real architectures, saved as their own library saves them, with tokenizers trained on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from stillhouse.data.encoders.text import TextEncoder

TEXTS = [
    "The still is hot and the spirit runs clear.",
    "A short one.",
    "Barley, water and yeast are mashed, fermented and distilled twice before the cask is filled and closed for years.",
    "Heads, hearts and tails: only the hearts are kept.",
]
SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
splitter = pre_tokenizers.BertPreTokenizer()
LABELS = {0: "sports", 1: "world", 2: "business"}


def bert_tokenizer() -> Tokenizer:
    """Padding is 0; words are whole."""
    words = sorted({word for text in TEXTS for word, _ in splitter.pre_tokenize_str(text.lower())})
    vocabulary = {word: number for number, word in enumerate([*SPECIALS, *words])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = splitter
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


def roberta_tokenizer() -> Tokenizer:
    """Padding is 1, and 0 stands before every text."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return made


def save(folder: Path, net: Any, tokenizer: Tokenizer) -> Path:
    net.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def bert(folder: Path, **more: Any) -> Path:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer = bert_tokenizer()
    sizes: dict[str, Any] = {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 40} | SIZES | more
    return save(folder, BertModel(BertConfig(**sizes)), tokenizer)


def classifier(folder: Path, **more: Any) -> Path:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    tokenizer = bert_tokenizer()
    sizes: dict[str, Any] = {"vocab_size": tokenizer.get_vocab_size(), "id2label": LABELS} | SIZES | more
    net = BertForSequenceClassification(BertConfig(**sizes))
    torch.nn.init.normal_(net.classifier.weight)  # untrained heads answer all alike, to which any order would do
    return save(folder, net, tokenizer)


def roberta(folder: Path) -> Path:
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    tokenizer = roberta_tokenizer()
    config = RobertaConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=40, pad_token_id=1, **SIZES)
    return save(folder, RobertaModel(config), tokenizer)


def edit(folder: Path, name: str, **changes: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    table = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps({key: value for key, value in table.items() if value is not None}))


def encoded(folder: Path, length: int = 32) -> Tensor:
    """The texts as the folder's own tokenizer gives them, padded with 0."""
    encoder = TextEncoder.from_tokenizer((folder / "tokenizer.json").read_text(), length=length)
    return encoder.encode(np.array(TEXTS, object))


def tensor_names(file: Path) -> list[str]:
    """Names of the tensors in a safetensors file."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())
