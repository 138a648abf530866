"""The store of teacher outputs: answers kept once, with a contract. ``docs/store.md`` describes the format."""

from stillhouse.store.fields import Field
from stillhouse.store.keys import Key, hash_rows
from stillhouse.store.reader import Damage, Store
from stillhouse.store.writer import Writer

__all__ = ["Damage", "Field", "Key", "Store", "Writer", "hash_rows"]
