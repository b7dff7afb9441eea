//! The plugin: a request of `protoc` on stdin, the answer on stdout.

use prost::Message as _;
use prost_types::compiler::CodeGeneratorRequest;
use std::io::{Read as _, Write as _};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    let request = CodeGeneratorRequest::decode(&bytes[..]).map_err(|error| {
        format!("stdin is no request of protoc ({error}); run it by protoc --clustercore_out")
    })?;
    let response = clustercore_codegen::generate(&request);
    std::io::stdout().write_all(&response.encode_to_vec())?;
    Ok(())
}
