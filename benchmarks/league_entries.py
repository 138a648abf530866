"""Who plays in the league, and the six settings that each of them is tried with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from stillhouse import methods

TRIALS = 6
SHARES = {1: (0.3, 0.5, 0.7, 0.8, 0.9, 0.97), 2: (0.5, 0.8, 0.95), 3: (0.6, 0.9)}  # by number of variants
LABELS_ONLY, SMOOTHED, FUNCTION_MATCHING, HINTON = "labels only", "label smoothing", "function matching", "hinton"
NOT_APPLICABLE = {
    "minilm": "needs attention layers",
    "tinybert": "needs layers of tokens",
    "margin_mse": "is for scores of queries and passages",
}
ONE_LAYER = ("adversarial_features", "fitnet")
NEEDS_MAPS = ("attention", "cwd", "reviewkd")


class Trial(NamedTuple):
    """One way to train the student; ``method`` None: on labels alone."""

    method: str | None
    settings: Mapping[str, Any]
    share: float  # of the gradient norm that the method gets; the rest is the labels'
    smoothing: float = 0.0
    store: Literal["logits", "features", "mixup"] = "logits"

    def words(self) -> str:
        """The setting, for the table."""
        told = [f"{key} {_plain(value)}" for key, value in self.settings.items()]
        told += [f"smoothing {self.smoothing:g}"] if self.smoothing else []
        return ", ".join(told + ([f"share {self.share:g}"] if self.method else []))


class Entry(NamedTuple):
    """A row of the table."""

    name: str
    family: str
    trials: tuple[Trial, ...]


def entries(map_pairs: Sequence[tuple[str, str]]) -> list[Entry]:
    """All that play in a world whose nets have these pairs of layers with maps."""
    variants = dict(_variants(map_pairs))
    found = [_entry(name, variants[name]) for name in methods.names() if name in variants]
    smoothed = tuple(Trial(None, {}, 0.0, smoothing) for smoothing in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3))
    found.append(Entry(SMOOTHED, "no teacher", smoothed))
    matching = [t._replace(store="mixup") for t in _trials("hinton", variants["hinton"])]
    return [*found, Entry(FUNCTION_MATCHING, "procedure", tuple(matching))]


def _entry(name: str, variants: Sequence[Mapping[str, Any]]) -> Entry:
    return Entry(name, methods.get(name).family, tuple(_trials(name, variants)))


def _trials(name: str, variants: Sequence[Mapping[str, Any]]) -> Iterator[Trial]:
    wide = bool({"features", "embedding"} & methods.get(name).needs)
    for settings in variants:
        for share in SHARES[len(variants)]:
            yield Trial(name, settings, share, store="features" if wide else "logits")


def _variants(map_pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    """By method, the settings besides its weight: its own second knob, else the temperature, else the layer."""
    temperatures = [{"temperature": t} for t in (1.0, 4.0)]
    for name in methods.names():
        known = methods.settings(methods.get(name))
        if name in NOT_APPLICABLE or (name in NEEDS_MAPS and not map_pairs):
            continue
        if name in (*ONE_LAYER, "vid", *NEEDS_MAPS):
            yield name, _layered(name, map_pairs)
        elif name in _KNOBS:
            yield name, _KNOBS[name]
        else:
            yield name, temperatures if known.get("temperature") == 1.0 else [{}]


_KNOBS: dict[str, Sequence[Mapping[str, Any]]] = {
    "adversarial_logits": [{"class_weight": w} for w in (0.0, 1.0)],
    "hinton": [{"temperature": t} for t in (2.0, 4.0, 8.0)],
    "dkd": [{"beta": b} for b in (2.0, 8.0)],
    "lskd": [{"temperature": t} for t in (2.0, 4.0)],
    "ttm": [{"gamma": g} for g in (0.1, 0.25)],
    "embedding": [{"distance": d} for d in ("mse", "cosine")],
    # The classifiers read 2,048 and 320 values, where the paper's read 256: factor 2 would ship ten million parameters.
    "simkd": [{"factor": f} for f in (8, 16)],
    "srd": [{"exponent": e} for e in (2.0, 4.0)],
    "distilbert": [{"temperature": t} for t in (2.0, 4.0)],
    # The angles of 128 rows take 128^3 products of whole features; of the logits that is cheap.
    "rkd": [{"student_layer": "head", "teacher_layer": "head"}],
    # 16,384 negatives are more than these worlds have rows.
    "crd": [{"negatives": 1024, "contrast_temperature": t} for t in (0.07, 0.2)],
}


def _layered(name: str, map_pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """A deeper and a shallower layer, or the classifier's input where there are no maps to pair."""
    several = name not in ONE_LAYER
    suffix = "s" if several else ""
    pairs = list(reversed(map_pairs)) or [("embedding", "embedding")]

    def chosen(some: Sequence[tuple[str, str]]) -> dict[str, Any]:
        mine, theirs = (list(side) if several else side[0] for side in zip(*some, strict=True))
        return {f"student_layer{suffix}": mine, f"teacher_layer{suffix}": theirs}

    if name == "cwd":
        return [chosen(pairs[:1]) | {"temperature": t} for t in (1.0, 4.0)]
    if name == "reviewkd":
        return [chosen(list(reversed(pairs)))]
    return [chosen([pair]) for pair in pairs]


def _plain(value: Any) -> str:
    return (
        "+".join(map(str, value))
        if isinstance(value, list | tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
