//! What the plugin answers; that the stubs compile and work is shown by `tests/calls`.

use clustercore_codegen::generate;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

fn answer(parameter: &str, source: &str) -> CodeGeneratorResponse {
    let folder = std::env::temp_dir().join(format!("clustercore-codegen-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // Tests run side by side: each has a file of its own.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("case{}.proto", NUMBER.fetch_add(1, Ordering::Relaxed));
    std::fs::write(folder.join(&name), source).unwrap();
    let mut compiler = protox::Compiler::new([&folder]).unwrap();
    compiler.include_imports(true).include_source_info(true).open_file(Path::new(&name)).unwrap();
    generate(&CodeGeneratorRequest {
        file_to_generate: vec![name],
        parameter: Some(parameter.into()),
        proto_file: compiler.file_descriptor_set().file,
        compiler_version: None,
    })
}

const SOURCE: &str = "syntax = \"proto3\";\npackage a.b_c;\nimport \"google/protobuf/empty.proto\";\n\
    // Does things.\nservice Doer {\n  // Does one.\n  rpc DoIt(Outer.InnerThing) returns (google.protobuf.Empty) { option \
    idempotency_level = IDEMPOTENT; }\n  rpc Plain(Outer) returns (Outer);\n}\n\
    message Outer { message InnerThing { int32 n = 1; } }\n";

#[test]
fn each_language_gets_its_files_with_the_names_of_its_messages() {
    for (language, endings, parts) in [
        (
            "rust",
            &["a.b_c.services.rs"][..],
            &[
                "pub trait Doer",
                "fn do_it(",
                "request: outer::InnerThing",
                "Result<(), ",
                "/// Does one.",
                "doer_service",
            ][..],
        ),
        (
            "c",
            &[".clc.h", ".clc.c"],
            &[
                "a_b_c_doer_do_it(",
                "A__BC__Outer__InnerThing",
                "a__b_c__outer__inner_thing__unpack",
                "Google__Protobuf__Empty",
            ],
        ),
        (
            "python",
            &["_clustercore.py"],
            &[
                "class DoerClient",
                "class DoerAsyncClient",
                "Outer.InnerThing",
                "idempotent=True",
                "google_protobuf_empty_pb2",
            ],
        ),
    ] {
        let answer = answer(&format!("lang={language}"), SOURCE);
        assert_eq!(answer.error, None);
        let names: Vec<&str> = answer.file.iter().map(|file| file.name()).collect();
        assert_eq!(names.len(), endings.len());
        assert!(names.iter().zip(endings).all(|(name, ending)| name.ends_with(ending)), "{names:?}");
        let all: String = answer.file.iter().map(|file| file.content()).collect();
        for part in parts {
            assert!(all.contains(part), "{language} lacks {part}:\n{all}");
        }
    }
}

#[test]
fn only_the_idempotent_method_is_called_again() {
    let answer = answer("lang=python", SOURCE);
    assert_eq!(
        answer.file[0].content().matches("idempotent=True").count(),
        2,
        "in both clients, of one method"
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    let error = answer("lang=cobol", SOURCE).error.unwrap();
    assert!(error.contains("lang=cobol") && error.contains("lang=rust"), "{error}");
}

#[test]
fn streams_have_stubs_in_each_language_and_each_direction() {
    let source = "syntax = \"proto3\";\npackage p;\nservice S { rpc Up(stream M) returns (M);\n rpc Down(M) returns (stream M);\n \
        rpc Both(stream M) returns (stream M); }\nmessage M {}\n";
    for (language, parts) in [
        (
            "rust",
            &[
                "parts: &SUpParts<'_>,\n    ) -> ::core::result::Result<M,",
                "request: M,\n        parts: &SDownParts<'_>,\n    ) -> ::core::result::Result<(),",
                "pub fn both(\n        &self,\n        call:",
                ".streamed(\"Both\"",
            ][..],
        ),
        (
            "c",
            &[
                "p_s_up_send(",
                "p_s_up_status(",
                "p_s_down_take(",
                "p_s_both_parts_next(",
                "p_s_both_parts_send(",
                "clc_call_server_add_streamed(server, \"p.S\"",
            ],
        ),
        (
            "python",
            &[
                "def Up(self, requests: Iterator[",
                "def Down(self, request: ",
                "@streamed\n    async def both(",
                "async for reply in service.Both(",
                "return _async_replies(",
            ],
        ),
    ] {
        let answer = answer(&format!("lang={language}"), source);
        assert_eq!(answer.error, None);
        let all: String = answer.file.iter().map(|file| file.content()).collect();
        for part in parts {
            assert!(all.contains(part), "{language} lacks {part}:\n{all}");
        }
        let missing = ["p_s_down_send(", "p_s_up_take(", "p_s_both_status("];
        assert!(missing.iter().all(|part| !all.contains(part)), "{all}");
    }
}

#[test]
fn a_file_without_services_makes_nothing() {
    let answer = answer("lang=rust", "syntax = \"proto3\";\nmessage M {}\n");
    assert_eq!((answer.error, answer.file.len()), (None, 0));
}
