"""Texts for language models: from files of documents or dialogues to windows of tokens."""
