"""Write the reference pages, or check them."""

from __future__ import annotations

import argparse
import sys

from benchmarks.reference.pages import FOLDER, pages


def main(arguments: list[str] | None = None) -> int:
    """Write, or with --check exit 1 where a page is stale."""
    parser = argparse.ArgumentParser(description="The reference pages, made from the code.")
    parser.add_argument("--check", action="store_true", help="exit 1 where a page is stale")
    check = parser.parse_args(arguments).check
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"stale in docs/reference: {', '.join(stale)}. Run: python -m benchmarks.reference", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
