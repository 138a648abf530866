"""Each parser answers any bytes with a value or with an error of the product, never with a defect."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, tried

CORPUS = Path(__file__).parent / "corpus"
TRIES = {  # a few seconds each
    "recipe": 150, "csv": 80, "jsonl": 150, "manifest": 150, "card": 150, "answer": 500, "journal": 200, "npz": 300,
    "weights": 300,
}  # fmt: skip
SEEDS = {
    name: [file.read_bytes() for file in sorted((CORPUS / name).iterdir()) if name != "card" or file.suffix == ".json"]
    for name in TARGETS
}
TOKENS = [
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b"'", b",", b":", b"{", b"}", b"[", b"]", b"[" * 3000,
    b'{"a":' * 3000, b"null", b"true", b"NaN", b"-1", b"1e999", b"9" * 400, b"\\ud800", b"\xed\xa0\x80", b"..", b"/",
    b"x" * 70_000, b"\x93NUMPY", b"PK\x03\x04", b"\xff" * 8, b"\0" * 8, b"=cmd", b"\x1b[2J", b"kind",
]  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "insert", "delete", "repeat", "cut", "number", "splice"]),
        st.integers(0, 1 << 20),
        st.integers(0, 1 << 20),
    ),
    max_size=6,
)


def edited(data: bytes, edits: list[tuple[str, int, int]], other: bytes) -> bytes:
    """The bytes after some edits, each by two numbers."""
    for kind, a, b in edits:
        at = a % (len(data) + 1)
        end = min(len(data), at + b % 64)
        if kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << b % 8)]) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + TOKENS[b % len(TOKENS)] + data[at:]
        elif kind == "delete":
            data = data[:at] + data[end:]
        elif kind == "repeat":
            data = data[:at] + data[at:end] * (1 + b % 5) + data[end:]
        elif kind == "cut":
            data = data[:at]
        elif kind == "number" and at < len(data):
            digit = next((i for i in range(at, len(data)) if data[i : i + 1].isdigit()), None)
            data = data if digit is None else data[:digit] + str(b - (1 << 19)).encode() + data[digit + 1 :]
        elif kind == "splice" and other:
            data = data[:at] + other[b % len(other) :]
        data = data[: 1 << 18]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_read(name: str, tmp_path: Path) -> None:
    assert SEEDS[name]
    TARGETS[name](SEEDS[name][0], tmp_path)
    for seed in SEEDS[name]:
        tried(name, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.fault("F18", "any bytes in place of a recipe, a table, a manifest, a card, an answer or an array", exit=4)
@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_are_unexpected(name: str, tmp_path: Path) -> None:
    @settings(
        max_examples=TRIES[name],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(SEEDS[name]), st.sampled_from(SEEDS[name]), EDITS)
    def tries(seed: bytes, other: bytes, edits: list[tuple[str, int, int]]) -> None:
        tried(name, edited(seed, edits, other), tmp_path)

    tries()
