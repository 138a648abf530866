"""Rules say what the tree does, in the units and with the words of the raw table."""

import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse import students
from stillhouse.errors import UsageError
from stillhouse.students.rules import Column, Leaf, as_rules
from stillhouse.students.trees import TreeEnsemble
from stillhouse.tasks.classification.predictor import class_leaf

COLUMNS = [Column("age", mean=50.0, factor=0.1), Column("sex", "F"), Column("sex", "M"), Column("dose\n(mg)")]
CLASSES = ["well", "ill", "dead"]


def classes(names: list[str]) -> Callable[[NDArray[np.float64]], Leaf]:
    """What the outputs of a tree over classes say."""
    return partial(class_leaf, classes=names)


def patients(rows: int) -> tuple[pd.DataFrame, Tensor]:
    """A raw table and what COLUMNS say its encoding is."""
    draw = np.random.default_rng(0)
    raw = pd.DataFrame(
        {
            "age": draw.integers(20, 90, rows),
            "sex": draw.choice(["F", "M"], rows),
            "dose (mg)": draw.uniform(0, 4, rows),
        }
    )
    encoded = np.column_stack([(raw["age"] - 50) * 0.1, raw["sex"] == "F", raw["sex"] == "M", raw["dose (mg)"]])
    return raw, torch.from_numpy(encoded.astype(np.float32))


def grown() -> tuple[pd.DataFrame, Tensor, TreeEnsemble]:
    raw, x = patients(400)
    p = np.tile([1.0, 0.0, 0.0], (400, 1))
    p[raw["dose (mg)"].to_numpy() > 1] = [0.9, 0.1, 0.0]
    p[((raw["age"] > 64) & (raw["sex"] == "M")).to_numpy()] = [0.2, 0.7, 0.1]
    tree = students.fit_soft(
        "decision_tree", inputs=x, targets=torch.from_numpy(p), weights=None, settings={"smoothing": 0.0}, seed=0
    )
    assert isinstance(tree, TreeEnsemble)
    return raw, x, tree


def follow(text: str, row: pd.Series) -> str:
    """A reader: goes down the rules that hold for a raw row, and returns the leaf."""
    depth = 0
    for line in text.splitlines():
        bars, rule = re.fullmatch(r"((?:\|   )*)\|--- (.*)", line).groups()  # type: ignore[union-attr]
        if len(bars) // 4 != depth:
            continue
        if rule.startswith("class: "):
            return rule
        depth += holds(rule, row)
    raise AssertionError("no leaf was reached")


def holds(rule: str, row: pd.Series) -> bool:
    for sign in (" <= ", " >  ", " is not ", " is "):
        name, found, value = rule.partition(sign)
        if found and "is" in sign:
            return bool(row[name] == value) == (sign == " is ")
        if found:
            return bool(float(row[name]) <= float(value)) == (sign == " <= ")
    raise AssertionError(rule)


def test_a_reader_of_the_rules_answers_as_the_tree_does() -> None:
    raw, x, tree = grown()
    text = as_rules(tree, COLUMNS, classes(CLASSES))
    probabilities = tree(x).softmax(-1)
    for number in range(0, 400, 7):
        leaf = follow(text, raw.iloc[number])
        said = dict(re.findall(r"(\w+) (\d\.\d\d)", leaf))
        assert leaf.startswith(f"class: {CLASSES[int(probabilities[number].argmax())]} ")
        for name, chance in zip(CLASSES, probabilities[number].tolist(), strict=True):
            assert float(said.get(name, 0)) == pytest.approx(chance, abs=0.006)


def test_rules_speak_of_the_raw_columns() -> None:
    text = as_rules(grown()[2], COLUMNS, classes(CLASSES))
    assert "age <= 64.50" in text
    assert re.search(r"sex is (not )?[MF]\n", text)
    assert "dose (mg) >  1.0" in text


def test_the_shares_of_the_leaves_are_those_of_the_rows_that_end_there() -> None:
    raw, _, tree = grown()
    text = as_rules(tree, COLUMNS, classes(CLASSES))
    leaves = [line.split("--- ")[1] for line in text.splitlines() if "class: " in line]
    ends = [follow(text, raw.iloc[i]) for i in range(len(raw))]
    for leaf in set(leaves):
        printed = sum(float(x) for one in leaves if one == leaf for x in re.findall(r"([\d.]+)% of", one))
        assert printed == pytest.approx(100 * ends.count(leaf) / len(raw), abs=0.06 * leaves.count(leaf))


def test_no_rule_parts_rows_that_are_answered_alike() -> None:
    assert grown()[2].leaves == 5  # two doses of those at least 65 years old and female, two of the younger, one ill


def test_small_probabilities_are_summed() -> None:
    p = torch.tensor([[0.5, 0.2, 0.1, 0.1, 0.1]]).repeat(20, 1)
    tree = students.fit_soft(
        "decision_tree", inputs=torch.ones(20, 1), targets=p, weights=None, settings={"smoothing": 0.0}, seed=0
    )
    assert isinstance(tree, TreeEnsemble)
    assert as_rules(tree, [Column("x")], classes(list("abcde"))) == (
        "|--- class: a (a 0.50, b 0.20, c 0.10, others 0.20; 100.0% of the training rows)"
    )


def test_a_sum_of_trees_and_names_that_do_not_fit_are_refused() -> None:
    _, x, tree = grown()
    many = students.fit_soft(
        "gradient_boosting", inputs=x, targets=tree(x).softmax(-1), weights=None, settings={"max_iter": 2}, seed=0
    )
    assert isinstance(many, TreeEnsemble)
    with pytest.raises(UsageError, match="decision_tree"):
        as_rules(many, COLUMNS, classes(CLASSES))
    with pytest.raises(UsageError, match="own encoder"):
        as_rules(tree, COLUMNS[1:], classes(CLASSES))
