//! Who may come to a server of event channels.

use crate::clc_status;
use crate::status::{boundary, boundary_quiet, null};
use crate::text::{optional, required};
use clustercore::channel::engine::access::Access;
use clustercore::channel::engine::principal::{Grant, Principal, Right, Rights};
use clustercore::{Code, Error, Result};
use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

/// Tokens and who they stand for. Any thread may call its functions.
pub struct clc_channel_access {
    tokens: Mutex<Vec<(String, Principal)>>,
}

/// A right: to put events in.
pub const CLC_RIGHT_EMIT: u32 = 1;
/// A right: to get events out.
pub const CLC_RIGHT_CONSUME: u32 = 2;
/// A right: to create, set and delete, also what belongs to others; holds the other two.
pub const CLC_RIGHT_ADMINISTER: u32 = 4;

/// Makes an access that lets nobody in yet. Ends with clc_channel_access_free.
///
/// Errors: NULL_ARGUMENT. Any thread may call this.
///
/// # Safety
/// `access_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_access_new(access_out: *mut *mut clc_channel_access) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or writable, per the contract above.
        let out = unsafe { access_out.as_mut() }.ok_or_else(|| null("access_out"))?;
        *out = Box::into_raw(Box::new(clc_channel_access { tokens: Mutex::default() }));
        Ok(())
    })
}

/// Who has `token` is `name` and has these rights, some of CLC_RIGHT_...; on the channel of this name only, or on all when `channel` is NULL.
/// Called again with the same token and name it grants more. Servers that were made before do not learn of it.
///
/// Errors: NULL_ARGUMENT; INVALID_ARGUMENT: an empty token, or one of another name; other rights. Any thread may call this.
///
/// # Safety
/// `access` is NULL or a live access; `token`, `name` and `channel` are NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_access_add_token(
    access: *mut clc_channel_access,
    token: *const c_char,
    name: *const c_char,
    rights: u32,
    channel: *const c_char,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live access that is only shared, per the contract above.
        let access = unsafe { access.as_ref() }.ok_or_else(|| null("access"))?;
        // SAFETY: NULL or NUL-terminated, per the contract above.
        let token = unsafe { required("token", token) }?;
        // SAFETY: as above.
        let name = unsafe { required("name", name) }?;
        // SAFETY: as above.
        let channel = unsafe { optional("channel", channel) }?;
        access.add(token, name, Grant { channel: channel.map(Into::into), rights: to_rights(rights)? })
    })
}

/// Frees an access; servers that were made with it go on. NULL is fine. Any thread may call this.
///
/// # Safety
/// `access` is NULL or an access that was not freed before; no other call on it is running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_channel_access_free(access: *mut clc_channel_access) {
    if access.is_null() {
        return;
    }
    boundary_quiet(|| {
        // SAFETY: made by `clc_channel_access_new` and not freed before, per the contract above.
        drop(unsafe { Box::from_raw(access) });
        Ok(())
    });
}

impl clc_channel_access {
    fn add(&self, token: &str, name: &str, grant: Grant) -> Result<()> {
        if token.is_empty() {
            return Err(Error::new(Code::InvalidArgument, "the token is empty: nobody could be told by it"));
        }
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        match tokens.iter_mut().find(|(known, _)| known == token) {
            Some((_, principal)) if &*principal.name == name => principal.grants.push(grant),
            Some((_, principal)) => {
                let words = format!("the token of {name:?} is that of {:?} already", principal.name);
                return Err(Error::new(Code::InvalidArgument, words));
            }
            None => tokens.push((token.into(), Principal { name: name.into(), grants: vec![grant] })),
        }
        Ok(())
    }

    /// What a server is made with.
    pub(crate) fn to_access(&self) -> Access {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let add = |access: Access, (token, principal): &(String, Principal)| {
            access.with_token(token.as_str(), principal.clone())
        };
        tokens.iter().fold(Access::new(), add)
    }
}

fn to_rights(bits: u32) -> Result<Rights> {
    let all = CLC_RIGHT_EMIT | CLC_RIGHT_CONSUME | CLC_RIGHT_ADMINISTER;
    if bits & !all != 0 {
        let words = format!("rights is {bits}, it must be a sum of CLC_RIGHT_EMIT, _CONSUME and _ADMINISTER");
        return Err(Error::new(Code::InvalidArgument, words));
    }
    let known = [
        (CLC_RIGHT_EMIT, Right::Emit),
        (CLC_RIGHT_CONSUME, Right::Consume),
        (CLC_RIGHT_ADMINISTER, Right::Administer),
    ];
    let chosen = known.into_iter().filter(|(bit, _)| bits & bit != 0);
    Ok(chosen.fold(Rights::NONE, |rights, (_, right)| rights.and(right)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_a_sum_of_bits() {
        let of = |bits| {
            let rights = to_rights(bits).unwrap();
            [Right::Emit, Right::Consume, Right::Administer].map(|right| rights.has(right))
        };
        assert_eq!(of(0), [false, false, false]);
        assert_eq!(of(CLC_RIGHT_EMIT), [true, false, false]);
        assert_eq!(of(CLC_RIGHT_EMIT | CLC_RIGHT_CONSUME), [true, true, false]);
        assert_eq!(of(CLC_RIGHT_ADMINISTER), [true, true, true]);
        assert_eq!(to_rights(8).unwrap_err().code(), Code::InvalidArgument);
    }

    #[test]
    fn a_token_is_of_one_name_and_may_be_granted_more() {
        let access = clc_channel_access { tokens: Mutex::default() };
        let grant = |channel: &str| Grant { channel: Some(channel.into()), rights: Rights::ALL };
        access.add("secret", "ann", grant("load")).unwrap();
        access.add("secret", "ann", grant("alarms")).unwrap();
        let refused = access.add("secret", "bob", grant("load")).unwrap_err();
        assert_eq!(refused.to_string(), "the token of \"bob\" is that of \"ann\" already");
        assert_eq!(access.add("", "ann", grant("load")).unwrap_err().code(), Code::InvalidArgument);
        let tokens = access.tokens.lock().unwrap();
        assert!(["load", "alarms"].iter().all(|channel| tokens[0].1.may(Right::Emit, channel)));
        assert!(!tokens[0].1.may(Right::Emit, "other"));
    }
}
