"""All generated pages by name."""

from __future__ import annotations

from pathlib import Path

from benchmarks.reference.commands import commands_page
from benchmarks.reference.exit_codes import exit_codes_page
from benchmarks.reference.nets import nets_page
from benchmarks.reference.python import python_page
from benchmarks.reference.recipe import recipe_page

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
MADE = "Made by `python -m benchmarks.reference` from the code; a test fails where it is stale."


def pages() -> dict[str, str]:
    """Name and text of each page."""
    made = {
        "recipe.md": recipe_page,
        "commands.md": commands_page,
        "nets.md": nets_page,
        "python.md": python_page,
        "exit-codes.md": exit_codes_page,
    }
    return {name: page(MADE) for name, page in made.items()}
