//! Stubs in Python, on `clustercore` and messages of protoc.

mod streamed;

use crate::model::{Method, Model, Service, Type, stem};
use heck::ToSnakeCase as _;
use prost_types::compiler::code_generator_response::File;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// `FILE_clustercore.py`, beside `FILE_pb2.py`.
pub fn files(model: &Model) -> Vec<File> {
    let mut out =
        format!("\"\"\"Stubs of {}, made by protoc-gen-clustercore; do not edit.\"\"\"\n\n", model.file);
    let is_streamed = model.services.iter().flat_map(|service| &service.methods).any(Method::is_streamed);
    out.push_str(if is_streamed { streamed::IMPORTS } else { IMPORTS });
    let types = model.services.iter().flat_map(|service| &service.methods);
    let modules: BTreeSet<&str> =
        types.flat_map(|method| [&method.request, &method.reply]).map(|of| of.file.as_str()).collect();
    for file in modules {
        let module = module(file);
        let _ = match module.rsplit_once('.') {
            Some((package, name)) => writeln!(out, "from {package} import {name} as {}", alias(file)),
            None => writeln!(out, "import {module} as {}", alias(file)),
        };
    }
    for service in &model.services {
        base(&mut out, service);
        client(&mut out, service, false);
        client(&mut out, service, true);
        register(&mut out, service);
    }
    if is_streamed {
        out.push_str(streamed::HELPERS);
    }
    vec![File {
        name: Some(format!("{}_clustercore.py", model.stem())),
        content: Some(out),
        ..File::default()
    }]
}

fn base(out: &mut String, service: &Service) {
    let _ = write!(out, "\n\nclass {}:\n", service.name);
    doc(out, "    ", &service.doc, &format!("Serves {}: override its methods.", service.full_name));
    for method in &service.methods {
        let Method { name, request, reply, .. } = method;
        let request = match method.takes_many {
            true => format!("requests: Iterator[{}]", class(request)),
            false => format!("request: {}", class(request)),
        };
        let reply = if method.gives_many { format!("Iterator[{}]", class(reply)) } else { class(reply) };
        let _ = write!(out, "\n    def {name}(self, {request}, context: CallContext) -> {reply}:\n");
        doc(out, "        ", &method.doc, &format!("Executes {}/{name}.", service.full_name));
        let _ = writeln!(out, "        raise call_failed(\"UNIMPLEMENTED\", \"{name} is not implemented\")");
    }
}

fn client(out: &mut String, service: &Service, is_async: bool) {
    let (suffix, channel, define, wait, how) = if is_async {
        ("AsyncClient", "Calls", "async def", "await ", "awaits")
    } else {
        ("Client", "Channel", "def", "", "waits for")
    };
    let _ = write!(out, "\n\nclass {}{suffix}:\n", service.name);
    let text =
        format!("Calls {} and {how} the reply. Its methods raise clustercore.CallFailed.", service.full_name);
    doc(out, "    ", &[], &text);
    let _ = write!(
        out,
        "\n    def __init__(self, channel: {channel}) -> None:\n        self._channel = channel\n"
    );
    for method in &service.methods {
        if method.is_streamed() {
            streamed::call(out, service, method, is_async);
            continue;
        }
        let Method { name, request, reply, .. } = method;
        let _ = write!(
            out,
            "\n    {define} {name}(\n        self,\n        request: {},\n        *,\n        timeout: float | None = None,\n        \
             metadata: dict[str, bytes] | None = None,\n    ) -> {}:\n",
            class(request),
            class(reply)
        );
        doc(out, "        ", &method.doc, &format!("Calls {}/{name}.", service.full_name));
        let idempotent = if method.is_idempotent { ",\n            idempotent=True" } else { "" };
        let _ = write!(
            out,
            "        results = {wait}self._channel.call(\n            \"{}/{name}\",\n            request.SerializeToString(),\n            \
             timeout=timeout,\n            metadata=metadata{idempotent},\n        )\n        return {}.FromString(results)\n",
            service.full_name,
            class(reply)
        );
    }
}

fn register(out: &mut String, service: &Service) {
    let function = service.name.to_snake_case();
    let _ = write!(
        out,
        "\n\ndef {function}_methods(service: {}) -> dict[str, Callable[..., object]]:\n    \
         \"\"\"The methods of {} as CallServer.add takes them.\"\"\"\n",
        service.name, service.full_name
    );
    let mut names = Vec::new();
    for method in &service.methods {
        let inner = method.name.to_snake_case();
        names.push(format!("\"{}\": {inner}", method.name));
        if method.is_streamed() {
            streamed::handler(out, method, false);
            continue;
        }
        let _ = write!(
            out,
            "\n    def {inner}(context: CallContext, arguments: bytes) -> bytes:\n        \
             request = _read({}, arguments)\n        return service.{}(request, context).SerializeToString()\n",
            class(&method.request),
            method.name
        );
    }
    let _ = write!(out, "\n    return {{{}}}\n", names.join(", "));
    let _ = write!(
        out,
        "\n\ndef add_{function}(server: CallServer, service: {}, *, place: str = \"worker\") -> None:\n    \
         \"\"\"Adds {} to a server; its methods run where `place` says, \"worker\" or \"loop\".\"\"\"\n    \
         server.add(\"{}\", {function}_methods(service), place=place)\n",
        service.name, service.full_name, service.full_name
    );
    let _ = write!(
        out,
        "\n\ndef {function}_coroutines(service: object) -> dict[str, Callable[..., object]]:\n    \
         \"\"\"The methods of an object whose methods are coroutines, as clustercore.aio.serve takes them.\"\"\"\n"
    );
    let mut names = Vec::new();
    for method in &service.methods {
        let inner = method.name.to_snake_case();
        names.push(format!("\"{}\": {inner}", method.name));
        if method.is_streamed() {
            streamed::handler(out, method, true);
            continue;
        }
        let _ = write!(
            out,
            "\n    async def {inner}(context: CallContext, arguments: bytes) -> bytes:\n        \
             request = _read({}, arguments)\n        reply = await service.{}(request, context)\n        \
             return reply.SerializeToString()\n",
            class(&method.request),
            method.name
        );
    }
    let _ = write!(out, "\n    return {{{}}}\n", names.join(", "));
    if !out.contains("\ndef _read(") {
        out.push_str(
            "\n\ndef _read(kind, arguments: bytes):\n    try:\n        return kind.FromString(arguments)\n    \
             except Exception as error:\n        raise call_failed(\"INVALID_ARGUMENT\", f\"the arguments cannot be read: {error}\") from error\n",
        );
    }
}

fn module(file: &str) -> String {
    format!("{}_pb2", stem(file).replace(['/'], ".").replace('-', "_"))
}

fn alias(file: &str) -> String {
    module(file).replace('.', "_")
}

fn class(of: &Type) -> String {
    format!("{}.{}", alias(&of.file), of.path.join("."))
}

fn doc(out: &mut String, indent: &str, doc: &[String], otherwise: &str) {
    let lines = if doc.is_empty() { vec![otherwise.to_string()] } else { doc.to_vec() };
    let text = lines.join(&format!("\n{indent}")).replace('\\', "\\\\").replace("\"\"\"", "'''");
    let end = if lines.len() > 1 { format!("\n{indent}") } else { String::new() };
    let _ = writeln!(out, "{indent}\"\"\"{text}{end}\"\"\"");
}

const IMPORTS: &str = "from collections.abc import Callable\n\n\
     from clustercore import CallContext, CallServer, Channel, call_failed\nfrom clustercore.aio import Calls\n\n";
