//! Stubs of streamed methods in Rust: the messages of a call, for its handler and for its caller.

use super::path;
use crate::model::{Method, Model, Service};
use heck::{ToSnakeCase as _, ToUpperCamelCase as _};

/// What the handler of a method is given.
pub fn parts_name(service: &Service, method: &Method) -> String {
    format!("{}{}Parts", service.name.to_upper_camel_case(), method.name.to_upper_camel_case())
}

/// What the caller of a method has.
fn call_name(service: &Service, method: &Method) -> String {
    format!("{}{}Call", service.name.to_upper_camel_case(), method.name.to_upper_camel_case())
}

/// The method among those of a service.
pub fn register(service: &Service, method: &Method) -> Vec<String> {
    let arguments = if method.takes_many { "_" } else { "arguments" };
    let results = if method.gives_many { "_" } else { "results" };
    let mut lines = vec![
        format!(".streamed(\"{}\", {{", method.name),
        String::from("    let service = ::std::sync::Arc::clone(&service);"),
        format!("    move |context, {arguments}, parts, {results}| {{"),
    ];
    let mut given = vec!["context"];
    if !method.takes_many {
        let text = format!("the arguments of {} cannot be read", method.name);
        lines.extend(unreadable("let request = ::prost::Message::decode(arguments)", "        ", &text));
        lines.push(String::from("        })?;"));
        given.push("request");
    }
    given.push("&parts");
    lines.push(format!("        let parts = {} {{ parts }};", parts_name(service, method)));
    let call = format!("service.{}({})", method.name.to_snake_case(), given.join(", "));
    if method.gives_many {
        lines.push(format!("        {call}"));
    } else {
        lines.extend([
            format!("        let reply = {call}?;"),
            String::from("        // A Vec has always room."),
            String::from("        let _ = ::prost::Message::encode(&reply, results);"),
            String::from("        Ok(())"),
        ]);
    }
    lines.extend([String::from("    }"), String::from("})")]);
    lines
}

/// The messages of a call, for its handler.
pub fn parts(model: &Model, service: &Service, method: &Method) -> Vec<String> {
    let (name, full) = (parts_name(service, method), format!("{}/{}", service.full_name, method.name));
    let mut lines = vec![
        String::new(),
        format!("/// The messages of a call of `{full}`, for its handler."),
        String::from("#[derive(Debug)]"),
        format!("pub struct {name}<'a> {{"),
        String::from("    parts: &'a ::clustercore::calls::Parts,"),
        String::from("}"),
        String::new(),
        format!("impl {name}<'_> {{"),
    ];
    if method.takes_many {
        lines.extend([
            String::from("    /// The next request, waiting for it; `None` when no more come."),
            String::from("    ///"),
            String::from("    /// Errors: what to return from the handler."),
            format!(
                "    pub fn next(&self) -> ::core::result::Result<::core::option::Option<{}>, ::clustercore::calls::Failure> {{",
                path(model, &method.request)
            ),
            String::from("        let Some(part) = self.parts.next()? else { return Ok(None) };"),
        ]);
        let text = format!("a request of {} cannot be read", method.name);
        lines.extend(unreadable("::prost::Message::decode(&part[..]).map(Some)", "        ", &text));
        lines.extend([String::from("        })"), String::from("    }"), String::new()]);
    }
    if method.gives_many {
        lines.extend([
            String::from("    /// Sends a reply, waiting for room."),
            String::from("    ///"),
            String::from("    /// Errors: what to return from the handler."),
            format!(
                "    pub fn send(&self, reply: &{}) -> ::core::result::Result<(), ::clustercore::calls::Failure> {{",
                path(model, &method.reply)
            ),
            String::from("        self.parts.send(&::prost::Message::encode_to_vec(reply))"),
            String::from("    }"),
            String::new(),
        ]);
    }
    lines.extend([
        String::from("    /// The same as bytes."),
        String::from("    pub fn parts(&self) -> &::clustercore::calls::Parts {"),
        String::from("        self.parts"),
        String::from("    }"),
        String::from("}"),
    ]);
    lines
}

