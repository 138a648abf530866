"""A tree's rules are the tree: in raw units, with names that a user knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from stillhouse.data.encoders.base import Readable
from stillhouse.data.encoders.table import TableEncoder
from stillhouse.data.encoders.tensors import ArrayEncoder, ImageEncoder
from stillhouse.evaluation.surrogate import fit_surrogate


def table(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": rng.uniform(18, 80, rows), "dose mg": rng.uniform(0, 0.01, rows)})
    frame["site"] = pd.Series(rng.choice(["north", "south", "east"], rows), dtype=object)
    return frame


def rule(frame: pd.DataFrame) -> np.ndarray:
    """What the student says: three classes by a rule that a tree can state."""
    return np.where(frame.site == "north", 2, (frame.age > 50).astype(int))


def follow(rules: str, row: Mapping[Any, Any]) -> str:
    """Read the printed rules as a person would, and return the class they name."""
    depth = 0
    for line in rules.splitlines():
        level, text = line.count("|   "), line.split("--- ")[1]
        if level != depth:
            continue
        if text.startswith("class: "):
            return text.removeprefix("class: ")
        if _holds(text, row):
            depth += 1
    raise AssertionError("the rules name no class")


def _holds(text: str, row: Mapping[Any, Any]) -> bool:
    if found := re.fullmatch(r"(.+?) is (not )?(.+)", text):
        return bool(row[found[1]] == found[3]) != bool(found[2])
    name, sign, threshold = re.fullmatch(r"(.+) (<=|>) +(.+)", text).groups()  # type: ignore[union-attr]
    return (float(row[name]) <= float(threshold)) == (sign == "<=")


def test_a_rule_that_a_tree_can_state_is_found_and_reads_in_raw_units() -> None:
    train, test = table(600, 0), table(200, 1)
    encoder = TableEncoder.fit(train)
    sides = encoder.readable(train), encoder.readable(test)
    assert sides[0] is not None
    assert sides[1] is not None
    found = fit_surrogate(sides[0], rule(train), sides[1], rule(test), rule(test), ["young", "old", "n/a"], 0.95)
    assert found["fidelity"]["value"] > 0.98
    assert "site is not north" in found["rules"]
    threshold = float(re.search(r"age <= ([\d.]+)", found["rules"])[1])  # type: ignore[index]
    assert threshold == pytest.approx(50, abs=1)
    said = [["young", "old", "n/a"][c] for c in rule(test)]
    told = [follow(found["rules"], row) for row in test.to_dict("records")]
    assert np.mean([a == b for a, b in zip(said, told, strict=True)]) == pytest.approx(found["fidelity"]["value"])


def test_fidelity_has_wilsons_interval_and_stands_beside_the_majority() -> None:
    rng = np.random.default_rng(0)
    columns = Readable(rng.normal(size=(300, 4)).astype(np.float32), tuple("wxyz"), frozenset())
    said = (columns.values[:, 0] + rng.normal(size=300) > 0).astype(np.int64)
    found = fit_surrogate(columns, said, columns, said, 1 - said, ["no", "yes"], 0.9)
    same = round(300 * found["fidelity"]["value"])
    low, high = proportion_confint(same, 300, alpha=0.1, method="wilson")
    assert (found["fidelity"]["low"], found["fidelity"]["high"]) == (pytest.approx(low), pytest.approx(high))
    assert found["accuracy"] == pytest.approx(1 - found["fidelity"]["value"])
    assert found["majority"] == pytest.approx(max(said.mean(), 1 - said.mean()))
    assert found["rules"].count("class: ") == found["leaves"]


def test_gaps_are_filled_as_the_encoder_does_and_names_stay_on_one_line() -> None:
    frame = pd.DataFrame({"a\nb": [1.0, np.nan, 3.0], "c": pd.Series(["x", None, "y"], dtype=object)})
    found = TableEncoder.fit(frame).readable(frame)
    assert found is not None
    assert found.names == ("a b", "c = x", "c = y")
    np.testing.assert_array_equal(found.values, [[1, 1, 0], [2, 0, 0], [3, 0, 1]])


def test_small_images_are_read_by_pixel_and_large_ones_not_at_all() -> None:
    small = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    found = ImageEncoder.fit(small).readable(small)
    assert found is not None
    assert found.names[5] == "pixel 1,1"
    assert found.values[1, 5] == small[1, 1, 1]
    large = np.zeros((1, 40, 40))
    assert ImageEncoder.fit(large).readable(large) is None
    arrays = np.eye(3)
    named = ArrayEncoder.fit(arrays).readable(arrays)
    assert named is not None
    assert named.names == ("column 0", "column 1", "column 2")
