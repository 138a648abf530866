"""A chat completion service on 127.0.0.1 that behaves as badly as it is told, and counts what it is asked."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, TypeAlias

Act: TypeAlias = Callable[["Handler"], None]


class Server(ThreadingHTTPServer):
    """Answers each text by its own list of acts, the last of which is repeated."""

    daemon_threads = True

    def __init__(self, default: Act | None = None, plan: Mapping[str, list[Act]] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.default = default or answer("A")
        self.plan = {text: list(acts) for text, acts in (plan or {}).items()}
        self.asked: Counter[str] = Counter()  # requests by text
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.under_way = self.most_under_way = 0
        self.released = threading.Event()  # ends what hangs
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """Base of the service."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def next_act(self, text: str) -> Act:
        with self.lock:
            acts = self.plan.get(text, [self.default])
            return acts.pop(0) if len(acts) > 1 else acts[0]

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: they are right to."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = text_of(body)
        with self.server.lock:
            self.server.asked[text] += 1
            self.server.bodies.append({"path": self.path, **body})
            self.server.headers.append(dict(self.headers))
            self.server.under_way += 1
            self.server.most_under_way = max(self.server.most_under_way, self.server.under_way)
        try:
            self.server.next_act(text)(self)
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    def send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | dict(headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


def text_of(body: Mapping[str, Any]) -> str:
    """The text in a prompt: the only line that is a JSON string; of a prompt of tokens, their numbers."""
    if "prompt" in body:
        return " ".join(map(str, body["prompt"]))
    for line in body["messages"][0]["content"].splitlines():
        with suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, str):
                return found
    raise AssertionError("no line of the prompt is a JSON string")


def completion(content: str | None, **more: Any) -> dict[str, Any]:
    """The body of a chat completion; ``more`` goes into its choice, ``usage`` and ``refusal`` where they belong."""
    usage = more.pop("usage", {"prompt_tokens": 50, "completion_tokens": 1, "total_tokens": 51})
    message = {"role": "assistant", "content": content, "refusal": more.pop("refusal", None)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None} | more
    return {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}


def token(text: str, alternatives: Mapping[str, float]) -> dict[str, Any]:
    """One token of ``logprobs.content`` with its alternatives as log-probabilities."""
    listed = [{"token": other, "logprob": value, "bytes": None} for other, value in alternatives.items()]
    return {"token": text, "logprob": alternatives.get(text, -0.1), "bytes": None, "top_logprobs": listed}


def answer(content: str | None, **more: Any) -> Act:
    """A well-formed completion."""
    body = json.dumps(completion(content, **more)).encode()
    return lambda handler: handler.send(200, body)


def scored(content: str, alternatives: Mapping[str, float]) -> Act:
    """A completion of one token with log-probabilities."""
    return answer(content, logprobs={"content": [token(content, alternatives)], "refusal": None})


def status(code: int, message: str = "no", **headers: str) -> Act:
    """An error in the usual form; ``Retry_After="3"`` becomes a header."""
    body = json.dumps({"error": {"message": message, "type": "x", "code": None}}).encode()
    return lambda handler: handler.send(code, body, {k.replace("_", "-"): v for k, v in headers.items()})


def raw(body: bytes, **headers: str) -> Act:
    """Any body with status 200."""
    return lambda handler: handler.send(200, body, {k.replace("_", "-"): v for k, v in headers.items()})


def disconnect(handler: Handler) -> None:
    """Hang up in the middle of the answer."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def hang(handler: Handler) -> None:
    """Say nothing until the test is over."""
    handler.server.released.wait()
    handler.close_connection = True


def endless(handler: Handler) -> None:
    """Send for as long as somebody reads."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    with suppress(OSError):
        while not handler.server.released.is_set():
            handler.wfile.write(b" " * 65536)


def drip(handler: Handler) -> None:
    """Send one byte of a header at a time, for ever: no single read of the client takes long."""
    handler.close_connection = True
    with suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not handler.server.released.wait(0.01):
            handler.wfile.write(b"x")
