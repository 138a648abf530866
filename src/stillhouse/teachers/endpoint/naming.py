"""The class that an answer names: by its id, by its name, or inside JSON. Anything else names none.

Services that ignore the schema still answer in one of these forms. An answer is never searched for a name: "not sport"
names no class.
"""

from __future__ import annotations

import ast
import json
import re
import string
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LONGEST = 2000  # characters of an answer that can be a name: longer ones are texts
DEEPEST = 3  # objects and lists inside each other
KEYS = ("label", "class", "category", "answer", "prediction", "result", "id", "name")  # the first that is there decides
THINKING = "</think>"  # what some models write before their answer ends with this
_FENCE = re.compile(r"```\w*\n?(.*?)\n?```", re.DOTALL)
# Marks around and between words: dots only where no digit follows, dashes and arrows only where they stand alone.
_MARKS = re.compile(r"""[\s"'`*,;:()\[\]{}“”«»]+|\.(?!\d)|(?<!\S)[-–—=>→]+(?!\S)""")
_OPENING = re.compile(
    r"(?:the )?(?:final |correct |predicted |best )?(?:answer|label|class|category|classification|id)"
    r"(?: id| name)?(?: is| =|=)? ?"
)


def label_ids(count: int) -> tuple[str, ...]:
    """The id of each class in prompt and answer.

    For up to 26 classes these are the letters A, B, ...: each is one token in every common vocabulary, so the
    probabilities of the first token are those of the classes. More classes get numbers of equal length (00, 01, ...):
    then no id is the start of another, and a vocabulary that splits numbers is detected, not misread.

    >>> label_ids(3), label_ids(27)[-1]
    (('A', 'B', 'C'), '26')
    """
    return tuple(string.ascii_uppercase[:count]) if count <= len(string.ascii_uppercase) else _numbers("", count)


def ids_for(names: Sequence[str]) -> tuple[str, ...]:
    """``label_ids``, or other ids where the name of a class could be taken for an id.

    >>> ids_for(["sport", "politics"]), ids_for(["B", "A"]), ids_for(["A", "1"])
    (('A', 'B'), ('0', '1'), ('c0', 'c1'))
    """
    taken = {plain(name) for name in names}
    letters, numbers = label_ids(len(names)), _numbers("", len(names))
    if not taken & set(map(plain, letters)) and not (letters == numbers and any(map(str.isdecimal, taken))):
        return letters
    if not any(map(str.isdecimal, taken)):
        return numbers
    prefix = "c"
    while taken & set(_numbers(prefix, len(names))):
        prefix += "c"
    return _numbers(prefix, len(names))


def plain(text: str) -> str:
    """Text without case, quotes, brackets and marks at the end, by which names are compared.

    >>> plain('**The "Arts".'), plain("- A"), plain("-1"), plain("v1.5")
    ('the arts', 'a', '-1', 'v1.5')
    """
    return " ".join(_MARKS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).split())


class Naming:
    """The ways to name each class: its id, its name, and both together.

    Args:
        ids: of each class.
        names: of each class; a form that fits two classes names none.
    """

    def __init__(self, ids: Sequence[str], names: Sequence[str] = ()) -> None:
        self.ids = tuple(ids)
        exact: list[tuple[str, int]] = [(name, number) for number, name in [*enumerate(names), *enumerate(ids)]]
        pairs = [(one, name, number) for number, (one, name) in enumerate(zip(ids, names, strict=False))]
        both = [(form, number) for one, name, number in pairs for form in (f"{one} {name}", f"{name} {one}")]
        self._exact = {form: number for form, number in exact if form.strip()}
        self._stripped = _unique((form.strip(), number) for form, number in exact)
        self._forms = _unique((plain(form), number) for form, number in [*exact, *both])
        self._names = [*names, *map(plain, names)]

    def named(self, content: str, *, cut: bool = False) -> int | None:
        """The position of the class that an answer names.

        Args:
            content: the answer's text.
            cut: whether the service ended it early: then it may be the beginning of a longer name.
        """
        text = content.rpartition(THINKING)[2]
        if text in self._exact and not cut:
            return self._exact[text]
        text = text.strip()
        if fenced := _FENCE.fullmatch(text):
            text = fenced[1].strip()
        if len(text) > LONGEST or (cut and any(name.startswith(text) and name != text for name in self._names)):
            return None
        if text[:1] not in ("{", "["):
            return self._of_text(text)
        try:
            return self._of_value(json.loads(text))
        except (ValueError, RecursionError):
            pass
        try:  # {'label': 'A'}, as Python writes it
            return self._of_value(ast.literal_eval(text))
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return None if text.startswith("{") else self._of_text(text)

    def _of_text(self, text: str) -> int | None:
        if text in self._exact:
            return self._exact[text]
        if (text := text.strip()) in self._stripped:
            return self._stripped[text]
        form = plain(text)
        for one in (form, _OPENING.sub("", form, count=1) if _OPENING.match(form) else form):
            if one in self._forms:
                return self._forms[one]
            if one.isdecimal() and one.zfill(len(self.ids[0])) in self.ids:
                return self.ids.index(one.zfill(len(self.ids[0])))
        return None

    def _of_value(self, value: Any, depth: int = 0) -> int | None:
        """The class that a JSON value names; all keys of an object that name one must name the same."""
        if depth > DEEPEST:
            return None
        if isinstance(value, list) and len(value) == 1:
            return self._of_value(value[0], depth + 1)
        if isinstance(value, str | int):  # truth values too: classes may be called so
            return self._of_text(str(value))
        if not isinstance(value, Mapping):
            return None
        lower = {str(key).strip().casefold(): one for key, one in value.items()}
        told = [lower[key] for key in KEYS if key in lower] or (list(lower.values()) if len(lower) == 1 else [])
        found = [self._of_value(one, depth + 1) for one in told]
        return found[0] if found and len({found[0], *found} - {None}) == 1 else None


def _unique(forms: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The class of each form that fits one class and is not empty."""
    fitting: defaultdict[str, set[int]] = defaultdict(set)
    for form, number in forms:
        fitting[form].add(number)
    return {form: min(which) for form, which in fitting.items() if form and len(which) == 1}


def _numbers(prefix: str, count: int) -> tuple[str, ...]:
    width = len(str(count - 1))
    return tuple(f"{prefix}{number:0{width}d}" for number in range(count))
