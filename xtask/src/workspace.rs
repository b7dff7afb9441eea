//! Where things are.

use std::path::{Path, PathBuf};

/// The root of the workspace: the folder above this crate's own.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
