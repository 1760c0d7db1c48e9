"""What every request passes first: host, origin, token, size; and headers on the way out.

Invariant: a request that is refused here has cost no more memory than its headers.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import answer
from service.settings import LOOPBACK_NAMES, Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DRAIN_BYTES, DRAIN_SECONDS = 64 << 20, 5.0
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class TooLarge(HTTPException):
    """The body is larger than `max_body_bytes`."""

    def __init__(self, limit: int) -> None:
        detail = f"the body is larger than {limit} bytes, the limit of this service"
        super().__init__(413, f"{detail} (TUNERL_MAX_BODY_BYTES)", {"Connection": "close"})


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.limit = app, settings.max_body_bytes
        self.hosts = LOOPBACK_NAMES | {settings.host} if settings.loopback else None
        self.token = _digest(settings.token) if settings.token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._admit(scope, headers)
            await self._check_length(headers, receive)
            await self.app(scope, self._counted(receive), send_with_headers)
        except Exception as error:
            if started:
                raise
            await answer(error)(scope, receive, send_with_headers)

    def _admit(self, scope: Scope, headers: Headers) -> None:
        """Raise `HTTPException` for a foreign host (DNS rebinding) or page, or a wrong token."""
        host = headers.get("host", "")
        if self.hosts is not None and _hostname(host) not in self.hosts:
            raise HTTPException(
                421, f"this service is not known as {host!r}; use 127.0.0.1 or localhost"
            )
        origin = headers.get("origin")
        if scope["method"] not in SAFE_METHODS and origin and _netloc(origin) != host:
            raise HTTPException(403, "pages of another origin may not change anything here")
        if self.token and scope["path"].startswith("/api/"):
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(_digest(given), self.token):
                raise HTTPException(
                    401,
                    "this service wants its token: Authorization: Bearer <TUNERL_API_TOKEN>",
                    {"WWW-Authenticate": "Bearer"},
                )

    async def _check_length(self, headers: Headers, receive: Receive) -> None:
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise HTTPException(400, "Content-Length is not a number")
        if int(length) <= self.limit:
            return
        if headers.get("expect", "").lower() != "100-continue":
            await _drain(receive)
        raise TooLarge(self.limit)

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                await _drain(receive)
                raise TooLarge(self.limit)
            return message

        return counted


async def _drain(receive: Receive) -> None:
    """Throw away what the client still sends (within bounds), so that it can read the answer."""
    seen, deadline = 0, time.monotonic() + DRAIN_SECONDS
    while seen < DRAIN_BYTES:
        try:
            message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return
        seen += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.strip().encode()).digest()


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
