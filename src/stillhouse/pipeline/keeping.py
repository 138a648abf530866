"""Whether what the store is to keep of a teacher is enough for the methods of a run."""

from __future__ import annotations

from collections.abc import Sequence

from stillhouse.errors import UsageError
from stillhouse.methods.base import Method
from stillhouse.recipe import Store
from stillhouse.store import Dense
from stillhouse.teachers import make_codec

Methods = Sequence[tuple[str, Method, float]]


def check_codec(keeps: Store, methods: Methods) -> None:
    """Refuse a codec that leaves out what a method reads.

    Raises:
        UsageError: names the method, and those that can use it; or there is no such codec.
    """
    if isinstance(make_codec(keeps.codec, keeps.dtype), Dense):
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


def softening(methods: Methods) -> float:
    """The temperature at which sparse answers are kept: that of the first method that takes them; else 1."""
    return next((float(getattr(m, "temperature", 1.0)) for _, m, _ in methods if m.sparse), 1.0)


def sparse_methods() -> list[str]:
    """The names of all methods that can use a part of the classes."""
    from stillhouse import methods

    return [name for name in methods.names() if methods.get(name).sparse]
