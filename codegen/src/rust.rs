//! Stubs in Rust, on `clustercore::calls` and messages of prost.

mod streamed;

use crate::model::{Method, Model, Service, Type};
use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_types::compiler::code_generator_response::File;
use std::fmt::Write as _;

/// `PACKAGE.services.rs`, for the module in which prost's messages of the package are.
pub fn files(model: &Model) -> Vec<File> {
    let mut out = format!("// Stubs of {}, made by protoc-gen-clustercore; do not edit.\n", model.file);
    for service in &model.services {
        trait_of(&mut out, model, service);
        register(&mut out, model, service);
        client(&mut out, model, service);
        for method in service.methods.iter().filter(|method| method.is_streamed()) {
            put(&mut out, "", &streamed::parts(model, service, method));
            put(&mut out, "", &streamed::made(model, service, method));
        }
    }
    let package = if model.package.is_empty() { "_" } else { &model.package };
    vec![File { name: Some(format!("{package}.services.rs")), content: Some(out), ..File::default() }]
}

fn trait_of(out: &mut String, model: &Model, service: &Service) {
    let name = service.name.to_upper_camel_case();
    put(out, "", &[String::new()]);
    docs(out, "", &service.doc, &format!("Serves `{}`.", service.full_name));
    put(out, "", &[format!("pub trait {name}: Send + Sync + 'static {{")]);
    for (index, method) in service.methods.iter().enumerate() {
        if index > 0 {
            put(out, "", &[String::new()]);
        }
        docs(out, "    ", &method.doc, &format!("Executes `{}/{}`.", service.full_name, method.name));
        let mut lines = vec![
            format!("fn {}(", method.name.to_snake_case()),
            String::from("    &self,"),
            String::from("    context: &::clustercore::calls::Context<'_>,"),
        ];
        if !method.takes_many {
            lines.push(format!("    request: {},", path(model, &method.request)));
        }
        if method.is_streamed() {
            lines.push(format!("    parts: &{}<'_>,", streamed::parts_name(service, method)));
        }
        let reply = if method.gives_many { String::from("()") } else { path(model, &method.reply) };
        lines.push(format!(") -> ::core::result::Result<{reply}, ::clustercore::calls::Failure>;"));
        put(out, "    ", &lines);
    }
    put(out, "", &[String::from("}")]);
}

fn register(out: &mut String, _model: &Model, service: &Service) {
    let (name, function) = (service.name.to_upper_camel_case(), service.name.to_snake_case());
    put(
        out,
        "",
        &[
            String::new(),
            format!("/// `{}` as a service for `clustercore::calls::Server::add`.", service.full_name),
            format!("pub fn {function}_service(service: impl {name}) -> ::clustercore::calls::Service {{"),
            String::from("    let service = ::std::sync::Arc::new(service);"),
            format!("    ::clustercore::calls::Service::new(\"{}\")", service.full_name),
        ],
    );
    for method in &service.methods {
        if method.is_streamed() {
            put(out, "        ", &streamed::register(service, method));
            continue;
        }
        put(
            out,
            "        ",
            &[
                format!(".method(\"{}\", ::clustercore::calls::Place::Worker, {{", method.name),
                String::from("    let service = ::std::sync::Arc::clone(&service);"),
                String::from("    move |context, arguments, results| {"),
                String::from("        let request = ::prost::Message::decode(arguments).map_err(|error| {"),
                String::from("            ::clustercore::calls::Failure::new("),
                String::from("                ::clustercore::calls::Status::InvalidArgument,"),
                format!(
                    "                ::std::format!(\"the arguments of {} cannot be read: {{error}}\"),",
                    method.name
                ),
                String::from("            )"),
                String::from("        })?;"),
                format!("        let reply = service.{}(context, request)?;", method.name.to_snake_case()),
                String::from("        // A Vec has always room."),
                String::from("        let _ = ::prost::Message::encode(&reply, results);"),
                String::from("        Ok(())"),
                String::from("    }"),
                String::from("})"),
            ],
        );
    }
    put(out, "", &[String::from("}")]);
}

