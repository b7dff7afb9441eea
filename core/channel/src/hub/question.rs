//! A question of a participant, read.

use crate::json::{JsonError, MEMBERS_MAX, Members, Scalar};
use std::borrow::Cow;

/// What a question says; which of it is needed depends on `op`.
#[derive(Default)]
pub(super) struct Question<'a> {
    pub op: Cow<'a, str>,
    pub channel: Option<String>,
    pub handle: Option<u64>,
    pub first: u64,
    pub is_hasty: bool,
    pub name: String,
    pub consumer: Option<String>,
    pub group: Option<String>,
    pub admin: Option<String>,
    pub spec: Option<&'a str>,
    pub config: Option<&'a str>,
    pub qos: Option<&'a str>,
    pub filter: Option<Option<String>>,
}

/// Reads a question.
///
/// Errors: what is wrong with the JSON.
pub(super) fn read(json: &str) -> Result<Question<'_>, JsonError> {
    let mut question = Question::default();
    let members = Members::parse(json, MEMBERS_MAX)?;
    for (name, value) in members.iter() {
        let value = value?;
        let raw = match value {
            Scalar::Compound(text) => Some(text),
            _ => None,
        };
        match name {
            "op" => question.op = Cow::Owned(value.to_text(name)?.to_owned()),
            "channel" => question.channel = Some(value.to_text(name)?.to_owned()),
            "handle" => question.handle = Some(value.to_u64(name)?),
            "first" => question.first = value.to_u64(name)?,
            "patient" => question.is_hasty = !value.to_bool(name)?,
            "name" => question.name = value.to_text(name)?.to_owned(),
            "consumer" => question.consumer = Some(value.to_text(name)?.to_owned()),
            "group" => question.group = Some(value.to_text(name)?.to_owned()),
            "admin" => question.admin = Some(value.to_text(name)?.to_owned()),
            "spec" => question.spec = Some(raw.ok_or_else(|| value.wanted(name, "an object"))?),
            "config" => question.config = Some(raw.ok_or_else(|| value.wanted(name, "an object"))?),
            "qos" => question.qos = Some(raw.ok_or_else(|| value.wanted(name, "an object"))?),
            "filter" if value == Scalar::Null => question.filter = Some(None),
            "filter" => question.filter = Some(Some(value.to_text(name)?.to_owned())),
            _ => return Err(JsonError::Unknown { name: name.into(), known: KNOWN }),
        }
    }
    Ok(question)
}

/// The members of an object that may be left out.
pub(super) fn members(text: Option<&str>) -> Result<Members<'_>, JsonError> {
    Members::parse(text.unwrap_or("{}"), MEMBERS_MAX)
}

const KNOWN: &str = "op channel handle first patient name consumer group admin spec config qos filter";
