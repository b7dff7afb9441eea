//! What a participant of event channels is made with.

use crate::clc_status;
use crate::options::{self, Options, or};
use crate::status::boundary;
use crate::text::{optional, required};
use clustercore::Result;
use clustercore::channel::Link;
use clustercore::channel::engine::participant::ParticipantConfig;
use clustercore::security::PublicKey;
use std::ffi::c_char;
use std::mem::offset_of;

/// How to make a participant. 0 and NULL mean the default in every field but the first, which clc_participant_options_init writes out.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_participant_options {
    /// sizeof(clc_participant_options)
    pub struct_size: usize,
    /// Shows the server who we are; NULL: nobody in particular.
    pub token: *const c_char,
    /// Our name, for people; NULL: none.
    pub name: *const c_char,
    /// Spins this long before a wait blocks (not at all).
    pub spin_ns: u64,
    /// Events that wait to be taken; with more, the link is not read (16384).
    pub inbox_max: usize,
    /// 1: a clear link to an address outside loopback is meant.
    pub insecure: u32,
    /// A clc_driver.
    pub driver: u32,
    /// The public key that the server must have, `clc-public-x25519 BASE64`; NULL: a clear link. For `udp://` and `rpc://`.
    pub server_key: *const c_char,
    /// Our own key, `clc-private-x25519 BASE64`, for a server that lets in only those that it knows; NULL: one is made for each link to a
    /// server with a key. With it every link over datagrams needs the server's key.
    pub private_key: *const c_char,
}

// SAFETY: C layout, the size first, integers and pointers that may be NULL.
unsafe impl Options for clc_participant_options {
    const NAME: &'static str = "clc_participant_options";
    const SIZES: &'static [usize] = &[offset_of!(Self, server_key), size_of::<Self>()];
}

/// Writes the defaults into `options`, of the size that the caller's header has for it: sizeof(clc_participant_options).
///
/// Errors: NULL_ARGUMENT, UNKNOWN_STRUCT_SIZE. Any thread may call this.
///
/// # Safety
/// `options` is NULL or has room for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_options_init(
    options: *mut clc_participant_options,
    struct_size: usize,
) -> clc_status {
    boundary(|| {
        let inbox_max = ParticipantConfig::default().inbox_max;
        let values = clc_participant_options { inbox_max, ..clc_participant_options::zeroed() };
        // SAFETY: NULL or room for that size, per the contract above.
        unsafe { options::write(options, struct_size, values) }
    })
}

impl clc_participant_options {
    /// # Safety
    /// Its texts are NULL or NUL-terminated.
    pub(crate) unsafe fn config(&self) -> Result<ParticipantConfig> {
        // SAFETY: the same contract.
        let token = unsafe { optional("token", self.token) }?.unwrap_or_default().to_owned();
        // SAFETY: the same contract.
        let name = unsafe { optional("name", self.name) }?.unwrap_or_default().to_owned();
        let defaults = ParticipantConfig::default();
        Ok(ParticipantConfig { token, name, inbox_max: or(self.inbox_max, defaults.inbox_max), ..defaults })
    }
}

/// The link to `url`, to a server that must have the public key `server_key`; NULL: a clear one.
///
/// # Safety
/// Both are NULL or NUL-terminated.
pub(crate) unsafe fn link(url: *const c_char, server_key: *const c_char) -> Result<Link> {
    // SAFETY: the same contract.
    let link = Link::parse(unsafe { required("url", url) }?)?;
    // SAFETY: the same contract.
    let key = unsafe { optional("server_key", server_key) }?.map(PublicKey::parse).transpose()?;
    link.with_server_key(key.map(|key| *key.as_bytes()))
}
