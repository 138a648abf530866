"""One HTTP exchange with a service that may be slow, endless, broken or hostile."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from stillhouse.errors import UsageError
from stillhouse.extras import library
from stillhouse.plain_text import hide, shown
from stillhouse.teachers.endpoint.addresses import Resolver, is_local

LARGEST = 1 << 20  # bytes of an answer that are read
CONNECT = 10.0  # seconds, at most, until there is a connection
DENIED = (401, 403)
SHOWN = 300  # characters of a service's error that are shown

Outcome: TypeAlias = Literal["answer", "malformed", "busy", "lost", "rejected", "fatal", "spent"]


class Received(NamedTuple):
    """The result of one request.

    ``answer``: a JSON body. ``malformed``: any other body. ``busy``: not accepted now (408, 425, 429, 5xx, no
    connection). ``lost``: interrupted or timed out after it was sent. ``rejected``: this request is not accepted (400
    and similar). ``fatal``: no request is accepted (401, 403, 404, a redirect). ``spent``: the account is empty.
    """

    outcome: Outcome
    body: bytes = b""
    detail: str = ""
    retry_after: str = ""


class Exchange:
    """A client for one address.

    Redirects are not followed. A redirect, a compressed body or a body over ``largest`` bytes ends the exchange.

    Args:
        url: that is posted to.
        key: sent as a bearer token; None: no token is sent. No message and no ``repr`` shows it.
        timeout: seconds for the whole exchange, even if bytes still arrive.
        connections: largest number at the same time.
        variable: of the environment, that the key is from, for errors.
        largest: bytes of an answer that are read.

    Raises:
        UsageError: httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        timeout: float,
        connections: int,
        variable: str | None,
        largest: int = LARGEST,
    ) -> None:
        httpx = library("httpx", "A service as teacher")
        self.url, self._key, self.timeout, self.variable, self.largest = url, key, timeout, variable, largest
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        self._resolver = Resolver()
        self._client = httpx.AsyncClient(
            event_hooks={"request": [self._resolver.pin]},
            headers=headers | ({} if key is None else {"Authorization": f"Bearer {key}"}),
            timeout=httpx.Timeout(timeout, connect=min(CONNECT, timeout), pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,
            trust_env=not is_local(url),  # no proxy for a service on this machine
        )
        self._not_sent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
        self._broken = httpx.HTTPError

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def post(self, body: bytes) -> Received:
        """Send one request and read its answer; errors on the way are outcomes, not exceptions."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._post(body)
        except TimeoutError:
            return Received("lost", detail=f"no complete answer within {self.timeout:g} s")
        except self._not_sent as error:
            self._resolver.forget()
            return Received("busy", detail=self.clean(f"{type(error).__name__}: {error}"))
        except self._broken as error:
            return Received("lost", detail=self.clean(f"{type(error).__name__}: {error}"))

    async def _post(self, body: bytes) -> Received:
        async with self._client.stream("POST", self.url, content=body) as response:
            found = bytearray()
            async for part in response.aiter_raw():
                found += part
                if len(found) > self.largest:
                    break
            received = judge(response.status_code, response.headers, bytes(found), self.largest)
            if response.status_code in DENIED:
                return received._replace(detail=f"{received.detail} ({self._whose()})")
        return received._replace(detail=self.clean(received.detail))

    def _whose(self) -> str:
        """Where the key came from that is not accepted."""
        if self._key is None:
            return "none was sent: name its environment variable as `api_key_env`"
        return f"from the environment variable {self.variable}: set it again with `export {self.variable}=...`"

    def clean(self, text: str) -> str:
        """Text of a service to be shown or kept: short, one line, without the key or a part of it."""
        return shown(" ".join(hide(text, self._key).split()))[:SHOWN]


def judge(status: int, headers: Mapping[str, str], body: bytes, largest: int = LARGEST) -> Received:
    """The outcome of a response, by its status first, then its form."""
    wait = headers.get("retry-after", "")
    if status in DENIED:  # the body may repeat a part of the key
        return Received("fatal", detail=f"{status}: the service does not accept the key")
    if 300 <= status < 400:
        target = urlsplit(headers.get("location", ""))
        where = f" to {target.scheme}://{target.hostname}"[:100] if target.hostname else ""
        return Received("fatal", detail=f"{status}: the service redirects{where}, and redirects are not followed")
    text = f"{status}: {_words(body)}"
    if status == 402 or (status == 429 and b"insufficient_quota" in body):
        return Received("spent", detail=text)
    if status in (408, 425, 429) or status >= 500:
        return Received("busy", detail=text, retry_after=wait)
    if status in (404, 405):
        return Received("fatal", detail=text)
    if status >= 400:
        return Received("rejected", detail=text)
    return _form(status, headers, body, largest)


def _form(status: int, headers: Mapping[str, str], body: bytes, largest: int) -> Received:
    """Whether a body may be read at all."""
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if status != 200:
        return Received("malformed", detail=f"status {status}")
    if len(body) > largest:
        return Received("malformed", detail=f"more than {largest} bytes")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        return Received("malformed", detail="a compressed body that was not asked for")
    if media != "application/json" and not media.endswith("+json"):
        return Received("malformed", detail=f"content type {media[:50]!r}, not JSON")
    return Received("answer", body)


def _words(body: bytes) -> str:
    """The message of a service's error, where it has the usual form, else the start of its body."""
    try:
        error: Any = json.loads(body)["error"]
        return str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError, RecursionError):
        return body[:SHOWN].decode("utf-8", "replace")


def api_key(variable: str | None, url: str) -> str | None:
    """The key from the environment; None where there is none and the service is on this machine.

    Raises:
        UsageError: there is no key, or it cannot be a header. The message does not show it.
    """
    key = os.environ.get(variable, "").strip() if variable else ""
    if not key:
        if variable is None or is_local(url):
            return None
        raise UsageError(
            f"The environment variable {variable} is not set, and the service needs a key. Set it "
            f"(`export {variable}=...`), or set api_key_env to the name of the variable that holds it."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(
            f"The environment variable {variable} holds characters that no key has (it is not shown here). Set it "
            "again."
        )
    return key
