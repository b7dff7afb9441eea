//! Stubs of streamed methods in Python: iterators of messages, both ways.

use super::{class, doc};
use crate::model::{Method, Service};
use heck::ToSnakeCase as _;
use std::fmt::Write as _;

/// The method of a client.
pub fn call(out: &mut String, service: &Service, method: &Method, is_async: bool) {
    let Method { name, request, reply, takes_many, gives_many, .. } = method;
    let (request, reply) = (class(request), class(reply));
    let many = if is_async { "AsyncIterable[{}] | Iterable[{}]" } else { "Iterable[{}]" };
    let taken = match takes_many {
        true => format!("requests: {}", many.replace("{}", &request)),
        false => format!("request: {request}"),
    };
    let (define, returned) = match (is_async, gives_many) {
        (true, true) => ("def", format!("AsyncIterator[{reply}]")),
        (true, false) => ("async def", reply.clone()),
        (false, true) => ("def", format!("Iterator[{reply}]")),
        (false, false) => ("def", reply.clone()),
    };
    let _ = write!(
        out,
        "\n    {define} {name}(\n        self,\n        {taken},\n        *,\n        timeout: float | None = None,\n        \
         metadata: dict[str, bytes] | None = None,\n    ) -> {returned}:\n"
    );
    doc(out, "        ", &method.doc, &format!("Calls {}/{name}.", service.full_name));
    let (serialized, replies) =
        if is_async { ("_async_serialized", "_async_replies") } else { ("_serialized", "_replies") };
    let carried = match takes_many {
        true => format!("parts={serialized}(requests)"),
        false => String::from("request.SerializeToString()"),
    };
    let idempotent = if method.is_idempotent { ",\n            idempotent=True" } else { "" };
    let _ = write!(
        out,
        "        stream = self._channel.stream(\n            \"{}/{name}\",\n            {carried},\n            timeout=timeout,\n            \
         metadata=metadata{idempotent},\n        )\n",
        service.full_name
    );
    if !takes_many {
        out.push_str("        stream.end()\n");
    }
    let wait = if is_async { "await " } else { "" };
    let _ = match gives_many {
        true => writeln!(out, "        return {replies}({reply}, stream)"),
        false => writeln!(out, "        return {reply}.FromString({wait}stream.results())"),
    };
}

/// The method as CallServer.add, or aio.serve, takes it.
pub fn handler(out: &mut String, method: &Method, is_async: bool) {
    let (inner, request) = (method.name.to_snake_case(), class(&method.request));
    let (define, parts, requests) = match is_async {
        true => ("async def", "AsyncParts", "_async_requests"),
        false => ("def", "CallParts", "_requests"),
    };
    let returned = match (is_async, method.gives_many) {
        (true, true) => "AsyncIterator[bytes]",
        (false, true) => "Iterator[bytes]",
        (_, false) => "bytes",
    };
    let given = match method.takes_many {
        true => format!("{requests}({request}, parts)"),
        false => format!("_read({request}, arguments)"),
    };
    let _ = write!(
        out,
        "\n    @streamed\n    {define} {inner}(context: CallContext, arguments: bytes, parts: {parts}) -> {returned}:\n"
    );
    let called = format!("service.{}({given}, context)", method.name);
    let (loops, wait) = if is_async { ("async for", "await ") } else { ("for", "") };
    let _ = match method.gives_many {
        true => {
            write!(out, "        {loops} reply in {called}:\n            yield reply.SerializeToString()\n")
        }
        false => write!(out, "        reply = {wait}{called}\n        return reply.SerializeToString()\n"),
    };
}

/// In the place of the imports of a file without streams.
pub const IMPORTS: &str = "from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator\n\n\
     from clustercore import CallContext, CallParts, CallServer, Channel, Stream, call_failed, streamed\n\
     from clustercore.aio import AsyncParts, AsyncStream, Calls\n\n";

/// Messages of parts and parts of messages.
pub const HELPERS: &str = r#"

def _serialized(requests: Iterable) -> Iterator[bytes]:
    for request in requests:
        yield request.SerializeToString()


async def _async_serialized(requests: AsyncIterable | Iterable) -> AsyncIterator[bytes]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request.SerializeToString()
    else:
        for request in requests:
            yield request.SerializeToString()


def _requests(kind, parts: CallParts) -> Iterator:
    for part in parts:
        yield _read(kind, part)


async def _async_requests(kind, parts: AsyncParts) -> AsyncIterator:
    async for part in parts:
        yield _read(kind, part)


def _replies(kind, stream: Stream) -> Iterator:
    with stream:
        for part in stream:
            yield kind.FromString(part)


async def _async_replies(kind, stream: AsyncStream) -> AsyncIterator:
    async with stream:
        async for part in stream:
            yield kind.FromString(part)
"#;
