//! Rust examples, run by the tests.

pub mod demo;
