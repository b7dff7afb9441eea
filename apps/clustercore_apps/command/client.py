"""Talks to a console from the command line."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from clustercore_apps.address import Address
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.security import client_context, read_token

CONSOLE_DEFAULT = "127.0.0.1:8090"
CONSOLE_VARIABLE = "CLUSTERCORE_CONSOLE"
SECONDS = 5.0


class ConsoleClient:
    """One console. `address` is `host:port`; with a certificate the connection is TLS."""

    def __init__(self, address: str | None, token_file: Path | None, certificate: Path | None) -> None:
        text = address or os.environ.get(CONSOLE_VARIABLE) or CONSOLE_DEFAULT
        try:
            self.address = Address.parse(text)
        except ValueError as error:
            raise OperatorError(f"--console: {error}") from None
        self._token = read_token(token_file) if token_file else None
        self._tls: ssl.SSLContext | None = client_context(certificate) if certificate else None

    def state(self) -> dict[str, Any]:
        """The snapshot of `/api/state`. Raises `OperatorError`."""
        return dict(self._ask("/api/state", None))

    def change(self, service: str, verb: str, wish: dict[str, Any]) -> dict[str, Any]:
        """Adds, drains, removes. Raises `OperatorError` with the front end's reason."""
        return dict(self._ask(f"/api/services/{service}/{verb}", wish))

    def _ask(self, path: str, body: dict[str, Any] | None) -> Any:
        scheme = "https" if self._tls else "http"
        request = urllib.request.Request(
            f"{scheme}://{self.address}{path}", headers={"X-Clustercore": "command"}
        )
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        # Without this the environment's proxy would be asked for a loopback address.
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self._tls is not None:
            handlers.append(urllib.request.HTTPSHandler(context=self._tls))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise OperatorError(_reason(error)) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise OperatorError(
                f"console {self.address} does not answer ({reason}); start a front end or name its "
                f"console with --console"
            ) from None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the console answers {error.code} {error.reason}"
