"""Readers of files: tables, texts, arrays, folders of images, saved datasets."""
