//! Stubs of streamed methods in C: messages in the place of parts.

use super::{lower, upper};
use crate::model::{Method, Service};
use heck::ToSnakeCase as _;
use std::fmt::Write as _;

/// What the header says of a method.
pub fn declare(out: &mut String, service: &Service, prefix: &str, method: &Method) {
    let text = if method.doc.is_empty() {
        format!("Calls {}/{}.", service.full_name, method.name)
    } else {
        method.doc.join("\n * ")
    };
    let _ = write!(
        out,
        "\n/* {text}\n * A streamed call: as clc_channel_stream. */\n{};\n",
        open_signature(prefix, method)
    );
    if method.takes_many {
        let _ = write!(
            out,
            "\n/* Sends a request of it: as clc_channel_send_part; clc_channel_end_parts says that no more follow. */\n{};\n\
             \n/* For its handler: the next request, to be freed by {}__free_unpacked. As clc_call_parts_next; BAD_RESPONSE: it cannot be\n * read. */\n{};\n",
            send_signature(prefix, method),
            lower(&method.request),
            next_signature(prefix, method),
        );
    }
    if method.gives_many {
        let _ = write!(
            out,
            "\n/* Takes a reply of it, to be freed by {}__free_unpacked: as clc_channel_take_part; BAD_RESPONSE: it cannot be read. When\n * there \
             are no more, clc_channel_stream_status tells how it has ended. */\n{};\n\
             \n/* For its handler: sends a reply. As clc_call_parts_send. */\n{};\n",
            lower(&method.reply),
            take_signature(prefix, method),
            reply_signature(prefix, method),
        );
    } else {
        let _ = write!(
            out,
            "\n/* Its reply, to be freed by {}__free_unpacked: as clc_channel_stream_status, which it calls; BAD_RESPONSE: it cannot be\n * read. */\n{};\n",
            lower(&method.reply),
            status_signature(prefix, method),
        );
    }
}

/// Its member in the struct of handlers.
pub fn member(out: &mut String, method: &Method) {
    let request = if method.takes_many {
        String::new()
    } else {
        format!("const {} *request, ", upper(&method.request))
    };
    let reply = if method.gives_many { String::new() } else { format!("{} *reply, ", upper(&method.reply)) };
    let _ = write!(
        out,
        "    uint32_t (*{})(void *user, const clc_call_context *context, {request}clc_call_parts *parts,\n        {reply}clc_call_reply *words);\n",
        method.name.to_snake_case()
    );
}

/// Its functions.
pub fn define(out: &mut String, service: &Service, prefix: &str, method: &Method) {
    open(out, service, prefix, method);
    if method.takes_many {
        let request = lower(&method.request);
        let _ = write!(
            out,
            "\n{} {{\n    if (request == NULL) return CLC_ERROR_NULL_ARGUMENT;\n{}    clc_status status = clc_channel_send_part(channel, handle, \
             bytes, timeout_ns);\n    free(packed);\n    return status;\n}}\n",
            send_signature(prefix, method),
            pack("    ", &request, "request")
        );
        let _ = write!(
            out,
            "\n{} {{\n    clc_bytes part;\n    int got = clc_call_parts_next(parts, &part);\n    if (got != 1) return got;\n    {} *read = \
             {request}__unpack(NULL, part.len, part.data);\n    if (read == NULL) return CLC_ERROR_BAD_RESPONSE;\n    if (request_out != NULL) \
             *request_out = read;\n    else {request}__free_unpacked(read, NULL);\n    return 1;\n}}\n",
            next_signature(prefix, method),
            upper(&method.request)
        );
    }
    let (reply, kind) = (lower(&method.reply), upper(&method.reply));
    if method.gives_many {
        let _ = write!(
            out,
            "\n{} {{\n    clc_bytes part;\n    int got = clc_channel_take_part(channel, handle, timeout_ns, &part);\n    if (got != 1) return \
             got;\n    {kind} *read = {reply}__unpack(NULL, part.len, part.data);\n    if (read == NULL) return CLC_ERROR_BAD_RESPONSE;\n    \
             if (reply_out != NULL) *reply_out = read;\n    else {reply}__free_unpacked(read, NULL);\n    return 1;\n}}\n",
            take_signature(prefix, method)
        );
        let _ = write!(
            out,
            "\n{} {{\n    if (reply == NULL) return CLC_ERROR_NULL_ARGUMENT;\n{}    clc_status status = clc_call_parts_send(parts, bytes);\n    \
             free(packed);\n    return status;\n}}\n",
            reply_signature(prefix, method),
            pack("    ", &reply, "reply")
        );
    } else {
        let _ = write!(
            out,
            "\n{} {{\n    clc_call_result result;\n    memset(&result, 0, sizeof result);\n    clc_status status = \
             clc_channel_stream_status(channel, handle, timeout_ns, &result);\n    if (result_out != NULL) *result_out = result;\n    \
             if (status != CLC_OK) return status;\n    {kind} *read = {reply}__unpack(NULL, result.results.len, result.results.data);\n    \
             if (read == NULL) return CLC_ERROR_BAD_RESPONSE;\n    if (reply_out != NULL) *reply_out = read;\n    \
             else {reply}__free_unpacked(read, NULL);\n    return CLC_OK;\n}}\n",
            status_signature(prefix, method)
        );
    }
    handle(out, prefix, method);
}

