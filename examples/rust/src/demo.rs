//! `clustercore.demo`: a calculator, by the stubs of `tests/calls/demo.proto`.

#![allow(missing_docs, reason = "made from the proto file")]

include!(concat!(env!("OUT_DIR"), "/clustercore.demo.rs"));
include!(concat!(env!("OUT_DIR"), "/clustercore.demo.services.rs"));
