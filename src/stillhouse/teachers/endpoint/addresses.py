"""Where a service may be: never on a link-local address, where clouds answer with the keys of the machine itself."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from stillhouse.errors import RejectedError, UsageError
from stillhouse.plain_text import secret_in

_NUMBERS = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*\.?", re.IGNORECASE)  # the forms of inet_aton
IP = ipaddress.IPv4Address | ipaddress.IPv6Address
CHAT = "/chat/completions"


def address(url: str, *, allow_http: bool, path: str = CHAT) -> str:
    """The address of an interface below a base url, checked.

    Args:
        url: base of the service, with or without the path of the chat completions.
        allow_http: accept plain http to another machine.
        path: of the interface.

    Raises:
        UsageError: not http or https; plain http to another machine; a name, a password or a key inside; a link-local,
            multicast or unspecified address.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError('The url of the service is not a URL. Give its base: `url = "https://host/v1"`.')
    if _NUMBERS.fullmatch(host) and _ip(host) is None:
        raise UsageError(
            f"The url of the service has the address {host}. Write it as four numbers: https://10.0.0.1/v1."
        )
    if parts.username is not None or (secret := secret_in(url)) is not None:
        what = "a name or a password before its host" if parts.username is not None else secret
        raise UsageError(
            f"The url of the service at {host} holds {what}, which would be written into the run. Remove "
            "it and put the key into the environment variable that api_key_env names."
        )
    if (ip := _ip(host)) is not None and is_barred(ip):
        raise UsageError(barred(host, host))
    if parts.scheme == "http" and not is_local(url) and not allow_http:
        raise UsageError(
            f"The service at {host} is addressed by plain http, so others could read texts and key on the way. Use "
            "https, or set `allow_http = true` if the network is your own."
        )
    path = parts.path.rstrip("/").removesuffix(CHAT).removesuffix(path) + path
    return urlunsplit((parts.scheme, parts.netloc.lower(), path, parts.query, ""))


def is_local(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    return host == "localhost" or ((ip := _ip(host)) is not None and ip.is_loopback)


def is_barred(ip: IP) -> bool:
    """Whether no service may be at an address: link-local (RFC 3927, RFC 4291), multicast or unspecified."""
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return ip.is_link_local or ip.is_multicast or ip.is_unspecified or (inner is not None and is_barred(inner))


def barred(host: str, ip: str) -> str:
    """The error for such an address."""
    where = f"{host} is" if host == ip else f"{host} is at {ip},"
    return (
        f"The service {where} a link-local, multicast or unspecified address. Clouds answer there with the keys of "
        "this very machine, so it is never asked. Give the service's own address."
    )


class Resolver:
    """Finds the address of a host once, refuses those where no service may be, and keeps to what it has found.

    A request is then sent to the number that was checked: a name that changes its address between the check and the
    connection (DNS rebinding) changes nothing.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], str] = {}

    async def pin(self, request: Any) -> None:
        """A hook of httpx: put the number that was checked in the place of the host's name.

        Raises:
            RejectedError: the host has an address where no service may be.
        """
        url = request.url
        if _ip(url.host) is not None or _by_proxy(url.scheme, url.host):
            return
        place = url.host, url.port or (443 if url.scheme == "https" else 80)
        if place not in self._found:
            self._found[place] = await _resolve(*place)
        request.extensions["sni_hostname"] = url.host  # what the certificate must be for
        request.url = url.copy_with(host=self._found[place])

    def forget(self) -> None:
        """Look the addresses up again: the last one could not be reached."""
        self._found.clear()


async def _resolve(host: str, port: int) -> str:
    """The first address of a host; the name itself where it has none, so that the connection fails by its usual error.

    Raises:
        RejectedError: one of its addresses is barred.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return host
    numbers = [str(one[4][0]) for one in found]
    for number in numbers:
        ip = _ip(number)
        if ip is None or is_barred(ip):
            raise RejectedError(barred(host, number))
    return next((number for number in numbers if ":" not in number), numbers[0])


def _by_proxy(scheme: str, host: str) -> bool:
    """Whether a proxy of the environment connects in our place."""
    proxies = getproxies()
    return bool((proxies.get(scheme) or proxies.get("all")) and host != "localhost" and not proxy_bypass(host))


def _ip(host: str) -> IP | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