fn open(out: &mut String, service: &Service, prefix: &str, method: &Method) {
    let idempotent = if method.is_idempotent { "    how.is_idempotent = 1;\n" } else { "" };
    let _ = write!(
        out,
        "\n{} {{\n    clc_call_options how = {{.struct_size = sizeof how}};\n    if (options != NULL) how = *options;\n{idempotent}",
        open_signature(prefix, method)
    );
    let name = format!("{}/{}", service.full_name, method.name);
    if method.takes_many {
        let _ = write!(
            out,
            "    clc_bytes none = {{NULL, 0}};\n    return clc_channel_stream(channel, \"{name}\", none, &how, token, handle_out);\n}}\n"
        );
        return;
    }
    let _ = write!(
        out,
        "    if (request == NULL) return CLC_ERROR_NULL_ARGUMENT;\n{}    clc_status status = clc_channel_stream(channel, \"{name}\", bytes, \
         &how, token, handle_out);\n    free(packed);\n    if (status == CLC_OK) status = clc_channel_end_parts(channel, *handle_out);\n    \
         return status;\n}}\n",
        pack("    ", &lower(&method.request), "request")
    );
}

/// The function that the server calls.
fn handle(out: &mut String, prefix: &str, method: &Method) {
    let Method { takes_many, gives_many, .. } = method;
    let name = method.name.to_snake_case();
    let (request, reply) = (lower(&method.request), lower(&method.reply));
    let _ = write!(
        out,
        "\nstatic uint32_t {prefix}_{name}_handle(void *user, const clc_call_context *context, clc_bytes arguments,\n    clc_call_parts *parts, \
         clc_call_reply *words) {{\n    const {prefix}_handlers *handlers = user;\n    if (handlers->{name} == NULL) {{\n        \
         clc_call_reply_text(words, \"{} is not implemented\");\n        return 12;\n    }}\n",
        method.name
    );
    if *takes_many {
        out.push_str("    (void)arguments;\n");
    } else {
        let _ = write!(
            out,
            "    {} *request = {request}__unpack(NULL, arguments.len, arguments.data);\n    if (request == NULL) {{\n        \
             clc_call_reply_text(words, \"the arguments of {} cannot be read\");\n        return 3;\n    }}\n",
            upper(&method.request),
            method.name
        );
    }
    let given = if *takes_many { "" } else { "request, " };
    if *gives_many {
        let _ = writeln!(
            out,
            "    uint32_t status = handlers->{name}(handlers->user, context, {given}parts, words);"
        );
    } else {
        let _ = write!(
            out,
            "    {} *reply = malloc(sizeof *reply);\n    uint8_t *results = NULL;\n    uint32_t status = 8;\n    if (reply != NULL) {{\n        \
             {reply}__init(reply);\n        status = handlers->{name}(handlers->user, context, {given}parts, reply, words);\n        \
             size_t len = {reply}__get_packed_size(reply);\n        results = malloc(len > 0 ? len : 1);\n        \
             if (results == NULL) status = 8;\n        if (status == 0) {{\n            {reply}__pack(reply, results);\n            \
             clc_call_reply_write(words, (clc_bytes){{results, len}});\n        }}\n        {reply}__free_unpacked(reply, NULL);\n    }}\n    \
             free(results);\n",
            upper(&method.reply)
        );
    }
    if !takes_many {
        let _ = writeln!(out, "    {request}__free_unpacked(request, NULL);");
    }
    out.push_str("    return status;\n}\n");
}

/// `bytes`, in `packed`, of a message.
fn pack(indent: &str, kind: &str, message: &str) -> String {
    format!(
        "{indent}size_t len = {kind}__get_packed_size({message});\n{indent}uint8_t *packed = malloc(len > 0 ? len : 1);\n{indent}if (packed == NULL) \
         return CLC_ERROR_OUT_OF_MEMORY;\n{indent}{kind}__pack({message}, packed);\n{indent}clc_bytes bytes = {{packed, len}};\n"
    )
}

fn open_signature(prefix: &str, method: &Method) -> String {
    let request = match method.takes_many {
        true => String::new(),
        false => format!("const {} *request, ", upper(&method.request)),
    };
    format!(
        "clc_status {prefix}_{}(clc_channel *channel, {request}const clc_call_options *options,\n    uint64_t token, clc_call_handle *handle_out)",
        method.name.to_snake_case()
    )
}

fn send_signature(prefix: &str, method: &Method) -> String {
    format!(
        "clc_status {prefix}_{}_send(clc_channel *channel, clc_call_handle handle, const {} *request,\n    uint64_t timeout_ns)",
        method.name.to_snake_case(),
        upper(&method.request)
    )
}

fn take_signature(prefix: &str, method: &Method) -> String {
    format!(
        "int {prefix}_{}_take(clc_channel *channel, clc_call_handle handle, uint64_t timeout_ns,\n    {} **reply_out)",
        method.name.to_snake_case(),
        upper(&method.reply)
    )
}

fn status_signature(prefix: &str, method: &Method) -> String {
    format!(
        "clc_status {prefix}_{}_status(clc_channel *channel, clc_call_handle handle, uint64_t timeout_ns,\n    {} **reply_out, \
         clc_call_result *result_out)",
        method.name.to_snake_case(),
        upper(&method.reply)
    )
}

fn next_signature(prefix: &str, method: &Method) -> String {
    format!(
        "int {prefix}_{}_parts_next(clc_call_parts *parts, {} **request_out)",
        method.name.to_snake_case(),
        upper(&method.request)
    )
}

fn reply_signature(prefix: &str, method: &Method) -> String {
    format!(
        "clc_status {prefix}_{}_parts_send(clc_call_parts *parts, const {} *reply)",
        method.name.to_snake_case(),
        upper(&method.reply)
    )
}