/// The method of the client.
pub fn call(model: &Model, service: &Service, method: &Method) -> Vec<String> {
    let name = call_name(service, method);
    let mut lines = vec![format!("pub fn {}(", method.name.to_snake_case()), String::from("    &self,")];
    if !method.takes_many {
        lines.push(format!("    request: &{},", path(model, &method.request)));
    }
    let mutable = if method.is_idempotent { "mut " } else { "" };
    lines.push(format!("    {mutable}call: ::clustercore::calls::CallConfig,"));
    lines.push(format!(") -> {name} {{"));
    if method.is_idempotent {
        lines.push(String::from("    call.is_idempotent = true;"));
    }
    let arguments =
        if method.takes_many { "::std::vec::Vec::new()" } else { "::prost::Message::encode_to_vec(request)" };
    lines.push(format!("    let arguments = {arguments};"));
    lines.push(format!(
        "    let stream = self.channel.stream(\"{}/{}\", arguments, call);",
        service.full_name, method.name
    ));
    if !method.takes_many {
        lines.push(String::from("    stream.end();"));
    }
    lines.extend([format!("    {name} {{ stream }}"), String::from("}")]);
    lines
}

/// A call, for its caller.
pub fn made(model: &Model, service: &Service, method: &Method) -> Vec<String> {
    let (name, full) = (call_name(service, method), format!("{}/{}", service.full_name, method.name));
    let mut lines = vec![
        String::new(),
        format!("/// A call of `{full}`. Dropping it cancels the call."),
        String::from("#[derive(Debug)]"),
        format!("pub struct {name} {{"),
        String::from("    stream: ::clustercore::calls::Streamed,"),
        String::from("}"),
        String::new(),
        format!("impl {name} {{"),
    ];
    if method.takes_many {
        lines.extend([
            String::from("    /// Sends a request, waiting for room. Errors: as `Streamed::send`."),
            format!(
                "    pub fn send(&self, request: &{}) -> ::clustercore::Result<()> {{",
                path(model, &method.request)
            ),
            String::from("        self.stream.send(&::prost::Message::encode_to_vec(request))"),
            String::from("    }"),
            String::new(),
            String::from("    /// Sends no more requests."),
            String::from("    pub fn end(&self) {"),
            String::from("        self.stream.end();"),
            String::from("    }"),
            String::new(),
        ]);
    }
    if method.gives_many {
        lines.extend([
            String::from(
                "    /// The next reply, waiting for it; `None` when the call has ended: `status` tells how.",
            ),
            format!(
                "    pub fn take(&self) -> ::clustercore::Result<::core::option::Option<{}>> {{",
                path(model, &method.reply)
            ),
            String::from("        let Some(part) = self.stream.take()? else { return Ok(None) };"),
            String::from("        let reply = ::prost::Message::decode(&part[..])"),
            String::from(
                "            .map_err(|error| ::clustercore::calls::CallFailure::unreadable(&error))?;",
            ),
            String::from("        Ok(Some(reply))"),
            String::from("    }"),
            String::new(),
            String::from(
                "    /// How the call has ended, waiting for it; replies that were not taken are dropped.",
            ),
            String::from(
                "    pub fn status(self) -> ::core::result::Result<(), ::clustercore::calls::CallFailure> {",
            ),
            String::from("        self.stream.status().map(|_| ())"),
            String::from("    }"),
            String::new(),
        ]);
    } else {
        lines.extend([
            String::from("    /// The reply, waiting for it."),
            format!(
                "    pub fn status(self) -> ::core::result::Result<{}, ::clustercore::calls::CallFailure> {{",
                path(model, &method.reply)
            ),
            String::from("        let reply = self.stream.status()?;"),
            String::from("        ::prost::Message::decode(&reply.results[..])"),
            String::from(
                "            .map_err(|error| ::clustercore::calls::CallFailure::unreadable(&error))",
            ),
            String::from("    }"),
            String::new(),
        ]);
    }
    lines.extend([
        String::from("    /// The same as bytes, and without waiting."),
        String::from("    pub fn stream(&self) -> &::clustercore::calls::Streamed {"),
        String::from("        &self.stream"),
        String::from("    }"),
        String::from("}"),
    ]);
    lines
}

/// A decoding and what is said when it fails; the caller closes it.
fn unreadable(decode: &str, indent: &str, text: &str) -> [String; 5] {
    [
        format!("{indent}{decode}.map_err(|error| {{"),
        format!("{indent}    ::clustercore::calls::Failure::new("),
        format!("{indent}        ::clustercore::calls::Status::InvalidArgument,"),
        format!("{indent}        ::std::format!(\"{text}: {{error}}\"),"),
        format!("{indent}    )"),
    ]
}
