//! A file with the secrets of connections, for people who must read what was captured: in the manner of `SSLKEYLOGFILE`.
//!
//! A line is `CLUSTERCORE_1_SECRET_0 ID SECRET`: packets for the connection id `ID` (16 hexadecimal digits) are sealed with keys that follow
//! from `SECRET` (64 digits), as `docs/protocol/datagram.md` says under "Keys". Two lines for each connection, one for each direction.
//! Whoever has the file can read the connections, and write them as long as they last.

use crate::log::Trouble;
use crate::{Code, Error, Result};
use clustercore_proto::datagram::WireId;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// The secrets of phase 0 that a handshake has given: for what this end sends, and for what the peer sends.
pub(super) struct Secrets {
    pub own: Zeroizing<[u8; 32]>,
    pub peer: Zeroizing<[u8; 32]>,
}

/// A key log that is being written.
pub(super) struct KeyLog {
    file: File,
    /// Of the handshake that has ended just now.
    pub secrets: Option<Secrets>,
    trouble: Trouble,
}

impl KeyLog {
    /// Appends to the file at `path`, which is made with mode 0600 when it is not there.
    ///
    /// Errors: `KeyExposed` when others than its owner can get at the file; what opening a file can fail with.
    pub fn open(path: &Path, trouble: Trouble) -> Result<KeyLog> {
        let shown = path.display();
        let failed = |error| Error::from_io(format_args!("open the key log {shown}"), &error);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.mode() & 0o777;
        if metadata.is_file() && mode & 0o077 != 0 {
            let words = format!(
                "{shown} has mode {mode:04o}: others than its owner can get at the keys; run: chmod 600 {shown}"
            );
            return Err(Error::new(Code::KeyExposed, words));
        }
        Ok(KeyLog { file, secrets: None, trouble })
    }

    /// The handshake has led to a connection with these ids: its secrets are written down.
    pub fn on_established(&mut self, own: WireId, peer: WireId) {
        let Some(secrets) = self.secrets.take() else { return };
        let mut text = Zeroizing::new(String::with_capacity(2 * LINE_BYTES));
        // Packets are known by whom they are for.
        for (target, secret) in [(peer, &secrets.own), (own, &secrets.peer)] {
            let _ = write!(text, "{LABEL} {:016x} ", target.0);
            for byte in secret.iter() {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            self.trouble.tell(format!("the keys of a connection are missing in the key log: {error}"));
        }
    }
}

/// Of version 1 and key phase 0.
const LABEL: &str = "CLUSTERCORE_1_SECRET_0";
const LINE_BYTES: usize = LABEL.len() + 1 + 16 + 1 + 64 + 1;
