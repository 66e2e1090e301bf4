"""A server of one trace and of the page that shows it, for one browser on this machine.

Other pages in that browser, and other users of this machine, can reach the port too. So an address with a secret in
it gives a cookie, and nothing is served without; nor to a page from elsewhere, nor under another host's name, which
is how such a page would pass for this one. What is served are the files of the page, and the one trace.
"""

from __future__ import annotations

import mimetypes
import os
import secrets
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfileobj
from typing import Any
from urllib.parse import unquote, urlsplit

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
_PATIENCE_S = 30.0  # for a connection that says nothing
_INFO = {"/vizviewer_info", "/file_info"}  # that the page asks for; an empty answer will do
_TRACE = "/localtrace"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Viewer(ThreadingHTTPServer):
    """Serves the files of `page` and one `trace`. Raises OSError when the port cannot be had."""

    daemon_threads = True

    def __init__(self, page: Path, trace: Path, port: int):
        super().__init__((HOST, port), _Handler)
        self.page, self.trace = page.resolve(), trace
        self.secret = secrets.token_urlsafe(24)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/{self.secret}"

    @property
    def hosts(self) -> set[str]:
        return {f"{name}:{self.server_port}" for name in _NAMES}

    @property
    def cookie(self) -> str:
        """Its name; a browser gives the cookies of one port to all others too."""
        return f"polybench-{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """A browser that goes away in the middle is nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    server: Viewer
    timeout = _PATIENCE_S
    server_version, sys_version = "polybench", ""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._from_here():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif secrets.compare_digest(path.encode(), f"/{self.server.secret}".encode()):
            self._begin(HTTPStatus.SEE_OTHER, Location="/", Set_Cookie=self._own_cookie(), Content_Length="0")
        elif not self._known():
            self._refuse(HTTPStatus.FORBIDDEN)
        elif path in _INFO:
            self._begin(HTTPStatus.OK, Content_Type="application/json", Content_Length="2")
            self._body(b"{}")
        elif path == _TRACE:
            self._send(self.server.trace, "application/gzip")
        else:
            self._send(*self._file(path))

    do_HEAD = do_GET  # but for the body

    def _from_here(self) -> bool:
        """Whether it is asked for by this server's own page, or by whoever typed the address."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        own = origin is None or origin == f"http://{host}"
        return host in self.server.hosts and own and site in ("none", "same-origin")

    def _known(self) -> bool:
        try:
            given = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return False
        return given is not None and secrets.compare_digest(given.value.encode(), self.server.secret.encode())

    def _own_cookie(self) -> str:
        return f"{self.server.cookie}={self.server.secret}; HttpOnly; SameSite=Strict; Path=/"

    def _file(self, path: str) -> tuple[Path, str]:
        """A file of the page and its type; a path that leads elsewhere is the name of nothing."""
        try:
            file = (self.server.page / (unquote(path).lstrip("/") or "index.html")).resolve()
        except (OSError, ValueError):  # too long, or a zero in it
            file = Path()
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return (file if file.is_relative_to(self.server.page) else Path()), kind

    def _send(self, path: Path, kind: str) -> None:
        try:
            file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW))  # noqa: SIM115
        except OSError:  # a folder too, as it cannot be read as a file
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        with file:
            size = str(os.fstat(file.fileno()).st_size)
            self._begin(HTTPStatus.OK, Content_Type=kind, Content_Length=size)
            if self.command != "HEAD":
                copyfileobj(file, self.wfile)

    def _refuse(self, status: HTTPStatus) -> None:
        self._begin(status, Content_Type="text/plain", Content_Length=str(len(status.phrase)))
        self._body(status.phrase.encode())

    def _begin(self, status: HTTPStatus, **headers: str) -> None:
        self.send_response(status)
        for name, value in (_HEADERS | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _body(self, data: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """A request is no news."""
