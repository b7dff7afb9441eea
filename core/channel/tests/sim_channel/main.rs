//! The engine beside a plain model of it, under random operations: every combination of the properties of quality of service.

mod model;
mod script;
