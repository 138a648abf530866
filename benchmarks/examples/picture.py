"""The picture of a page: the top of the run's report, as a browser shows it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1180, 1080  # pixels: the verdict, what each side saw, the figures to take away
COLOURS = 128  # a report has few: the file is a quarter of its size, and the eye sees no difference
SECONDS = 120


def shoot(report: Path, out: Path) -> bool:
    """Photograph the top of a report; whether there was a browser to do it."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print(f"{out.name}: left as it is, there is none of {', '.join(BROWSERS)} here", file=sys.stderr)
        return False
    with tempfile.TemporaryDirectory() as profile:
        taken = Path(profile) / "page.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        size = f"--window-size={WIDTH},{HEIGHT}"
        command = [browser, *options, size, f"--screenshot={taken}", report.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
        with Image.open(taken) as image:
            image.convert("RGB").quantize(COLOURS).save(out, optimize=True)
    return True
