//! What the fuzz targets check, as plain functions.
//!
//! The ordinary tests of `core/proto` include these files too: for generated input, and for the inputs that
//! fuzzing has found (`corpus/`).

pub mod chunks;
pub mod heads;
pub mod proxy;
