"""Causal language models as teachers: from a Hugging Face folder or a GGUF file, asked about windows of tokens."""
