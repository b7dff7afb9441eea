//! Messages and stubs of the service that tests and examples share.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    clustercore_codegen::compile(&["../../tests/calls/demo.proto"], &["../../tests/calls"])
}
