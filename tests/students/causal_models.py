"""Small causal models and tokenizers for tests; no file is read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

WORDS = "the cat sat on the mat and the dog sat on the log; a cat and a dog are not friends. Ünïcode 🙂 too! "
IDS = 64


def llama(**settings: Any) -> Any:
    """A Llama model with random weights, four layers and grouped queries."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": IDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2}
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
    torch.manual_seed(0)
    made: Any = LlamaForCausalLM(LlamaConfig(**{"initializer_range": 0.3, **sizes, **heads, **special, **settings}))
    return made.eval()


def gemma(**settings: Any) -> Any:
    """A Gemma 2 model: soft caps, windows of attention, embeddings scaled by their size."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    sizes = {"vocab_size": IDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 4, "query_pre_attn_scalar": 8}
    torch.manual_seed(0)
    made: Any = Gemma2ForCausalLM(Gemma2Config(**{"initializer_range": 0.3, **sizes, **heads, **settings}))
    return made.eval()


def gpt2(**settings: Any) -> Any:
    """A GPT-2 model: learned positions, projections in one matrix, tied embeddings."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": IDS, "n_embd": 32, "n_head": 4, "n_layer": 4, "n_positions": 48}
    special = {"bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    made: Any = GPT2LMHeadModel(GPT2Config(**{"initializer_range": 0.3, **sizes, **special, **settings}))
    return made.eval()


def byte_pairs(size: int = 320) -> Any:
    """A fast byte-level BPE tokenizer, trained on ``WORDS``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([WORDS] * 3, trainer)
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")


def windows(rows: int = 3, length: int = 12, ids: int = IDS) -> Tensor:
    """Random windows (rows, 2, length) of one document each."""
    drawn = torch.randint(0, ids, (rows, length), generator=torch.Generator().manual_seed(1))
    return torch.stack([drawn, torch.ones_like(drawn)], 1)
