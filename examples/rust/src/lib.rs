//! Rust examples, run by the tests.
