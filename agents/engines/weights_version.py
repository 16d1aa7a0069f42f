"""What runs inside a server: it says with every answer which weights gave it.

    vllm serve MODEL --middleware agents.engines.weights_version.WeightsVersion ...

A server that has just been started knows no version. The learner takes the version away before it hands
over weights and says the new one afterwards. A request that names another version is refused; an answer
tells the version that held at its end. So nothing is ever learnt from as what other weights wrote, also
where a server died and was started again, with the weights of its folder, before anybody noticed.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

HEADER = "x-weights-version"
PATH = "/weights_version"
LONGEST = 1000
"""Bytes of what is said of a version."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class WeightsVersion:
    """ASGI middleware around a server with one process that answers requests."""

    def __init__(self, app: App) -> None:
        self._app, self._version = app, ""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if scope["path"] == PATH and scope["method"] == "POST":
            return await self._take(receive, send)
        asked = dict(scope["headers"]).get(HEADER.encode())
        if asked is not None and asked != self._version.encode():
            error = f"asked for weights {asked.decode('latin-1')!r}, has {self._version!r}"
            return await reply(send, 409, {"error": error})

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = (HEADER.encode(), self._version.encode())
                message = {**message, "headers": [*message.get("headers", ()), told]}
            await send(message)

        return await self._app(scope, receive, telling)

    async def _take(self, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more and len(body) <= LONGEST:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            version = json.loads(body)["version"]
        except (ValueError, KeyError, TypeError):
            version = None
        if not isinstance(version, str) or more or len(body) > LONGEST:
            return await reply(send, 400, {"error": 'expected {"version": "..."}'})
        self._version = version
        return await reply(send, 200, {"version": version})


async def reply(send: Send, status: int, body: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