fn client(out: &mut String, model: &Model, service: &Service) {
    let name = service.name.to_upper_camel_case();
    put(
        out,
        "",
        &[
            String::new(),
            format!(
                "/// Calls `{}` on a channel. Each method returns a future of its reply, a streamed one its call.",
                service.full_name
            ),
            String::from("#[derive(Clone)]"),
            format!("pub struct {name}Client {{"),
            String::from("    channel: ::clustercore::calls::Channel,"),
            String::from("}"),
            String::new(),
            format!("impl {name}Client {{"),
            String::from("    /// A client on a channel, which may be shared."),
            String::from("    pub fn new(channel: ::clustercore::calls::Channel) -> Self {"),
            String::from("        Self { channel }"),
            String::from("    }"),
            String::new(),
            String::from("    /// The channel: its `block_on` waits for what the methods return."),
            String::from("    pub fn channel(&self) -> &::clustercore::calls::Channel {"),
            String::from("        &self.channel"),
            String::from("    }"),
        ],
    );
    for method in &service.methods {
        put(out, "", &[String::new()]);
        docs(out, "    ", &method.doc, &format!("Calls `{}/{}`.", service.full_name, method.name));
        let lines = if method.is_streamed() {
            streamed::call(model, service, method)
        } else {
            call(model, service, method)
        };
        put(out, "    ", &lines);
    }
    put(out, "", &[String::from("}")]);
}

fn call(model: &Model, service: &Service, method: &Method) -> Vec<String> {
    let reply = path(model, &method.reply);
    let mut lines = vec![
        format!("pub fn {}(", method.name.to_snake_case()),
        String::from("    &self,"),
        format!("    request: &{},", path(model, &method.request)),
        format!(
            "    {}call: ::clustercore::calls::CallConfig,",
            if method.is_idempotent { "mut " } else { "" }
        ),
        format!(
            ") -> impl ::core::future::Future<Output = ::core::result::Result<{reply}, ::clustercore::calls::CallFailure>> + use<> {{"
        ),
    ];
    if method.is_idempotent {
        lines.push(String::from("    call.is_idempotent = true;"));
    }
    lines.extend([
        String::from("    let arguments = ::prost::Message::encode_to_vec(request);"),
        format!(
            "    let pending = self.channel.call(\"{}/{}\", arguments, call);",
            service.full_name, method.name
        ),
        String::from("    async move {"),
        String::from("        let reply = pending.await?;"),
        String::from("        ::prost::Message::decode(&reply.results[..])"),
        String::from("            .map_err(|error| ::clustercore::calls::CallFailure::unreadable(&error))"),
        String::from("    }"),
        String::from("}"),
    ]);
    lines
}

/// A type as the module of the package names it, in prost's manner.
fn path(model: &Model, of: &Type) -> String {
    if of.package == "google.protobuf" {
        return match of.path[0].as_str() {
            "Empty" => String::from("()"),
            name => format!("::prost_types::{}", name.to_upper_camel_case()),
        };
    }
    let mut path = String::new();
    if of.package != model.package {
        let here = model.package.split('.').filter(|part| !part.is_empty()).count();
        path.push_str(&"super::".repeat(here));
        for part in of.package.split('.').filter(|part| !part.is_empty()) {
            let _ = write!(path, "{}::", part.to_snake_case());
        }
    }
    let (name, around) = of.path.split_last().expect("a type has a name");
    for part in around {
        let _ = write!(path, "{}::", part.to_snake_case());
    }
    path + &name.to_upper_camel_case()
}

fn docs(out: &mut String, indent: &str, doc: &[String], otherwise: &str) {
    let lines = if doc.is_empty() { vec![otherwise.to_string()] } else { doc.to_vec() };
    put(out, indent, &lines.iter().map(|line| format!("/// {line}")).collect::<Vec<_>>());
}

fn put(out: &mut String, indent: &str, lines: &[String]) {
    for line in lines {
        out.push_str(if line.is_empty() { "" } else { indent });
        out.push_str(line);
        out.push('\n');
    }
}
