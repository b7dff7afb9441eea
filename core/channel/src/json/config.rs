//! What a channel is made with.

use super::error::JsonError;
use super::members::{Members, Scalar};
use super::object::Object;
use super::property::Property;
use super::qos::{patch_qos, write_qos};
use super::{MEMBERS_MAX, shortened};
use crate::channel::ChannelConfig;
use crate::predicate::TypePattern;
use crate::qos::Qos;

macro_rules! members {
    ($($name:ident),*) => {
        /// A configuration from the members that are given; the others are those of [`ChannelConfig::default`].
        ///
        /// Errors: `Unknown`, `Value`, and those of the parts.
        pub fn read_channel_config(members: &Members<'_>) -> Result<ChannelConfig, JsonError> {
            let mut config = ChannelConfig::default();
            for (name, value) in members.iter() {
                let value = value?;
                match name {
                    "qos" => config.qos = patch_qos(Qos::default(), &value.to_members(name, MEMBERS_MAX)?)?,
                    "direct" => config.direct = read_types(name, &value)?,
                    $(stringify!($name) => config.$name = Property::read(name, &value)?,)*
                    _ => return Err(JsonError::Unknown { name: shortened(name), known: KNOWN }),
                }
            }
            Ok(config)
        }

        /// The configuration of a channel; the seed stays secret.
        pub fn write_channel_config(config: &ChannelConfig, object: &mut Object<'_>) {
            object.object("qos", |object| write_qos(&config.qos, object));
            write_types("direct", &config.direct, object);
            $(if stringify!($name) != "seed" { config.$name.write(stringify!($name), object); })*
        }

        const KNOWN: &str = concat!("qos direct", $(" ", stringify!($name)),*);
    };
}

members!(
    events_max,
    bytes_max,
    suppliers_max,
    consumers_max,
    groups_max,
    retention_events_max,
    retention_bytes_max,
    retention_age_max,
    repeats_window,
    supplier_turns,
    consumer_turns,
    seed
);

/// A list of `{"domain": D, "type": T}`; what is left out stands for all.
pub(super) fn read_types(name: &str, value: &Scalar<'_>) -> Result<Vec<TypePattern>, JsonError> {
    let items = value.to_items(name, TYPES_MAX)?;
    let read = |item: &Scalar<'_>| {
        let mut pattern = TypePattern::default();
        for (name, value) in item.to_members(name, MEMBERS_MAX)?.iter() {
            let value = value?;
            match name {
                "domain" => pattern.domain = Some(value.to_text(name)?.into()),
                "type" => pattern.kind = Some(value.to_text(name)?.into()),
                _ => return Err(JsonError::Unknown { name: shortened(name), known: "domain type" }),
            }
        }
        Ok(pattern)
    };
    items.iter().map(read).collect()
}

pub(super) fn write_types(name: &str, types: &[TypePattern], object: &mut Object<'_>) {
    object.list(name, types, |pattern, out| {
        Object::write(out, |object| {
            let texts = [("domain", &pattern.domain), ("type", &pattern.kind)];
            for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
                object.text(name, text);
            }
        });
    });
}

const TYPES_MAX: usize = 256;
