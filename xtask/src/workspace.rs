//! Where things are: the tree, the build's outputs, the virtual environment, programs on the path.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the workspace: the folder above this crate's own.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Cargo's output folder: `CARGO_TARGET_DIR` when set, else `target`.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The project's own virtual environment.
pub fn venv() -> PathBuf {
    root().join(".venv")
}

/// A program of the virtual environment, such as `python` or `pytest`.
pub fn venv_program(name: &str) -> PathBuf {
    venv().join("bin").join(name)
}

/// Programs that the tests need and the project builds for itself.
pub fn tools() -> PathBuf {
    root().join(".tools")
}

/// The full path of a program: the project's own tools first, then the search path, then the folders of
/// system programs, which an ordinary user's path lacks on Debian.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::iter::once(tools().join("bin"))
        .chain(env::split_paths(&path))
        .chain(system)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}
