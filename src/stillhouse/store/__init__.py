"""The store of teacher outputs: each answer is kept once, under a contract. ``docs/store.md`` describes the format."""

from stillhouse.store.codecs import Codec, Dense, Sparse, TopK
from stillhouse.store.fields import Field
from stillhouse.store.hidden import Hidden
from stillhouse.store.keys import Key, hash_rows
from stillhouse.store.maintenance import Listing, check_stores, gc, ls, repair, supersede, unanswered, verify, why
from stillhouse.store.probe import Cost, GradientError, best_within, codec, compare, gradient_error
from stillhouse.store.reader import Store
from stillhouse.store.sampling import Sampled
from stillhouse.store.shaped import ShapedTail
from stillhouse.store.shards import Damage
from stillhouse.store.writer import Writer

__all__ = [
    "Codec",
    "Cost",
    "Damage",
    "Dense",
    "Field",
    "GradientError",
    "Hidden",
    "Key",
    "Listing",
    "Sampled",
    "ShapedTail",
    "Sparse",
    "Store",
    "TopK",
    "Writer",
    "best_within",
    "check_stores",
    "codec",
    "compare",
    "gc",
    "gradient_error",
    "hash_rows",
    "ls",
    "repair",
    "supersede",
    "unanswered",
    "verify",
    "why",
]
