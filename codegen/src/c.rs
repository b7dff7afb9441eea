//! Stubs in C, on `clustercore.h` and messages of protobuf-c.

mod streamed;

use crate::model::{Method, Model, Service, Type, stem};
use heck::{ToShoutySnakeCase as _, ToSnakeCase as _};
use prost_types::compiler::code_generator_response::File;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// `FILE.clc.h` and `FILE.clc.c`, beside `FILE.pb-c.h`.
pub fn files(model: &Model) -> Vec<File> {
    let file = |ending: &str, content| File {
        name: Some(format!("{}.clc.{ending}", model.stem())),
        content: Some(content),
        ..File::default()
    };
    vec![file("h", header(model)), file("c", source(model))]
}

fn header(model: &Model) -> String {
    let guard = format!("{}_CLC_H", model.stem().to_shouty_snake_case());
    let mut out = format!(
        "/* Stubs of {}, made by protoc-gen-clustercore; do not edit. */\n#ifndef {guard}\n#define {guard}\n\n\
         #include <clustercore.h>\n",
        model.file
    );
    let methods = model.services.iter().flat_map(|service| &service.methods);
    let files: BTreeSet<&str> =
        methods.flat_map(|method| [&method.request, &method.reply]).map(|of| of.file.as_str()).collect();
    for file in files {
        let _ = writeln!(out, "#include \"{}.pb-c.h\"", stem(file));
    }
    out.push_str("\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
    for service in &model.services {
        let prefix = prefix(service);
        for method in &service.methods {
            if method.is_streamed() {
                streamed::declare(&mut out, service, &prefix, method);
                continue;
            }
            let text = if method.doc.is_empty() {
                format!("Calls {}/{}.", service.full_name, method.name)
            } else {
                method.doc.join("\n * ")
            };
            let _ = write!(
                out,
                "\n/* {text}\n * Waits for the reply, to be freed by {}__free_unpacked. `result_out` may be NULL.\n * Errors: as \
                 clc_channel_call; BAD_RESPONSE: the results cannot be read. */\n{};\n",
                lower(&method.reply),
                call_signature(&prefix, method)
            );
            let _ = write!(
                out,
                "\n/* The same without waiting: clc_channel_next gives the end, with `token`. */\n{};\n",
                submit_signature(&prefix, method)
            );
        }
        let _ = write!(
            out,
            "\n/* Handlers of {}: each fills in `reply` (what it points to is from malloc, and freed for it) and returns 0, or\n * \
             another code of google.rpc.Code with words by clc_call_reply_text. One that is NULL answers UNIMPLEMENTED. */\n\
             typedef struct {prefix}_handlers {{\n",
            service.full_name
        );
        for method in &service.methods {
            if method.is_streamed() {
                streamed::member(&mut out, method);
                continue;
            }
            let _ = write!(
                out,
                "    uint32_t (*{})(void *user, const clc_call_context *context, const {} *request, {} *reply,\n        \
                 clc_call_reply *words);\n",
                method.name.to_snake_case(),
                upper(&method.request),
                upper(&method.reply)
            );
        }
        let _ = write!(
            out,
            "    /* Given to each handler. */\n    void *user;\n}} {prefix}_handlers;\n\n/* Adds {} to a server; `handlers` must live as \
             long as it. `place` is a clc_call_place, where those that are not \
             streamed run.\n * Errors: as clc_call_server_add. */\nclc_status {prefix}_serve(clc_call_server *server, \
             const {prefix}_handlers *handlers, uint32_t place);\n",
            service.full_name
        );
    }
    out.push_str("\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
    out
}

fn source(model: &Model) -> String {
    let base = model.stem().rsplit('/').next().unwrap_or_default();
    let mut out = format!(
        "/* Stubs of {}, made by protoc-gen-clustercore; do not edit. */\n#include \"{base}.clc.h\"\n\n#include <stdlib.h>\n#include \
         <string.h>\n",
        model.file
    );
    for service in &model.services {
        let prefix = prefix(service);
        for method in &service.methods {
            if method.is_streamed() {
                streamed::define(&mut out, service, &prefix, method);
                continue;
            }
            calls(&mut out, service, &prefix, method);
            handler(&mut out, &prefix, method);
        }
        serve(&mut out, service, &prefix);
    }
    out
}

fn serve(out: &mut String, service: &Service, prefix: &str) {
    let _ = write!(
        out,
        "\nclc_status {prefix}_serve(clc_call_server *server, const {prefix}_handlers *handlers, uint32_t place) {{\n    \
         if (handlers == NULL) return CLC_ERROR_NULL_ARGUMENT;\n    clc_status status = CLC_OK;\n"
    );
    let (streamed, whole): (Vec<&Method>, Vec<&Method>) =
        service.methods.iter().partition(|method| method.is_streamed());
    let name = &service.full_name;
    let mut add = |methods: &[&Method], kind: &str, array: &str, call: &str| {
        if methods.is_empty() {
            return;
        }
        let _ = writeln!(out, "    static const {kind} {array}[] = {{");
        for method in methods {
            let _ = writeln!(
                out,
                "        {{\"{}\", {prefix}_{}_handle}},",
                method.name,
                method.name.to_snake_case()
            );
        }
        let _ = write!(out, "    }};\n    if (status == CLC_OK) {{\n        status = {call};\n    }}\n");
    };
    let call = format!(
        "clc_call_server_add(server, \"{name}\", methods, sizeof methods / sizeof *methods, place,\n            (void *)handlers)"
    );
    add(&whole, "clc_method", "methods", &call);
    let call = format!(
        "clc_call_server_add_streamed(server, \"{name}\", streamed, sizeof streamed / sizeof *streamed,\n            (void *)handlers)"
    );
    add(&streamed, "clc_streamed_method", "streamed", &call);
    if whole.is_empty() {
        out.push_str("    (void)place;\n");
    }
    out.push_str("    return status;\n}\n");
}

fn calls(out: &mut String, service: &Service, prefix: &str, method: &Method) {
    let (request, reply) = (lower(&method.request), lower(&method.reply));
    let idempotent = if method.is_idempotent { "    how.is_idempotent = 1;\n" } else { "" };
    let pack = format!(
        "    clc_call_options how = {{.struct_size = sizeof how}};\n    if (request == NULL) return CLC_ERROR_NULL_ARGUMENT;\n    \
         if (options != NULL) how = *options;\n{idempotent}    size_t len = {request}__get_packed_size(request);\n    \
         uint8_t *arguments = malloc(len > 0 ? len : 1);\n    if (arguments == NULL) return CLC_ERROR_OUT_OF_MEMORY;\n    \
         {request}__pack(request, arguments);\n    clc_bytes bytes = {{arguments, len}};\n"
    );
    let name = format!("{}/{}", service.full_name, method.name);
    let _ = write!(
        out,
        "\n{} {{\n{pack}    clc_call_result result;\n    memset(&result, 0, sizeof result);\n    \
         clc_status status = clc_channel_call(channel, \"{name}\", bytes, &how, &result);\n    free(arguments);\n    \
         if (result_out != NULL) *result_out = result;\n    if (status != CLC_OK) return status;\n    \
         {} *read = {reply}__unpack(NULL, result.results.len, result.results.data);\n    \
         if (read == NULL) return CLC_ERROR_BAD_RESPONSE;\n    if (reply_out != NULL) *reply_out = read;\n    \
         else {reply}__free_unpacked(read, NULL);\n    return CLC_OK;\n}}\n",
        call_signature(prefix, method),
        upper(&method.reply)
    );
    let _ = write!(
        out,
        "\n{} {{\n{pack}    clc_status status = clc_channel_submit(channel, \"{name}\", bytes, &how, token, handle_out);\n    \
         free(arguments);\n    return status;\n}}\n",
        submit_signature(prefix, method)
    );
}

fn handler(out: &mut String, prefix: &str, method: &Method) {
    let name = method.name.to_snake_case();
    let (request, reply) = (lower(&method.request), lower(&method.reply));
    let _ = write!(
        out,
        "\nstatic uint32_t {prefix}_{name}_handle(void *user, const clc_call_context *context, clc_bytes arguments,\n    \
         clc_call_reply *words) {{\n    const {prefix}_handlers *handlers = user;\n    if (handlers->{name} == NULL) {{\n        \
         clc_call_reply_text(words, \"{} is not implemented\");\n        return 12;\n    }}\n    \
         {} *request = {request}__unpack(NULL, arguments.len, arguments.data);\n    if (request == NULL) {{\n        \
         clc_call_reply_text(words, \"the arguments of {} cannot be read\");\n        return 3;\n    }}\n    \
         {} *reply = malloc(sizeof *reply);\n    uint8_t *results = NULL;\n    uint32_t status = 8;\n    \
         if (reply != NULL) {{\n        {reply}__init(reply);\n        \
         status = handlers->{name}(handlers->user, context, request, reply, words);\n        \
         size_t len = {reply}__get_packed_size(reply);\n        results = malloc(len > 0 ? len : 1);\n        \
         if (results == NULL) status = 8;\n        if (status == 0) {{\n            {reply}__pack(reply, results);\n            \
         clc_call_reply_write(words, (clc_bytes){{results, len}});\n        }}\n        \
         {reply}__free_unpacked(reply, NULL);\n    }}\n    free(results);\n    {request}__free_unpacked(request, NULL);\n    \
         return status;\n}}\n",
        method.name,
        upper(&method.request),
        method.name,
        upper(&method.reply),
    );
}

fn call_signature(prefix: &str, method: &Method) -> String {
    format!(
        "clc_status {prefix}_{}(clc_channel *channel, const {} *request, const clc_call_options *options,\n    {} **reply_out, \
         clc_call_result *result_out)",
        method.name.to_snake_case(),
        upper(&method.request),
        upper(&method.reply)
    )
}

fn submit_signature(prefix: &str, method: &Method) -> String {
    format!(
        "clc_status {prefix}_{}_submit(clc_channel *channel, const {} *request, const clc_call_options *options,\n    uint64_t token, \
         clc_call_handle *handle_out)",
        method.name.to_snake_case(),
        upper(&method.request)
    )
}

/// `package_service`.
fn prefix(service: &Service) -> String {
    service.full_name.split('.').map(|part| part.to_snake_case()).collect::<Vec<_>>().join("_")
}

/// A type as protobuf-c names it: `Package__Outer__Inner`.
fn upper(of: &Type) -> String {
    parts(of).iter().map(|part| camel(part)).collect::<Vec<_>>().join("__")
}

/// The prefix of its functions: `package__outer__inner`.
fn lower(of: &Type) -> String {
    parts(of).iter().map(|part| camel_to_lower(part)).collect::<Vec<_>>().join("__")
}

fn parts(of: &Type) -> Vec<&str> {
    of.package.split('.').filter(|part| !part.is_empty()).chain(of.path.iter().map(String::as_str)).collect()
}

/// As protobuf-c's ToCamel: an underscore makes the next letter large, the first is large.
fn camel(part: &str) -> String {
    let mut out = String::new();
    let mut is_next_upper = true;
    for letter in part.chars() {
        if letter == '_' {
            is_next_upper = true;
        } else if is_next_upper {
            out.push(letter.to_ascii_uppercase());
            is_next_upper = false;
        } else {
            out.push(letter);
        }
    }
    out
}

/// As protobuf-c's CamelToLower: a large letter behind a small one begins a word.
fn camel_to_lower(part: &str) -> String {
    let mut out = String::new();
    let mut was_upper = true;
    for letter in part.chars() {
        let is_upper = letter.is_ascii_uppercase();
        if is_upper && !was_upper {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
        was_upper = is_upper;
    }
    out
}
