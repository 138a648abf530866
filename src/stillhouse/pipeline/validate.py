"""Whether what the store is to keep of a teacher is enough for the methods of a run."""

from __future__ import annotations

from collections.abc import Sequence

from stillhouse.errors import UsageError
from stillhouse.methods.base import Method
from stillhouse.pipeline.context import TASK
from stillhouse.recipe import Recipe, Store
from stillhouse.store import Dense
from stillhouse.teachers import make_codec

Methods = Sequence[tuple[str, Method, float]]


def check_codec(keeps: Store, methods: Methods) -> None:
    """Refuse a codec that leaves out what a method reads.

    Raises:
        UsageError: names the method, and those that can use it; or there is no such codec.
    """
    if isinstance(make_codec(keeps.codec, keeps.dtype, TASK), Dense):
        return
    for name, method, _ in methods:
        if {"logits", "targets"} & method.needs and not method.sparse:
            raise UsageError(
                f"[store] codec = {keeps.codec!r} keeps some classes of each row, and the method {name!r} reads all of "
                f"them. Take one that can use a part ({', '.join(sparse_methods())}), or set `[store] codec = "
                '"dense"`.'
            )
    temperatures = {softening([entry]) for entry in methods if entry[1].sparse}
    if len(temperatures) > 1:
        raise UsageError(
            f"[store] codec = {keeps.codec!r} keeps a teacher softened at one temperature, and the methods want "
            f"{', '.join(f'{t:g}' for t in sorted(temperatures))}. Give them one `temperature`, or set "
            '`[store] codec = "dense"`.'
        )


def check_disagreement(recipe: Recipe, several: bool, methods: Methods, fitted: str | None) -> None:
    """Refuse to weigh rows by a disagreement that nobody has, or in a loss that has no weights.

    Args:
        recipe: the recipe.
        several: whether several teachers answer.
        methods: what is matched.
        fitted: name of a student that is fitted at once.

    Raises:
        UsageError: says which.
    """
    told = f"[training] disagreement = {recipe.training.disagreement:g}"
    if not recipe.training.disagreement:
        return
    if not several:
        raise UsageError(f"{told} is that of several teachers, and one alone teaches here. Add `[[teacher.member]]`.")
    if recipe.assistant or recipe.teacher.generations > 1:
        raise UsageError(
            f"{told} is that of several teachers, and with [[assistant]] or `[teacher] generations` the student has "
            "one, the last of the chain. Take either out."
        )
    if fitted is not None:
        raise UsageError(f"{told} weighs the rows of a training step, and {fitted!r} is fitted at once. Take a net.")
    coupled = [name for name, method, _ in methods if method.batch_coupled]
    if coupled:
        raise UsageError(
            f"{told} weighs rows one by one, and the method {coupled[0]!r} matches how the rows of a batch stand to "
            'each other. Take one that does not, such as `[[method]] name = "hinton"`.'
        )


def softening(methods: Methods) -> float:
    """The temperature at which sparse answers are kept: that of the first method that takes them; else 1."""
    return next((float(getattr(m, "temperature", 1.0)) for _, m, _ in methods if m.sparse), 1.0)


def sparse_methods() -> list[str]:
    """The names of all methods that can use a part of the classes."""
    from stillhouse import methods

    return [name for name in methods.names() if methods.get(name).sparse]
