//! Whether a consumer may be made that is an address.

use super::config::HookConfig;
use crate::channel::{Mode, SupplierProxySpec};
use crate::engine::Engine;
use crate::qos::Acknowledgement;
use std::fmt;
use std::net::SocketAddr;

/// Why there is no web hook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HookError {
    /// The server's configuration does not let hooks lead there.
    Target {
        /// Where it should lead.
        address: SocketAddr,
    },
    /// There are as many as there may be.
    TooMany {
        /// The limit.
        max: u32,
    },
    /// The answers of the target acknowledge; it was asked for none.
    Acknowledgement,
    /// It has no name.
    Unnamed,
}

/// Judges a specification with a hook, and says in it what holds for hooks: events are pushed, and answers acknowledge them. One without a
/// hook stays as it is.
///
/// Errors: see [`HookError`].
pub fn admit(engine: &Engine, config: &HookConfig, spec: &mut SupplierProxySpec) -> Result<(), HookError> {
    let Some(hook) = &spec.hook else { return Ok(()) };
    if spec.name.is_empty() {
        return Err(HookError::Unnamed);
    }
    if !config.targets.allows(hook.address.ip()) {
        return Err(HookError::Target { address: hook.address });
    }
    if engine.hooks() >= config.hooks_max as usize {
        return Err(HookError::TooMany { max: config.hooks_max });
    }
    if spec.qos.acknowledgement == Some(Acknowledgement::None) {
        return Err(HookError::Acknowledgement);
    }
    (spec.qos.acknowledgement, spec.mode) = (Some(Acknowledgement::Explicit), Mode::Push);
    Ok(())
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HookError::Target { address } => write!(
                f,
                "web hooks of this server may not lead to {address}: name its network in the server's hook_targets"
            ),
            HookError::TooMany { max } => {
                write!(f, "there are {max} web hooks, the limit: remove one, or raise hooks_max")
            }
            HookError::Acknowledgement => write!(
                f,
                "acknowledgement is none, but a target acknowledges by its answers: leave it out, or say explicit"
            ),
            HookError::Unnamed => write!(f, "name is missing: a web hook has one"),
        }
    }
}

impl std::error::Error for HookError {}
