"""Asking a server, politely: time limits, retries that wait longer each time, errors in words.

The client's limit for reading is one for the whole reply too: httpx alone lets each part of it take so long.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import httpx

MOST_BYTES = 64 * 2**20
"""Of one reply; more is a mistake or an attack."""
WORTH_RETRYING = frozenset([408, 409, 425, 429, 500, 502, 503, 504])
OF_WHAT_WAS_ASKED = frozenset([400, 413, 422])
LONGEST_WAIT = 60.0


class ServerError(RuntimeError):
    """A server that did not answer, or not as it should have."""


class Refused(ServerError):
    """A server that is well, and does not take what it was asked, such as too long a prompt."""


def post(
    client: httpx.Client,
    url: str,
    body: dict[str, Any],
    *,
    retries: int = 4,
    first_wait: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """The JSON that `url` replies. Tries again where that can help, then raises ServerError."""
    said, kind = "no try was made", ServerError
    for attempt in range(retries + 1):
        wait = first_wait * 2**attempt * random.uniform(0.5, 1.0)
        try:
            content, reply = _read(client, "POST", url, json=body)
            if reply.status_code < 300:
                return _json(content, url)
            said = f"HTTP {reply.status_code}: {content[:300].decode('utf-8', 'replace')}"
            kind = Refused if reply.status_code in OF_WHAT_WAS_ASKED else ServerError
            if reply.status_code not in WORTH_RETRYING:
                break
            asked = reply.headers.get("retry-after", "")
            wait = float(asked) if asked.replace(".", "", 1).isdecimal() else wait
        except httpx.HTTPError as error:
            said, kind = f"{type(error).__name__}: {error}", ServerError
        if attempt < retries:
            sleep(min(wait, LONGEST_WAIT))
    raise kind(f"{url} gave no answer after {attempt + 1} tries; the last: {said}")


def get(client: httpx.Client, url: str) -> Any:
    """The JSON that `url` replies; one try."""
    try:
        content, reply = _read(client, "GET", url)
    except httpx.HTTPError as error:
        raise ServerError(f"{url} gave no answer: {type(error).__name__}: {error}") from None
    if reply.status_code >= 300:
        raise ServerError(f"{url} replied HTTP {reply.status_code}")
    return _json(content, url)


def _read(
    client: httpx.Client, method: str, url: str, **asked: Any
) -> tuple[bytes, httpx.Response]:
    parts, size, limit, began = [], 0, client.timeout.read, time.monotonic()
    with client.stream(method, url, **asked) as reply:
        for part in reply.iter_bytes():
            size += len(part)
            if size > MOST_BYTES:
                raise ServerError(f"{reply.url} sent more than {MOST_BYTES} bytes")
            if limit is not None and time.monotonic() - began > limit:
                raise httpx.ReadTimeout(f"no whole reply in {limit:g} seconds")
            parts.append(part)
    return b"".join(parts), reply


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
