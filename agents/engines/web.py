"""Asking a server, politely: time limits, retries that wait longer each time, errors in words.

The client's limit for reading is one for a reply's whole body too: httpx alone lets each part of it take so
long, as it does each line of the head.
Replies come unpacked, as packed ones have no size that is known before. A client's key stays out of errors.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from envs.contract import whole_number

MOST_BYTES = 64 * 2**20
"""Of one reply; more is a mistake or an attack."""
WORTH_RETRYING = frozenset([408, 409, 425, 429, 500, 502, 503, 504])
OF_WHAT_WAS_ASKED = frozenset([400, 413, 422])
LONGEST_WAIT = 60.0
UNPACKED = {"Accept-Encoding": "identity"}
KEPT = 2.0
"""Seconds for which a connection that nobody uses is kept. vLLM closes one after 5, as does httpx by itself:
what is asked at that very moment is lost."""
SHORTEST_SECRET = 8
"""Characters; a shorter key, such as "EMPTY", hides nothing and may be a word of the error's own."""


class ServerError(RuntimeError):
    """A server that did not answer, or not as it should have."""


class Refused(ServerError):
    """A server that is well, and does not take what it was asked, such as too long a prompt."""


def client_of(
    seconds: float, connections: int, headers: Mapping[str, str] | None = None
) -> httpx.Client:
    """Asks for so long at most, so many at the same time."""
    if not 0 < seconds < math.inf:
        raise ValueError(f"engine.seconds={seconds} is not a number of seconds above 0")
    timeout = httpx.Timeout(seconds, connect=10.0)
    limits = httpx.Limits(max_connections=connections, keepalive_expiry=KEPT)
    return httpx.Client(timeout=timeout, limits=limits, headers=headers)


def checked_retries(retries: int) -> int:
    return whole_number("engine.retries", retries, 0, 1000)


def post(
    client: httpx.Client,
    url: str,
    body: dict[str, Any],
    *,
    retries: int = 4,
    first_wait: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """The JSON that `url` replies; see `tell`."""
    content = tell(client, url, body, retries=retries, first_wait=first_wait, sleep=sleep)
    return _json(content, url)


def tell(
    client: httpx.Client,
    url: str,
    body: dict[str, Any],
    *,
    retries: int = 4,
    first_wait: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> bytes:
    """What `url` replies, in any form. Tries again where that can help, then raises ServerError."""
    said, kind = "no try was made", ServerError
    for attempt in range(retries + 1):
        wait = first_wait * 2**attempt * random.uniform(0.5, 1.0)
        try:
            content, reply = _read(client, "POST", url, json=body)
            if reply.status_code < 300:
                return content
            text = _without_key(client, content.decode("utf-8", "replace"))
            said = f"HTTP {reply.status_code}: {text[:300]}"
            kind = Refused if reply.status_code in OF_WHAT_WAS_ASKED else ServerError
            if reply.status_code not in WORTH_RETRYING:
                break
            asked = reply.headers.get("retry-after", "")
            wait = float(asked) if asked.replace(".", "", 1).isdecimal() else wait
        except httpx.HTTPError as error:
            said, kind = _without_key(client, f"{type(error).__name__}: {error}"), ServerError
        if attempt < retries:
            sleep(min(wait, LONGEST_WAIT))
    raise kind(f"{url} gave no answer after {attempt + 1} tries; the last: {said}")


def get(client: httpx.Client, url: str, *, seconds: float = math.inf) -> Any:
    """The JSON that `url` replies; one try, of so many seconds and no more than the client's."""
    try:
        content, reply = _read(client, "GET", url, seconds=seconds)
    except httpx.HTTPError as error:
        said = _without_key(client, f"{type(error).__name__}: {error}")
        raise ServerError(f"{url} gave no answer: {said}") from None
    if reply.status_code >= 300:
        raise ServerError(f"{url} replied HTTP {reply.status_code}")
    return _json(content, url)


def _read(
    client: httpx.Client, method: str, url: str, *, seconds: float = math.inf, **asked: Any
) -> tuple[bytes, httpx.Response]:
    began, whole = time.monotonic(), client.timeout
    limit = min(seconds, math.inf if whole.read is None else whole.read)
    timeout = whole if limit == math.inf else httpx.Timeout(limit, connect=whole.connect)
    try:
        with client.stream(method, url, headers=UNPACKED, timeout=timeout, **asked) as reply:
            if packed := _packed(reply):
                return f"(with Content-Encoding {packed!r})".encode(), reply
            content = _bounded(reply, limit, began)
            if reply.status_code >= 500 and (wire := reply.extensions.get("network_stream")):
                wire.close()  # as such a server does a moment later, and what is asked then is lost
            return content, reply
    except httpx.InvalidURL as error:  # which is no HTTPError
        raise ServerError(f"{url!r:.200} is not the address of a server: {error}") from None


def _packed(reply: httpx.Response) -> str:
    """How an error is packed, which is not unpacked: a few bytes can become gigabytes. Refuses answers."""
    packed = reply.headers.get("content-encoding", "").strip().lower()[:60]
    if packed in ("", "identity"):
        return ""
    if reply.status_code < 300:
        raise ServerError(
            f"{reply.url} sent its reply with Content-Encoding {packed!r}, but was asked for "
            "Accept-Encoding: identity; switch compression off in the server, or in the proxy before it"
        )
    return packed


def _bounded(reply: httpx.Response, limit: float, began: float) -> bytes:
    """The reply as it comes over the wire, given up at MOST_BYTES, and `limit` seconds after it began."""
    parts, size = [], 0
    for part in reply.iter_raw():
        size += len(part)
        if size > MOST_BYTES:
            raise ServerError(f"{reply.url} sent more than {MOST_BYTES} bytes")
        if time.monotonic() - began > limit:
            raise httpx.ReadTimeout(f"no whole reply in {limit:g} seconds")
        parts.append(part)
    return b"".join(parts)


def _without_key(client: httpx.Client, text: str) -> str:
    """Servers may repeat the key that they were sent."""
    key = client.headers.get("authorization", "").removeprefix("Bearer ")
    return text.replace(key, "***") if len(key) >= SHORTEST_SECRET else text


def checked_url(name: str, url: str, example: str = "http://127.0.0.1:8000/v1") -> str:
    """`url` without slashes at its end; a ValueError where no server can be asked by it. `name` is the
    setting that it comes from."""
    why = "it needs http:// or https://, a host, and a port up to 65535 if any"
    try:
        read = httpx.URL(url)
        fits = read.scheme in ("http", "https") and bool(read.host) and (read.port or 0) < 2**16
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        why, fits = str(error), False
    if not fits:
        raise ValueError(
            f"{name}={url!r:.200} is not the address of a server ({why}); expected is one such as "
            f"{example}"
        )
    return url.rstrip("/")


def key_of(variable: str) -> str:
    """The key that an environment variable holds, "" where it is not set. No error names the key."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError(
            f"{variable} holds characters that no HTTP header can; expected is a key in printable "
            "ASCII; set it anew"
        )
    return key


def _json(content: bytes, url: str) -> Any:
    import json

    if not content:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ServerError(f"{url} replied with something that is not JSON: {error}") from None


def data_url(picture: Any) -> str:
    """A PIL picture as the address that chat endpoints take: PNG, so that no pixel changes."""
    import base64
    import io

    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
