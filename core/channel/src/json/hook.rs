//! Consumers that are an address.

use super::error::JsonError;
use super::members::Members;
use super::object::Object;
use super::property::Property;
use super::shortened;
use crate::hook::{HookMode, HookSpec};
use std::num::NonZeroU32;

/// Where events are to be sent.
///
/// Errors: `Unknown`, `Value`.
pub(super) fn read_hook(members: &Members<'_>) -> Result<HookSpec, JsonError> {
    let (mut url, mut mode, mut rate, mut token) = (None, HookMode::Binary, None, None);
    for (name, value) in members.iter() {
        let value = value?;
        match name {
            "url" => url = Some(HookSpec::parse(value.to_text(name)?)?),
            "mode" => mode = HookMode::read(name, &value)?,
            "rate" => {
                let wanted = || value.wanted(name, "a whole number above zero, requests per minute");
                rate = Some(NonZeroU32::new(u32::read(name, &value)?).ok_or_else(wanted)?);
            }
            "token" => {
                let text = value.to_text(name)?;
                if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(JsonError::value(name, "not shown", "visible ASCII, at least one character"));
                }
                token = Some(text.to_owned());
            }
            _ => return Err(JsonError::Unknown { name: shortened(name), known: "url mode rate token" }),
        }
    }
    let missing = || JsonError::value("url", "missing", "http://IP:PORT/PATH");
    Ok(HookSpec { mode, rate, token, ..url.ok_or_else(missing)? })
}

/// The same; with what may be a secret only for whoever keeps it.
pub(crate) fn write_hook(hook: &HookSpec, has_secrets: bool, object: &mut Object<'_>) {
    let whole = || format!("http://{}{}", hook.address, hook.path);
    object.text("url", &if has_secrets { whole() } else { hook.url() });
    hook.mode.write("mode", object);
    hook.rate.iter().for_each(|rate| object.plain("rate", rate));
    hook.token.iter().filter(|_| has_secrets).for_each(|token| object.text("token", token));
}
