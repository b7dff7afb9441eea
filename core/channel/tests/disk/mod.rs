//! Folders of tests on disk, and a disk that fails.

use std::path::PathBuf;
use std::process::Command;

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let program = env!("CARGO_CRATE_NAME");
        let folder =
            std::env::temp_dir().join(format!("clustercore-{program}-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A library to be loaded before others: with it every fsync fails while the file that `FAIL_FSYNC` names is there. `None`, and a word
/// about it, without a C compiler.
pub fn failing_fsync(folder: &Folder) -> Option<PathBuf> {
    let (source, library) = (folder.0.join("fail.c"), folder.0.join("fail.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    if built.is_ok_and(|status| status.success()) {
        return Some(library);
    }
    eprintln!("skipped: no C compiler for the library that makes fsync fail");
    None
}

const SOURCE: &str = r#"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>
static int fails(void) {
    const char *path = getenv("FAIL_FSYNC");
    return path && access(path, F_OK) == 0;
}
int fsync(int fd) { if (fails()) { errno = EIO; return -1; } return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { if (fails()) { errno = EIO; return -1; } return syscall(SYS_fdatasync, fd); }
"#;
