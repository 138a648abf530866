"""Hugging Face models: found, loaded, tuned, described."""
