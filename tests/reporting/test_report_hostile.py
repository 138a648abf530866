"""Names and texts that come with the data are shown as text, whatever they hold."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.reporting.browser import Page
from tests.reporting.markup import parsed
from tests.reporting.runs import compare, write

HOSTILE = [
    "<script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "</style><style>body{display:none}</style>",
    "</title><h1>not a title</h1>",
    "{{ 7 * 7 }} {% raw %}",
    '" autofocus onfocus="document.title=1',
    "' x='&lt;b&gt;&amp;",
    "]]>--><!--",
    "\u202eright to left\u202c",
    "</svg></pre></details>",
]


def spoil(folder: Path, names: list[str]) -> None:
    """Put hostile names wherever the run folder holds text of the user's."""
    scores = json.loads((folder / "scores.json").read_text())
    renamed = dict(zip(scores["classes"], names, strict=True))
    scores = replaced(scores, renamed) | {"sentence": f"{names[0]}. {names[1]}", "warnings": names}
    scores["saw"][names[2]] = {"labels": 1, "unlabelled": 1, "teacher": names[3]}
    scores["hashes"] = {names[4]: names[5]}
    (folder / "scores.json").write_text(json.dumps(scores))
    run = {"command": names[6], "data": {"name": names[0], names[1]: names[2]}, "versions": {names[7]: names[8]}}
    (folder / "run.json").write_text(json.dumps(run))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    shares = [line | {"shares": dict.fromkeys(names, 0.1)} for line in lines]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in shares))
    (folder / "recipe.toml").write_text("\n".join(f"# {n}" for n in names))
    with np.load(folder / "gallery.npz") as file:
        rows = file["rows"]
    inputs = np.array([names[:4]] * len(rows))
    np.savez(folder / "gallery.npz", rows=rows, inputs=inputs, columns=np.array(names[4:8]))


def replaced(value: Any, names: dict[str, str]) -> Any:
    """Rename the classes wherever they occur as a value."""
    if isinstance(value, dict):
        return {k: replaced(v, names) for k, v in value.items()}
    if isinstance(value, list):
        return [replaced(v, names) for v in value]
    return names.get(value, value) if isinstance(value, str) else value


@pytest.fixture
def hostile(digits: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(digits, tmp_path / "hostile"))
    spoil(folder, HOSTILE)
    return folder


def test_hostile_names_add_no_element_and_are_shown(hostile: Path, digits: Path, tmp_path: Path) -> None:
    harmless = Path(shutil.copytree(digits, tmp_path / "harmless"))
    spoil(harmless, [f"name {i}" for i in range(len(HOSTILE))])
    kinds = [sorted({tag for tag, _ in parsed(write(folder)).tags}) for folder in (hostile, harmless)]
    assert kinds[0] == kinds[1]
    page = parsed(hostile / "report.html")
    for name in (n for n in HOSTILE[:9] if n.isascii()):
        assert " ".join(name.split()) in page.text, name
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on") or a == "style"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.text(min_size=1), min_size=10, max_size=10, unique=True))
def test_any_names_give_a_page_of_the_same_elements(digits: Path, tmp_path: Path, names: list[str]) -> None:
    kinds = []
    for classes in (names, [str(i) for i in range(10)]):
        scores = json.loads((digits / "scores.json").read_text())
        changes = scores["models"]["distilled"]["harm"]["against"]["teacher"]["classes"]
        for change, name in zip(changes, classes, strict=True):
            change["name"] = name
        (tmp_path / "scores.json").write_text(json.dumps(scores | {"sentence": classes[0] * 3, "warnings": classes}))
        kinds.append([tag for tag, _ in parsed(write(tmp_path)).tags])
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("acting", ["\ud83d", "\u202e", "\u2066", "\x00", "\x1b", "\x85"])
def test_characters_that_act_instead_of_standing_are_spelled_out(digits: Path, tmp_path: Path, acting: str) -> None:
    scores = json.loads((digits / "scores.json").read_text())
    (tmp_path / "scores.json").write_text(json.dumps(scores | {"sentence": f"left {acting} right."}))
    html = write(tmp_path).read_text(encoding="utf-8")
    assert f"left \\u{ord(acting):04x} right" in html
    assert acting not in html


@pytest.mark.slow
def test_a_browser_shows_hostile_names_as_text_and_has_nothing_to_complain_of(hostile: Path, tmp_path: Path) -> None:
    write(hostile)
    compare([hostile, hostile], tmp_path / "compare.html")
    with Page(tmp_path / "profile") as page:
        for path in (hostile / "report.html", tmp_path / "compare.html"):
            page.open(path)
            assert (
                page.ask("document.querySelectorAll('script, iframe, object, [onerror], [onfocus], [style]').length")
                == 0
            )
            assert page.ask("document.querySelectorAll('img:not([src^=\"data:image/png\"])').length") == 0
            assert page.ask("document.title") != "owned"
            assert page.ask("getComputedStyle(document.body).display") == "block"
        page.look(width=500)  # one more answer to wait for: what the last page complains of comes before it
        assert page.complaints == []


@pytest.mark.slow
def test_the_browser_would_have_complained(hostile: Path, tmp_path: Path) -> None:
    html = write(hostile).read_text(encoding="utf-8")
    bad = tmp_path / "bad.html"
    bad.write_text(html.replace("<main>", "<main><p style='color:red'>x</p><script>document.title='owned'</script>"))
    with Page(tmp_path / "profile") as page:
        page.open(bad)
        assert page.ask("document.title") != "owned"
        assert len(page.complaints) == 2
        assert all("Content Security Policy" in complaint for complaint in page.complaints)


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_page_is_wider_than_its_window_in_any_colour_scheme(
    digits: Path, breast_cancer: Path, hostile: Path, tmp_path: Path, width: int
) -> None:
    compare([digits, breast_cancer], tmp_path / "compare.html")
    pages = [write(f) for f in (digits, breast_cancer, hostile)] + [tmp_path / "compare.html"]
    with Page(tmp_path / "profile") as page:
        for dark in (False, True):
            page.look(width=width, dark=dark)
            for path in pages:
                page.open(path)
                assert page.ask("document.documentElement.scrollWidth") <= width, path
                ground = page.ask("getComputedStyle(document.body).backgroundColor")
                assert (ground == "rgb(255, 255, 255)") is not dark


@pytest.mark.slow
def test_on_paper_everything_is_unfolded_and_nothing_is_cut_off(digits: Path, tmp_path: Path) -> None:
    with Page(tmp_path / "profile") as page:
        page.look(width=700, media="print")
        page.open(write(digits))
        hidden = (
            "[...document.querySelectorAll('details > *')].filter(e => e.getBoundingClientRect().height === 0).length"
        )
        beyond = "e.getBoundingClientRect().right > 701"
        wide = f"[...document.querySelectorAll('table, pre, svg.chart')].filter(e => {beyond}).length"
        assert page.ask("document.querySelectorAll('details').length") > 3
        assert page.ask(hidden) == 0
        assert page.ask(wide) == 0
