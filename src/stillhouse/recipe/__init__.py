"""The recipe: everything a run is, as typed fields; TOML in and out; the command line's flags are made from it.

The recipe stops at the door: ``pipeline`` unpacks it, and no class of this folder takes one.
"""

from stillhouse.recipe.recipe import Recipe, parse, read
from stillhouse.recipe.sections import (
    Assistant,
    Controls,
    Data,
    Endpoint,
    Member,
    MethodEntry,
    Output,
    Setting,
    Store,
    StudentSection,
    TaskSection,
    TeacherSection,
    Training,
    Views,
)
from stillhouse.toml_tables import merge, read_table, read_table_text

__all__ = [
    "Assistant",
    "Controls",
    "Data",
    "Endpoint",
    "Member",
    "MethodEntry",
    "Output",
    "Recipe",
    "Setting",
    "Store",
    "StudentSection",
    "TaskSection",
    "TeacherSection",
    "Training",
    "Views",
    "merge",
    "parse",
    "read",
    "read_table",
    "read_table_text",
]
