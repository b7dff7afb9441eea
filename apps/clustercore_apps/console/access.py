"""Who may use the console.

Without a token the console is for this machine only, and then a foreign web page must not use it through the
visitor's browser: requests name a local `Host` (no DNS rebinding), and what changes something is JSON with a
header of our own, which a foreign page cannot send without a preflight that nobody answers.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from clustercore_apps.address import is_loopback
from clustercore_apps.service.security import is_same_token

HEADER = "x-clustercore"
COOKIE = "clustercore_console"
OPEN_PATHS = ("/healthz", "/readyz")


class Access:
    """The rules for one console. `token` is `None` for a console on loopback."""

    def __init__(self, token: str | None, is_local: bool, is_tls: bool = False) -> None:
        self._token = token
        self._is_local = is_local
        self._is_tls = is_tls
        # The page's cookie is not the token itself, so that a leaked cookie ends with this process.
        self._session = secrets.token_urlsafe(32)

    def refusal(self, request: HTTPConnection) -> Response | None:
        """The answer to a request that is not allowed, else `None`."""
        if request.url.path in OPEN_PATHS:
            return None
        if self._is_local and not is_loopback(host_of(request)):
            return _refuse(421, "this console answers on loopback names only")
        if self._token is not None and not self._knows(request, self._token):
            return _refuse(401, "a token is needed: send it as Authorization: Bearer, or open /?token=...")
        return None

    def refusal_of_change(self, request: Request) -> Response | None:
        """As above for a request that changes something."""
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            return _refuse(415, f'content type is "{kind[:60]}", must be application/json')
        if HEADER not in request.headers:
            return _refuse(403, f"header {HEADER} is missing")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            return _refuse(403, f'origin is "{origin[:100]}", must be this console')
        return None

    def welcome(self, request: Request, response: Response) -> None:
        """Gives the page its cookie when it was opened with the token."""
        if self._token is not None and is_same_token(request.query_params.get("token", ""), self._token):
            response.set_cookie(COOKIE, self._session, httponly=True, samesite="strict", secure=self._is_tls)

    def _knows(self, request: HTTPConnection, token: str) -> bool:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if is_same_token(bearer, token) or is_same_token(request.cookies.get(COOKIE, ""), self._session):
            return True
        return request.url.path == "/" and is_same_token(request.query_params.get("token", ""), token)


def host_of(request: HTTPConnection) -> str:
    """The host that the client named, without port and brackets."""
    try:
        return urlsplit("//" + request.headers.get("host", "")).hostname or ""
    except ValueError:
        return ""


def _refuse(status: int, text: str) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": text}, status_code=status, headers=headers)


class AccessMiddleware:
    """Applies `Access.refusal` to every request, and headers that keep the page to itself to every answer."""

    def __init__(self, app: Callable[..., Awaitable[None]], access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(
        self, scope: dict[str, object], receive: object, send: Callable[..., Awaitable[None]]
    ) -> None:
        """The ASGI entry."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._access.refusal(HTTPConnection(scope))
        if refusal is not None:
            await refusal(scope, receive, send)  # type: ignore[arg-type]
            return

        async def send_with_headers(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                assert isinstance(headers, list)
                headers.extend(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
