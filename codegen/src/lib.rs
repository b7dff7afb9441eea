//! Stubs of remote procedure calls from Protocol Buffers, in Rust, C and Python.
//!
//! As a plugin of `protoc`, with the language as its parameter:
//!
//! ```text
//! protoc --clustercore_out=lang=python:out --python_out=out demo.proto
//! protoc --clustercore_out=lang=c:out --c_out=out demo.proto
//! ```
//!
//! In Rust, from a build script and without `protoc`: [`compile`] writes messages (prost) and stubs into `OUT_DIR`.
//! `docs/rpc.md` is the guide.

mod c;
mod model;
mod python;
mod rust;

use model::{Model, ModelError};
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse, code_generator_response::File};
use std::path::Path;

/// A language that stubs are written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// `FILE.services.rs`, beside what prost makes.
    Rust,
    /// `FILE.clc.h` and `FILE.clc.c`, beside what protobuf-c makes.
    C,
    /// `FILE_clustercore.py`, beside what protoc makes.
    Python,
}

/// Answers a request of `protoc`. What cannot be done is said in the answer's `error`.
pub fn generate(request: &CodeGeneratorRequest) -> CodeGeneratorResponse {
    // FEATURE_PROTO3_OPTIONAL: fields are none of our business.
    let features = Some(1);
    match files(request) {
        Ok(file) => CodeGeneratorResponse { file, supported_features: features, ..Default::default() },
        Err(error) => CodeGeneratorResponse {
            error: Some(error),
            supported_features: features,
            ..CodeGeneratorResponse::default()
        },
    }
}

fn files(request: &CodeGeneratorRequest) -> Result<Vec<File>, String> {
    let parameter = request.parameter();
    let language = match parameter {
        "lang=rust" => Language::Rust,
        "lang=c" => Language::C,
        "lang=python" => Language::Python,
        _ => {
            return Err(format!(
                "the parameter is {parameter:?}; it must be lang=rust, lang=c or lang=python"
            ));
        }
    };
    let mut out = Vec::new();
    for file in &request.proto_file {
        if !request.file_to_generate.iter().any(|name| name == file.name()) || file.service.is_empty() {
            continue;
        }
        let model = Model::of(file, &request.proto_file).map_err(|ModelError(text)| text)?;
        out.extend(match language {
            Language::Rust => rust::files(&model),
            Language::C => c::files(&model),
            Language::Python => python::files(&model),
        });
    }
    Ok(out)
}

/// For a build script: messages and stubs of `protos` into `OUT_DIR`, one module file for each package, as prost names them. The stubs are
/// in `PACKAGE.services.rs`, to be included behind the messages.
///
/// Errors: a file that cannot be read, is no proto file, or cannot be written.
pub fn compile(
    protos: &[impl AsRef<Path>],
    includes: &[impl AsRef<Path>],
) -> Result<(), Box<dyn std::error::Error>> {
    let set = protox::compile(protos, includes)?;
    for path in protos {
        println!("cargo:rerun-if-changed={}", path.as_ref().display());
    }
    let out = std::env::var("OUT_DIR")?;
    for file in set.file.iter().filter(|file| !file.service.is_empty()) {
        let model = Model::of(file, &set.file).map_err(|ModelError(text)| text)?;
        for File { name, content, .. } in rust::files(&model) {
            std::fs::write(Path::new(&out).join(name.unwrap_or_default()), content.unwrap_or_default())?;
        }
    }
    prost_build::Config::new().compile_fds(set)?;
    Ok(())
}
