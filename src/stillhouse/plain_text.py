"""Foreign text (cells, names, a server's words) made harmless: for a terminal, for a spreadsheet, and without keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

# Control characters, bidirectional marks and overrides, characters without width that hide text, half characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")  # what a spreadsheet computes; an apostrophe before it is one of ours
_URL = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]{0,30}):/{1,2}([^\s'\"<>`]+)")  # a path of a URL has lost a slash
_USER = re.compile(r"(?<=:/)(/?)[^\s/?#'\"<>`]*@")
_TELLING = (
    r"(?:[\w.-]*(?:api[_-]?key|token|secret|password|passwd|credentials?|signature)|(?:\w+[_-])?key(?:[_-]?id)?"
    r"|pwd|pass|auth|authorization|bearer|sig|code)"
)
_SECRET_NAME = re.compile(_TELLING, re.IGNORECASE)
_SECRET_VALUE = re.compile(rf"(?<=[?&;#])({_TELLING}=)[^\s&;#'\"<>`]+", re.IGNORECASE)
LONGEST = 4000  # characters of one message
HIDDEN, KEY = "[hidden]", "[key]"


def shown(text: str, longest: int = LONGEST) -> str:
    r"""Text for a terminal or a message: what moves, hides or reverses text is escaped, and the middle is left out.

    >>> shown("a\x1b[2Jb\u202e"), shown("abcdefghij" * 9, 30)
    ('a\\x1b[2Jb\\u202e', 'abcdefghijabcdefghij [68 characters] ij')
    """
    kept = len(text) - longest
    if kept > 0:
        head, tail = longest * 2 // 3, longest // 15
        text = f"{text[:head]} [{len(text) - head - tail:,} characters] {text[-tail:]}"
    return _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"


def json_shown(text: str) -> str:
    r"""JSON for a terminal: the same characters are escaped as JSON does, so that its meaning stays.

    >>> json_shown('"a\u202eb"')
    '"a\\u202eb"'
    """
    return _UNSEEN.sub(lambda found: _escape_json(ord(found[0])), text)


def _escape_json(number: int) -> str:
    if number < 1 << 16:
        return f"\\u{number:04x}"
    return f"\\u{0xD800 + (number - 0x10000 >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


def cell(value: Any) -> Any:
    """A cell of a CSV file: a text that a spreadsheet would compute gets an apostrophe before it; numbers stay numbers.

    It is undone by taking one apostrophe from each cell that has one or more before ``= + - @``, a tab or a carriage
    return.

    >>> [cell(value) for value in ("=1+1", "'=1", "-1.5", -1.5, "- x", "plain")]
    ["'=1+1", "''=1", '-1.5', -1.5, "'- x", 'plain']
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII) is not None


def hide(text: str, key: str | None = None) -> str:
    """Text without names, passwords and keys in its URLs, and without any long part of a key.

    >>> hide("https://me:pw@host/v1?api_key=abc&x=1"), hide("you sent sk-1234567890", "sk-12345678901234")
    ('https://[hidden]@host/v1?api_key=[hidden]&x=1', 'you sent [key]')
    """
    text = _SECRET_VALUE.sub(lambda found: found[1] + HIDDEN, _USER.sub(rf"\1{HIDDEN}@", text))
    return text if key is None else _without_parts(text, key)


def _without_parts(text: str, key: str) -> str:
    """Replace each part of a key that is half of it or 8 characters long, whichever is less; 4 at least."""
    size = max(4, min(8, len(key) // 2))
    parts = {key[i : i + size] for i in range(max(1, len(key) - size + 1))}
    if not any(part in text for part in parts):
        return text
    spans: list[list[int]] = []
    for start in range(len(text) - size + 1):
        if text[start : start + size] in parts:
            if spans and start <= spans[-1][1]:
                spans[-1][1] = start + size
            else:
                spans.append([start, start + size])
    for start, end in reversed(spans):
        text = text[:start] + KEY + text[end:]
    return text


def secret_in(text: str) -> str | None:
    """What a URL in a text tells that is secret, in words without the secret itself; None: nothing.

    >>> secret_in("https://me:pw@host/v1"), secret_in("see https://host/v1?api_key=abc"), secret_in("https://host/?q=1")
    ('a name or a password before its host', "the parameter 'api_key'", None)
    """
    for scheme, rest in _URL.findall(text):
        try:
            parts = urlsplit(f"{scheme}://{rest}")
            if parts.password is not None or (parts.username and parts.scheme.startswith("http")):
                return "a name or a password before its host"
        except ValueError:
            continue
        for pair in re.split("[&;]", f"{parts.query}&{parts.fragment}"):
            name, _, value = pair.partition("=")
            if value and is_secret_name(name):
                return f"the parameter {name!r}"
    return None


def is_secret_name(name: str) -> bool:
    """Whether a parameter of this name carries a key or a password.

    >>> [is_secret_name(name) for name in ("api_key", "X-Amz-Signature", "access_token", "max_tokens", "q")]
    [True, True, True, False, False]
    """
    return _SECRET_NAME.fullmatch(name) is not None


def secret_place(table: Mapping[str, Any], before: str = "") -> tuple[str, str] | None:
    """The first value of a table, at any depth, with a secret in a URL: its place, and what is secret; None: none."""
    waiting: list[tuple[str, Any]] = [(before, table)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{place}.{key}" if place else str(key), one) for key, one in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(place, one) for one in value]
        elif (what := secret_in(str(value))) is not None and not isinstance(value, bool | int | float):
            return place, what
    return None
