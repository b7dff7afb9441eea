//! How suppliers speak to a channel.

use super::error::JsonError;
use super::members::{Members, Scalar};
use super::object::Object;
use super::property::Property;
use super::proxy::{Compile, read_filter, read_mappings};
use super::qos::{patch_qos, write_qos};
use super::{MEMBERS_MAX, shortened};
use crate::channel::ConsumerProxySpec;

/// The specification `spec` with what `members` say. Name, owner and group are not read: who asks says who he is.
///
/// Errors: `Unknown`, `Value`, `Filter`, and those of the parts.
pub fn patch_consumer_proxy(
    mut spec: ConsumerProxySpec,
    members: &Members<'_>,
    compile: Compile<'_>,
) -> Result<ConsumerProxySpec, JsonError> {
    for (name, value) in members.iter() {
        let value = value?;
        match name {
            "mode" => spec.mode = Property::read(name, &value)?,
            "qos" => spec.qos = patch_qos(spec.qos, &value.to_members(name, MEMBERS_MAX)?)?,
            "filter" if value == Scalar::Null => spec.filter = None,
            "filter" => spec.filter = Some(read_filter(name, &value, compile)?),
            "mappings" => spec.mappings = read_mappings(name, &value, compile)?,
            _ => return Err(JsonError::Unknown { name: shortened(name), known: KNOWN }),
        }
    }
    Ok(spec)
}

/// What a supplier asked for.
pub fn write_consumer_proxy(spec: &ConsumerProxySpec, object: &mut Object<'_>) {
    object.text("name", &spec.name);
    object.text("owner", &spec.owner);
    spec.mode.write("mode", object);
    object.object("qos", |object| write_qos(&spec.qos, object));
    if let Some(filter) = &spec.filter {
        object.text("filter", filter.text());
    }
}

const KNOWN: &str = "mode qos filter mappings";
