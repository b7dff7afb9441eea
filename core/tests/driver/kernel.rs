//! Kernel only.
