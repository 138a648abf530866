"""The page that says which maker of rows helps when, with the figures of the pages of ``benchmarks.examples.made``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.examples.example import PAGES
from benchmarks.examples.markdown import table

from stillhouse.reporting.wording import ABSENT

ARMS = {
    "made rows": "Distilled",
    "real rows, free views": "Real rows, free views",
    "labels alone": "Labels alone",
    "free makers": "Free makers",
    "the teacher": "Teacher",
}

GUIDE = """
# Rows that are made: which maker helps when

*Written by `python -m benchmarks.examples.made`; the figures are read from the run folders of its pages.*

`[[made]]` adds training rows that a maker makes. The teacher answers them like any row; store, views, students and the
judgement stay as they are. `stillhouse makers` lists the makers, `stillhouse makers NAME` prints a card with what a
maker needs and the prior that it brings, `stillhouse make recipe.toml` only makes rows and pictures.

```toml
[data]
name = "mnist5k"
rows = 50            # real training rows for the student; 0: none

[[made]]
name = "strokes"
count = 4000
share = 0.5          # of each batch; default: as many as they are
```

## What to try first

1. **No real row at all, pictures.** Take the free maker whose prior fits: `strokes` for writing and signs, `glyphs` for
   letters and symbols, `crops` for photographs (a folder of any other photographs), `blobs` where nothing is known.
2. **A few real rows, pictures.** Views come first (`[views] policy = "affine"`); they cost nothing but answers. Add a
   maker where the verdict says that it is better than `distilled_real`, the same student on the real rows with the
   best free views and as many answers.
3. **Tables.** `mixture` first, where there are a few hundred rows: of three tables it was better than MUNGE's views of
   the same rows on two, and not told apart from them on the third. `copula` was not better than those views on the one
   table where it was tried; a copula by scipy alone makes rows with the same values and correlations (a test compares
   them), so that is no fault of the code. `marginals` where there is no row and the values of each column are known:
   on that table they came near to 500 labels.
4. **Trained makers** (`inversion`, `fast_inversion`, `conditional_gan`) cost minutes; the first two also need a teacher
   that can be differentiated. No default uses one. `distilled_free` is the same student with the best free maker in
   their place: a trained maker has earned its place only where the verdict is better than that. `fast_inversion`
   and `conditional_gan` have not been measured on a page yet. Spectral norms hold the discriminator of
   `conditional_gan` back; `regularizer = "r1"` is there too, and the two have not been compared.
   [Inversion](examples/inversion.md) says what `inversion` reaches in how many seconds of a core.
5. **Texts.** `word_mixture` shuffles spans of unrelated texts of yours. In its one trial (100 texts of newswire, spans
   of the 20 Newsgroups) it did not help: the student was worse than on its 100 labels alone.

## Adversarial losses

`adversarial_logits` and `adversarial_features` are no makers but methods: a discriminator learns to tell the student's
outputs or features from the teacher's, and the student learns to deceive it. They are there because the field has them.
What was measured is harm: tuned as [the league](league.md) tunes its methods, both were worse than the labels alone on
MNIST-5k, one of them on MNIST-1D too, and neither was better than `hinton` on either
([the figures](league_some.md)).

## What was found

{figures}

The figures are of real test rows. Intervals, verdicts, pictures and seconds are on {pages}.

## Alarms

After the teacher has answered, the page warns if the entropy of its classes is under 0.7 of the largest, a class has
fewer than a fifth of its even share, more than 20 % of the rows are there twice, or the values spread less than in the
round before. Rows with an alarm are kept: in a trial a round collapsed and the rows of the others rescued the student.
`drop_alarmed = true` leaves such rounds out.

## Privacy

Made rows are not private. A maker that is fitted to real rows, or trained against a teacher that has seen them, may
show parts of them. `made/` in the run folder is kept for audit; treat it as training data. It is never exported. The
page shows the distance of made rows to the nearest real row beside that of real rows to each other: an indicator, and
no guarantee.
"""


def write_guide(titles: Mapping[str, str]) -> Path:
    """Write ``docs/makers.md``.

    Args:
        titles: of the pages, by name; those that are not there yet are left out.
    """
    pages = {name: title for name, title in titles.items() if (PAGES / f"{name}.md").exists()}
    rows = [row for name, title in pages.items() for row in figures(PAGES / f"{name}.md", title)]
    links = ", ".join(f"[{title}](examples/{name}.md)" for name, title in pages.items())
    text = GUIDE.strip().replace("{figures}", table(["Run", *ARMS.values()], rows)).replace("{pages}", links)
    path = PAGES.parent / "makers.md"
    path.write_text(text + "\n", encoding="utf-8")
    return path


def figures(page: Path, title: str) -> Iterator[list[str]]:
    """For each run of a page: what it is, and the mean accuracy of each arm, as the page's first table has them."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    heads = cells(lines[0])
    for line in lines[2:]:
        if cells(line)[0] == "Maker":  # the head of the next table
            return
        found = dict(zip(heads, cells(line), strict=True))
        yield [f"{title}: `{found['Maker']}`", *(found.get(arm, ABSENT).split(" (")[0] for arm in ARMS)]


def cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]
