"""How `stillhouse draft` shows what it measured."""

from __future__ import annotations

from typing import Any

from stillhouse.cli.shared import console, say

COLUMNS = ("draft", "gamma", "tokens a cycle", "acceptance", "break-even", "speed", "same text")


def show_drafts(found: dict[str, Any]) -> None:
    """Write a table with a line for each draft and gamma, and plain decoding below it."""
    from rich.table import Table

    table = Table(*COLUMNS)
    for row in found["drafts"]:
        table.add_row(*cells(row, found["prompts"]))
    console().print(table)
    say(
        f"Plain decoding: {found['plain']['tokens_per_second']:.1f} tokens a second, {found['prompts']} texts of up to "
        f"{found['new_tokens']} new tokens. Speed is a multiple of that, measured in turns. Break-even: the acceptance "
        "that a draft of this cost needs."
    )


def cells(row: dict[str, Any], prompts: int) -> list[str]:
    """The cells of a line."""
    accepted, even, same = row["acceptance"], row["break_even"], row["identical"]
    return [
        row["draft"],
        str(row["gamma"]),
        f"{row['tokens_per_cycle']:.2f}",
        "-" if accepted is None else f"{accepted:.2f}",
        "never" if even is None else f"{even:.2f}",
        f"{row['speed']:.2f}x",
        "-" if same is None else f"{same} of {prompts}",
    ]
