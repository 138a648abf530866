"""The sections that runs of every task have. This folder is the registry: each file ends in ``SECTION = Section(...)``.

A task has a folder ``report`` of the same kind, whose ``__init__`` says ``SECTIONS = in_folder(__name__, __path__)``.
"""
