"""Templates to one file: everything escaped, no script, nothing loaded from outside, written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from stillhouse.files import write_atomic

TEMPLATES = Path(__file__).parent / "templates"


def page(template: str, out: Path, **values: Any) -> Path:
    """Render a template with the house style sheet and put the page in its place in one step.

    The content security policy allows ``data:`` images and the one style sheet whose hash it names: no script, no
    style attribute, no font, no frame, no form and no connection.

    Args:
        template: file name in ``templates/``.
        out: path of the page; its folder is made.
        values: what the template reads.

    Raises:
        StillhouseError: the page cannot be written (full disk, read-only folder).
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    html = environment.get_template(template).render(css=css, policy=policy(css), **values)
    write_atomic(out, html.encode("utf-8"))
    return out


def policy(css: str) -> str:
    """Return the content security policy of a page with this one style sheet."""
    digest = base64.b64encode(hashlib.sha256(css.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
