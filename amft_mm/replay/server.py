"""Follows a live run: `serve(paths, port)` shows the page of what is there now.

`/` is the page, made anew when something has changed; `/version` tells whether it has. Nothing else is
served, and only to this machine unless `host` says otherwise: nor to a page of somebody else's that a browser
here has open, whose name was made to lead to this machine.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from amft_mm.replay.page import parts
from amft_mm.replay.reader import read_source

HERE = ("127.0.0.1", "localhost", "[::1]")
"""What a server that is for this machine alone is called by who asks."""


class Pages:
    """The newest page, made once for all who ask."""

    def __init__(self, paths: Sequence[Path], limit: int) -> None:
        self._paths, self._limit = paths, limit
        self._lock = threading.Lock()
        self._made = ("", b"")

    def version(self) -> str:
        """Changes with what the folders hold."""
        known = [
            f"{file}:{file.stat().st_mtime_ns}"
            for path in self._paths
            for file in sorted(_files(path))
        ]
        return str(hash(tuple(known)))

    def page(self) -> bytes:
        with self._lock:
            version = self.version()
            if self._made[0] != version:
                sources = [read_source(path, self._limit) for path in self._paths]
                self._made = version, "".join(parts(sources, version)).encode(errors="replace")
            return self._made[1]


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up, as when its tab is closed, is no error; others are shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _files(path: Path) -> list[Path]:
    """What a page of it is made of, or may be."""
    return [path] if path.is_file() else [*path.rglob("*.parquet"), *path.glob("metrics.jsonl")]


def _named(asked: str) -> str:
    """Of a Host header, without the port."""
    name, colon, port = asked.rpartition(":")
    return name if colon and port.isdigit() else asked


def serve(
    paths: Sequence[Path], port: int, host: str = "127.0.0.1", limit: int = 2000
) -> ThreadingHTTPServer:
    """A server that has not begun to serve: `serve_forever()` it."""
    pages = Pages(paths, limit)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if host in HERE and _named(self.headers.get("Host", "")) not in HERE:
                self.send_error(403, f"ask for http://{host}:{server.server_port}/")
            elif self.path == "/version":
                self._send(pages.version().encode(), "text/plain")
            elif self.path.split("?")[0] == "/":
                try:
                    self._send(pages.page(), "text/html; charset=utf-8")
                except (FileNotFoundError, ValueError) as error:
                    self._send(str(error).encode(), "text/plain; charset=utf-8", 503)
            else:
                self.send_error(404)

        def _send(self, data: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Server((host, port), Handler)
    return server
