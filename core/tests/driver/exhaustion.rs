//! Descriptors used up.
