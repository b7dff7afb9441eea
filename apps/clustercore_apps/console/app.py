"""The console's web application (Starlette); see docs/operators/service-platform.md for every address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from clustercore_apps.console import metrics
from clustercore_apps.console.access import Access, AccessMiddleware
from clustercore_apps.console.channels import ChannelWatch
from clustercore_apps.console.live import LiveView
from clustercore_apps.errors import OperatorError
from clustercore_apps.service.front import Front

STREAM_SECONDS = 0.5
STREAMS_MAX = 64
BODY_BYTES_MAX = 4096
DECISIONS_MAX = 1000

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/console.js": ("console.js", "text/javascript; charset=utf-8"),
    "/channels.js": ("channels.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class Console:
    """Pages and interface of one front end, between `open` and `close`."""

    def __init__(self, front: Front, access: Access) -> None:
        self._front = front
        self._access = access
        self._live = LiveView(front)
        channel = front.config.channel
        reach = front.publisher.reach if front.publisher else None
        self._channels = ChannelWatch(reach, channel.name if channel else "", front.config.name)
        self._closing = asyncio.Event()
        self._streams = 0
        folder = resources.files("clustercore_apps.console") / "page"
        self._pages = {path: (folder / name).read_bytes() for path, (name, _kind) in _FILES.items()}

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [Route(path, self._page) for path in _FILES]
        routes += [
            Route("/api/state", self._state),
            Route("/api/stream", self._stream),
            Route("/api/decisions", self._decisions),
            Route("/api/channels", self._channels_once),
            Route("/api/channels/stream", self._channels_stream),
            Route("/api/services/{service}/{verb}", self._change, methods=["POST"]),
            Route("/metrics", self._metrics),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
        ]
        return Starlette(routes=routes, middleware=[Middleware(AccessMiddleware, access=self._access)])

    def open(self) -> None:
        """Begins to consume what the front end publishes."""
        self._live.open()

    async def close(self) -> None:
        """Ends the live streams, so that the server can end."""
        self._closing.set()
        self._channels.close()
        await asyncio.to_thread(self._live.close)

    async def _page(self, request: Request) -> Response:
        path = request.url.path
        response = Response(self._pages[path], media_type=_FILES[path][1])
        self._access.welcome(request, response)
        return response

    async def _state(self, _request: Request) -> Response:
        return JSONResponse(self._front.snapshot())

    async def _decisions(self, request: Request) -> Response:
        try:
            after = int(request.query_params.get("after", "0"))
            count = min(int(request.query_params.get("count", "100")), DECISIONS_MAX)
        except ValueError:
            return _error(400, '"after" and "count" must be whole numbers')
        latest = self._front.events.latest(max(1, count), after)
        return JSONResponse([decision.to_json() for decision in latest])

    async def _stream(self, _request: Request) -> Response:
        return self._streaming(self._snapshots())

    async def _snapshots(self) -> AsyncGenerator[dict[str, Any], None]:
        while True:
            yield self._live.snapshot()
            await asyncio.sleep(STREAM_SECONDS)

    async def _channels_once(self, request: Request) -> Response:
        return JSONResponse(await self._channels.answer(request.query_params.get("channel", "")))

    async def _channels_stream(self, request: Request) -> Response:
        return self._streaming(self._channels.answers(request.query_params.get("channel", "")))

    def _streaming(self, states: AsyncGenerator[dict[str, Any], None]) -> Response:
        if self._streams >= STREAMS_MAX:
            return _error(503, f"{STREAMS_MAX} live streams are open, which is the limit")
        return StreamingResponse(self._events(states), media_type="text/event-stream")

    async def _events(self, states: AsyncGenerator[dict[str, Any], None]) -> AsyncIterator[str]:
        """Server-sent events until the console ends or nobody reads them."""
        self._streams += 1
        ending = asyncio.create_task(self._closing.wait())
        coming: asyncio.Future[dict[str, Any]] | None = None
        try:
            while not ending.done():
                coming = asyncio.ensure_future(anext(states))
                await asyncio.wait({coming, ending}, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    yield f"data: {json.dumps(coming.result(), separators=(',', ':'))}\n\n"
        finally:
            self._streams -= 1
            ending.cancel()
            if coming is not None and not coming.done():
                # Which ends the generator too.
                coming.cancel()
            else:
                await states.aclose()

    async def _change(self, request: Request) -> Response:
        refusal = self._access.refusal_of_change(request)
        if refusal is not None:
            return refusal
        try:
            wish = await _read_wish(request)
            return JSONResponse(self._do(request.path_params["service"], request.path_params["verb"], wish))
        except OperatorError as error:
            return _error(409, str(error))
        except ValueError as error:
            return _error(400, str(error))

    def _do(self, service: str, verb: str, wish: dict[str, Any]) -> dict[str, str]:
        if verb == "add":
            return {"node": self._front.add(service)}
        node = wish.get("node")
        if verb not in ("drain", "remove"):
            raise ValueError(f'"{verb[:40]}" is not one of: add, drain, remove')
        if not isinstance(node, str):
            raise ValueError('"node" must be a string')
        self._front.drain(service, node, at_once=verb == "remove")
        return {"node": node}

    async def _metrics(self, _request: Request) -> Response:
        text = metrics.render(self._front.snapshot(0), self._front.counters(), self._front.events.counts)
        return Response(text, headers={"content-type": metrics.CONTENT_TYPE})

    async def _healthz(self, _request: Request) -> Response:
        failed = self._front.failed_task()
        if failed is not None:
            return _error(500, f"{failed.get_name()} has ended")
        return JSONResponse({"status": "ok"})

    async def _readyz(self, _request: Request) -> Response:
        if not self._front.is_ready:
            return _error(503, "starting or ending")
        return JSONResponse({"status": "ready"})


async def _read_wish(request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise ValueError(f"body is longer than {BODY_BYTES_MAX} bytes")
    try:
        wish = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise ValueError("body is not JSON") from None
    if not isinstance(wish, dict):
        raise ValueError("body must be a JSON object")
    return wish


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status)
