"""A causal model with a tokenizer of its own, small enough to be made in a moment, and texts in its words."""

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

WORDS = ("the", "cat", "dog", "sat", "on", "a", "mat", "and", "ran", "to", "house", "red", "über", "é")
TEMPLATE = (
    "{% for m in messages %}{{ '<s>' + m['role'] + ':' + m['content'] + '</s>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>assistant:' }}{% endif %}"
)


def texts(count: int, words: int = 30, seed: int = 0) -> list[str]:
    """Random sentences."""
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) for _ in range(draw.randint(words // 2, words))) for _ in range(count)]


def tokenizer(vocabulary: int = 300, seed: int = 0) -> Tokenizer:
    """A byte-level tokenizer, as GPT-2's; another seed merges other pairs."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts(20, seed=seed), trainer)
    return made


def save_causal(
    folder: Path, *, padded: int = 0, layers: int = 2, end: str = "</s>", words: Tokenizer | None = None, seed: int = 0
) -> Path:
    """A random causal model, as ``save_pretrained`` writes it; ``padded``: classes behind the tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    own = tokenizer() if words is None else words
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=own.get_vocab_size() + padded,
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=own, bos_token="<s>", eos_token=end
    )
    made.chat_template = TEMPLATE
    made.save_pretrained(folder)
    return folder


def write_corpus(file: Path, count: int = 24, words: int = 30) -> Path:
    """Documents of six books, as lines of a .jsonl file."""
    lines = [json.dumps({"text": text, "book": f"b{i % 6}"}) for i, text in enumerate(texts(count, words, seed=1))]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def write_chat(file: Path, count: int = 12) -> Path:
    """Dialogues of two turns each."""
    lines = []
    for question, answer in zip(texts(count, 6, seed=2), texts(count, 6, seed=3), strict=True):
        messages = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
            {"role": "user", "content": "and?"},
            {"role": "assistant", "content": "the mat"},
        ]
        lines.append(json.dumps({"messages": messages}))
    file.write_text("\n".join(lines), encoding="utf-8")
    return file
