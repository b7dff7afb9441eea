//! How a consumer speaks to a channel.

use super::config::{read_types, write_types};
use super::error::JsonError;
use super::hook::{read_hook, write_hook};
use super::members::{Members, Scalar};
use super::object::Object;
use super::property::Property;
use super::qos::{patch_qos, write_qos};
use super::{MEMBERS_MAX, shortened};
use crate::channel::{Start, SupplierProxySpec};
use crate::cloudevents::parse_timestamp;
use crate::filter::FilterError;
use crate::predicate::{Change, Filter, Mapping};
use clustercore_proto::time::Duration;
use std::sync::Arc;

/// Makes a filter of an expression.
pub type Compile<'a> = &'a dyn Fn(&str) -> Result<Filter, FilterError>;

/// The specification `spec` with what `members` say. Name, owner and group are not read: who asks says who he is.
///
/// Errors: `Unknown`, `Value`, `Filter`, and those of the parts.
pub fn patch_supplier_proxy(
    mut spec: SupplierProxySpec,
    members: &Members<'_>,
    compile: Compile<'_>,
) -> Result<SupplierProxySpec, JsonError> {
    for (name, value) in members.iter() {
        let value = value?;
        match name {
            "mode" => spec.mode = Property::read(name, &value)?,
            "qos" => spec.qos = patch_qos(spec.qos, &value.to_members(name, MEMBERS_MAX)?)?,
            "types" => spec.types = read_types(name, &value)?,
            "filter" if value == Scalar::Null => spec.filter = None,
            "filter" => spec.filter = Some(read_filter(name, &value, compile)?),
            "mappings" => spec.mappings = read_mappings(name, &value, compile)?,
            "consumer_group" if value == Scalar::Null => spec.consumer_group = None,
            "consumer_group" => spec.consumer_group = Some(value.to_text(name)?.into()),
            "start" => spec.start = read_start(name, &value)?,
            "is_durable" => spec.is_durable = value.to_bool(name)?,
            "hook" => spec.hook = Some(Arc::new(read_hook(&value.to_members(name, MEMBERS_MAX)?)?)),
            _ => return Err(JsonError::Unknown { name: shortened(name), known: KNOWN }),
        }
    }
    Ok(spec)
}

/// What a consumer asked for.
pub fn write_supplier_proxy(spec: &SupplierProxySpec, object: &mut Object<'_>) {
    object.text("name", &spec.name);
    object.text("owner", &spec.owner);
    write_supplier_members(spec, object);
    if let Some(hook) = &spec.hook {
        object.object("hook", |object| write_hook(hook, false, object));
    }
}

/// The members that [`patch_supplier_proxy`] reads, but for the hook.
pub(crate) fn write_supplier_members(spec: &SupplierProxySpec, object: &mut Object<'_>) {
    spec.mode.write("mode", object);
    object.object("qos", |object| write_qos(&spec.qos, object));
    write_types("types", &spec.types, object);
    if let Some(filter) = &spec.filter {
        object.text("filter", filter.text());
    }
    object.list("mappings", &spec.mappings, |mapping, out| {
        Object::write(out, |object| {
            object.text("filter", mapping.filter.text());
            match mapping.change {
                Change::Priority(priority) => object.plain("priority", priority),
                Change::Lifetime(lifetime) => object.seconds("lifetime", lifetime),
            }
        });
    });
    if let Some(name) = &spec.consumer_group {
        object.text("consumer_group", name);
    }
    match spec.start {
        Start::Now => object.text("start", "now"),
        Start::Earliest => object.text("start", "earliest"),
        Start::Offset(offset) => object.object("start", |object| object.plain("offset", offset)),
        Start::Time(moment) => object.object("start", |object| object.moment("time", moment)),
    }
    object.plain("is_durable", spec.is_durable);
}

pub(super) fn read_filter(name: &str, value: &Scalar<'_>, compile: Compile<'_>) -> Result<Filter, JsonError> {
    let compiled = compile(value.to_text(name)?);
    compiled.map_err(|error| JsonError::Filter { name: name.into(), what: error.to_string() })
}

pub(super) fn read_mappings(
    name: &str,
    value: &Scalar<'_>,
    compile: Compile<'_>,
) -> Result<Vec<Mapping>, JsonError> {
    let items = value.to_items(name, MAPPINGS_MAX)?;
    let read = |item: &Scalar<'_>| {
        let (mut filter, mut change) = (None, None);
        for (name, value) in item.to_members(name, MEMBERS_MAX)?.iter() {
            let value = value?;
            match name {
                "filter" => filter = Some(read_filter(name, &value, compile)?),
                "priority" => change = Some(Change::Priority(Property::read(name, &value)?)),
                "lifetime" => change = Some(Change::Lifetime(Duration::read(name, &value)?)),
                _ => {
                    let known = "filter, and priority or lifetime";
                    return Err(JsonError::Unknown { name: shortened(name), known });
                }
            }
        }
        let (Some(filter), Some(change)) = (filter, change) else {
            return Err(item.wanted(name, "a filter, and a priority or a lifetime"));
        };
        Ok(Mapping { filter, change })
    };
    items.iter().map(read).collect()
}

fn read_start(name: &str, value: &Scalar<'_>) -> Result<Start, JsonError> {
    let wanted = || value.wanted(name, "\"now\", \"earliest\", {\"offset\": N} or {\"time\": TIMESTAMP}");
    match value {
        Scalar::Text(text) if text == "now" => return Ok(Start::Now),
        Scalar::Text(text) if text == "earliest" => return Ok(Start::Earliest),
        Scalar::Compound(_) => {}
        _ => return Err(wanted()),
    }
    let members = value.to_members(name, 1)?;
    match members.iter().next() {
        Some(("offset", offset)) => Ok(Start::Offset(offset?.to_u64("offset")?)),
        Some(("time", moment)) => {
            let moment = moment?;
            parse_timestamp(moment.to_text("time")?).map(Start::Time).ok_or_else(wanted)
        }
        _ => Err(wanted()),
    }
}

const KNOWN: &str = "mode qos types filter mappings consumer_group start is_durable hook";
const MAPPINGS_MAX: usize = 64;
