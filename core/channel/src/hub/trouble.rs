//! Why a question is not answered by what was asked for, as the answer says it.

use crate::channel::ManageError;
use crate::engine::EngineError;
use crate::filter::FilterError;
use crate::hook::HookError;
use crate::json::JsonError;

/// Why a question is not answered by what was asked for.
pub(super) struct Trouble {
    pub error: &'static str,
    pub message: String,
}

impl Trouble {
    pub fn new(error: &'static str, message: impl Into<String>) -> Trouble {
        Trouble { error, message: message.into() }
    }

    pub fn missing(what: &str) -> Trouble {
        Trouble::new("missing", format!("{what} is missing"))
    }

    pub fn no_handle(handle: u64) -> Trouble {
        Trouble::new("no_such_proxy", format!("there is no proxy {handle} of this connection (any more)"))
    }

    pub fn filter(error: FilterError) -> Trouble {
        Trouble::new("filter", error.to_string())
    }
}

impl From<JsonError> for Trouble {
    fn from(error: JsonError) -> Trouble {
        let name = if matches!(error, JsonError::Filter { .. }) { "filter" } else { "json" };
        Trouble::new(name, error.to_string())
    }
}

impl From<ManageError> for Trouble {
    fn from(error: ManageError) -> Trouble {
        let name = match &error {
            ManageError::NoSuchProxy => "no_such_proxy",
            ManageError::NoSuchGroup => "no_such_group",
            ManageError::TooMany { .. } => "too_many",
            ManageError::Qos(_) => "qos",
            ManageError::GroupDiffers { .. } => "group_differs",
            ManageError::NoRetention => "no_retention",
        };
        Trouble::new(name, error.to_string())
    }
}

impl From<HookError> for Trouble {
    fn from(error: HookError) -> Trouble {
        let name = match &error {
            HookError::Target { .. } => "hook_target",
            HookError::TooMany { .. } => "too_many",
            HookError::Acknowledgement => "qos",
            HookError::Unnamed => "missing",
        };
        Trouble::new(name, error.to_string())
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Trouble {
        let name = match error {
            EngineError::Denied(_) => "denied",
            EngineError::NoSuchChannel => "no_such_channel",
            EngineError::NameTaken { .. } => "name_taken",
            EngineError::Name => "name",
            EngineError::TooMany { .. } => "too_many",
            EngineError::IsDefault => "is_default",
            EngineError::Manage(error) => return error.into(),
        };
        Trouble::new(name, error.to_string())
    }
}
