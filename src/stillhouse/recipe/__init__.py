"""The recipe: all settings of a run as typed fields; it is read from and written as TOML, and defines the flags.

``pipeline`` unpacks the recipe: classes below it take plain values.
"""

from stillhouse.recipe.made import MadeEntry
from stillhouse.recipe.recipe import Recipe, parse, read, refuse_secrets
from stillhouse.recipe.sections import (
    AUTO,
    VIEWS,
    Assistant,
    Controls,
    Data,
    Endpoint,
    Limits,
    Member,
    MethodEntry,
    Net,
    Output,
    Setting,
    Store,
    StudentSection,
    TaskSection,
    TeacherSection,
    Views,
)
from stillhouse.recipe.training import BATCH, StudentTraining, Training
from stillhouse.toml_tables import merge, read_table

__all__ = [
    "AUTO",
    "BATCH",
    "VIEWS",
    "Assistant",
    "Controls",
    "Data",
    "Endpoint",
    "Limits",
    "MadeEntry",
    "Member",
    "MethodEntry",
    "Net",
    "Output",
    "Recipe",
    "Setting",
    "Store",
    "StudentSection",
    "StudentTraining",
    "TaskSection",
    "TeacherSection",
    "Training",
    "Views",
    "merge",
    "parse",
    "read",
    "read_table",
    "refuse_secrets",
]
