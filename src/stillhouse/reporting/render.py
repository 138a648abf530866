"""Templates to one file: everything escaped, no script, nothing loaded from outside, written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.files import write_atomic

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


class Verbatim(str):
    """Text to be copied from the page, such as a command: escaped as all text, and otherwise left as it is."""

    __slots__ = ()


def page(template: str, out: Path, write: Callable[[Path, bytes], None] = write_atomic, **values: Any) -> Path:
    """Render a template with the house style sheet and put the page in its place in one step.

    The content security policy allows ``data:`` images and the one style sheet whose hash it names: no script, no
    style attribute, no font, no frame, no form and no connection.

    Args:
        template: file name in ``templates/``.
        out: path of the page; its folder is made.
        write: writes it.
        values: what the template reads.

    Raises:
        StillhouseError: the page cannot be written (full disk, read-only folder).
    """
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    html = environment().get_template(template).render(css=css, policy=policy(css), **values)
    write(out, html.encode("utf-8"))
    return out


def part(template: str, **values: Any) -> str:
    """Render a piece of a page; it is HTML, with every text in it escaped."""
    return environment().from_string(template).render(**values)


@cache
def environment() -> Environment:
    """Return the one environment of all templates: every text is escaped, and the macros are known everywhere."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=unbroken,
    )
    macros = found.get_template("macros.html.j2").module
    found.globals.update({name: value for name, value in vars(macros).items() if not name.startswith("_")})
    return found


def unbroken(value: Any) -> Any:
    r"""Return a text with a space before each per cent sign at which no line is broken.

    >>> unbroken("95 % of them")
    '95\xa0% of them'
    """
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", value) if type(value) is str else value


def policy(css: str) -> str:
    """Return the content security policy of a page with this one style sheet."""
    digest = base64.b64encode(hashlib.sha256(css.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
