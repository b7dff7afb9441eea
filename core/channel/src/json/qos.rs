//! Quality of service.

use super::error::JsonError;
use super::members::{Members, Scalar};
use super::object::Object;
use super::property::Property;
use crate::qos::{Qos, Settings};

macro_rules! properties {
    ($($name:ident),*) => {
        /// What `qos` says when `members` are said too; `null` takes one back.
        ///
        /// Errors: `Unknown`, `Value`. What is possible beyond that, [`crate::qos::validate`] says.
        pub fn patch_qos(mut qos: Qos, members: &Members<'_>) -> Result<Qos, JsonError> {
            for (name, value) in members.iter() {
                let value = value?;
                match name {
                    $(stringify!($name) => qos.$name = read(name, &value)?,)*
                    _ => return Err(JsonError::Unknown { name: super::shortened(name), known: KNOWN }),
                }
            }
            Ok(qos)
        }

        /// What a level says; what it leaves to the wider one is left out.
        pub fn write_qos(qos: &Qos, object: &mut Object<'_>) {
            $(if let Some(value) = &qos.$name { value.write(stringify!($name), object); })*
        }

        /// All that holds.
        pub fn write_settings(settings: &Settings, object: &mut Object<'_>) {
            $(settings.$name.write(stringify!($name), object);)*
        }

        const KNOWN: &str = concat!($(" ", stringify!($name)),*);
    };
}

properties!(
    order,
    reliability,
    priority,
    lifetime,
    delay,
    length_max,
    bytes_max,
    discard,
    batch_max,
    pacing,
    acknowledgement,
    acknowledge_timeout,
    in_flight_max,
    tries_max,
    backoff,
    backoff_max,
    weight,
    turn_priority
);

fn read<T: Property>(name: &str, value: &Scalar<'_>) -> Result<Option<T>, JsonError> {
    if *value == Scalar::Null { Ok(None) } else { T::read(name, value).map(Some) }
}
