//! Private keys in files that only their owner can read.

use super::key::PrivateKey;
use crate::{Code, Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

impl PrivateKey {
    /// Writes the key to a new file of mode 0600.
    ///
    /// Errors: `FileExists` when there is something at `path` already, which stays as it is; what writing a file can fail with.
    pub fn save(&self, path: &Path) -> Result<()> {
        let shown = path.display();
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let words =
                    format!("{shown} exists and stays as it is; name another file or remove it first");
                return Err(Error::new(Code::FileExists, words));
            }
            Err(error) => return Err(Error::from_io(format!("make {shown}"), &error)),
        };
        let mut text = self.to_text();
        text.push('\n');
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
            // Half a key is of no use to anybody.
            let _ = std::fs::remove_file(path);
            Error::from_io(format!("write {shown}"), &error)
        })
    }

    /// Reads a key from a file.
    ///
    /// Errors: `KeyExposed` when others than its owner may read or write the file; `BadKey` when there is no private key in it; what
    /// reading a file can fail with.
    pub fn load(path: &Path) -> Result<PrivateKey> {
        let shown = path.display();
        let failed = |error| Error::from_io(format!("read {shown}"), &error);
        let file = File::open(path).map_err(failed)?;
        // Of the open file, not of what may have taken its name since.
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            let words = format!(
                "{shown} has mode {mode:04o}: others than its owner can get at the private key; run: chmod 600 {shown}"
            );
            return Err(Error::new(Code::KeyExposed, words));
        }
        // With its room from the start: no copy of it stays behind in memory.
        let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX + 1));
        match file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text) {
            Ok(len) if len <= FILE_BYTES_MAX => {}
            Ok(_) => return Err(bad(path, "it is longer than a key")),
            Err(error) if error.kind() == ErrorKind::InvalidData => return Err(bad(path, "it is not text")),
            Err(error) => return Err(failed(error)),
        }
        PrivateKey::parse(&text).map_err(|error| Error::new(error.code(), format!("{shown}: {error}")))
    }
}

fn bad(path: &Path, why: &str) -> Error {
    Error::new(Code::BadKey, format!("{} holds no private key: {why}", path.display()))
}

/// A key's line is much shorter.
const FILE_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// A folder of this test's own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("clustercore-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_saved_key_is_loaded_and_is_its_owners_alone() {
        let folder = Folder::new("key-saved");
        let path = folder.0.join("key");
        let key = PrivateKey::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(PrivateKey::load(&path).unwrap().public(), key.public());
    }

    #[test]
    fn nothing_is_written_over() {
        let folder = Folder::new("key-over");
        let path = folder.0.join("key");
        let key = PrivateKey::generate().unwrap();
        key.save(&path).unwrap();
        let error = PrivateKey::generate().unwrap().save(&path).unwrap_err();
        assert_eq!(error.code(), Code::FileExists);
        assert!(error.to_string().contains("exists and stays as it is"), "{error}");
        assert_eq!(PrivateKey::load(&path).unwrap().public(), key.public());
        // Not through a link either.
        let link = folder.0.join("link");
        std::os::unix::fs::symlink(folder.0.join("elsewhere"), &link).unwrap();
        assert_eq!(key.save(&link).unwrap_err().code(), Code::FileExists);
        let missing = folder.0.join("no/folder");
        assert!(key.save(&missing).unwrap_err().to_string().starts_with("make "));
    }

    #[test]
    fn a_key_that_others_can_get_at_is_refused() {
        let folder = Folder::new("key-exposed");
        let path = folder.0.join("key");
        PrivateKey::generate().unwrap().save(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o610] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = PrivateKey::load(&path).unwrap_err();
            assert_eq!(error.code(), Code::KeyExposed);
            assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
            assert!(error.to_string().ends_with(&format!("chmod 600 {}", path.display())), "{error}");
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        PrivateKey::load(&path).unwrap();
    }

    #[test]
    fn a_file_without_a_private_key_says_what_is_wrong() {
        let folder = Folder::new("key-bad");
        let public = PrivateKey::generate().unwrap().public().to_string();
        let cases: [(&str, &[u8], &str); 4] = [
            ("empty", b"", "this is no private key"),
            ("public", public.as_bytes(), "this is a public key, a private one is wanted"),
            ("long", &[b' '; 1000], "longer than a key"),
            ("binary", &[0xff; 40], "not text"),
        ];
        for (name, content, words) in cases {
            let path = folder.0.join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let error = PrivateKey::load(&path).unwrap_err();
            assert_eq!(error.code(), Code::BadKey, "{name}: {error}");
            assert!(error.to_string().contains(words), "{name}: {error}");
            assert!(error.to_string().contains(name), "{error}");
        }
        let error = PrivateKey::load(&folder.0.join("missing")).unwrap_err();
        assert_eq!(error.code(), Code::Io, "{error}");
    }
}
