//! Channels as resources.

use super::call::{Answer, Call};
use super::problem::Problem;
use super::response::Response;
use crate::channel::ChannelConfig;
use crate::hub::Record;
use crate::json::{
    JsonError, MEMBERS_MAX, Members, Object, patch_qos, read_channel_config, shortened, write_channel_config,
    write_channel_stats, write_reason, write_settings,
};
use crate::principal::Right;
use crate::qos::{Level, Settings, validate};
use clustercore_proto::forward::http::Method;

/// The channels that one may do anything with.
pub(super) fn list(call: &mut Call<'_>) -> Answer {
    call.target.expect_only(&[])?;
    let default = call.engine.default_channel();
    let mut body = String::new();
    Object::write(&mut body, |object| {
        object.list("channels", call.engine.list(call.who), |(id, name), out| {
            Object::write(out, |object| {
                object.text("name", name);
                object.plain("is_default", id == default);
            });
        });
    });
    Ok(Response::json(200, body).into())
}

/// One channel.
pub(super) fn channel(call: &mut Call<'_>, name: &str) -> Answer {
    match call.request.method {
        Method::Put => create(call, name),
        Method::Patch => change(call, name),
        Method::Delete => {
            call.target.expect_only(&[])?;
            let id = call.channel(name, &[Right::Administer])?;
            call.engine.delete(call.who, id)?;
            call.record(Record::ChannelGone(id), Response::bare(204))
        }
        _ => tell(call, name),
    }
}

fn create(call: &mut Call<'_>, name: &str) -> Answer {
    call.target.expect_only(&[])?;
    let config = read_channel_config(&call.members()?)?;
    let id = call.engine.create(call.who, name, config)?;
    call.record(Record::Channel(id), Response::bare(201))
}

fn tell(call: &mut Call<'_>, name: &str) -> Answer {
    call.target.expect_only(&[])?;
    let id = call.channel(name, &[Right::Consume, Right::Emit, Right::Administer])?;
    let machine = call.machine(id)?;
    let mut body = String::new();
    Object::write(&mut body, |object| {
        object.text("name", machine.name());
        object.object("config", |object| write_channel_config(machine.config(), object));
        object.object("stats", |object| write_channel_stats(&machine.stats(), object));
        object.plain("offset_next", machine.offset_next());
        object.plain("suppliers", machine.consumer_proxies().count());
        object.plain("consumers", machine.supplier_proxies().count());
    });
    Ok(Response::json(200, body).into())
}

/// Quality of service and turns; with `validate` only what would hold.
fn change(call: &mut Call<'_>, name: &str) -> Answer {
    call.target.expect_only(&["validate"])?;
    let is_trial = call.target.flag("validate")?;
    let id = call.channel(name, &[Right::Administer])?;
    let now = call.now;
    let current = call.machine(id)?.config().clone();
    let changed = read_change(&call.members()?, &current)?;
    let settings = validate(Level::Channel, &Settings::default(), &changed.qos);
    let settings = settings.map_err(crate::channel::ManageError::from)?;
    if !is_trial {
        let machine = call.engine.administer(call.who, id)?;
        machine.set_qos(now, changed.qos)?;
        machine.set_turns(changed.supplier_turns, changed.consumer_turns);
    }
    let mut body = String::new();
    Object::write(&mut body, |object| {
        object.object("settings", |object| write_settings(&settings, object));
    });
    Ok(Response::json(200, body).into())
}

fn read_change(members: &Members<'_>, current: &ChannelConfig) -> Result<ChannelConfig, JsonError> {
    let mut changed = current.clone();
    for (name, value) in members.iter() {
        let value = value?;
        match name {
            "qos" => changed.qos = patch_qos(changed.qos, &value.to_members(name, MEMBERS_MAX)?)?,
            "supplier_turns" => changed.supplier_turns = crate::json::read_discipline(name, &value)?,
            "consumer_turns" => changed.consumer_turns = crate::json::read_discipline(name, &value)?,
            _ => {
                let known = "qos supplier_turns consumer_turns: the others hold for the channel's life";
                return Err(JsonError::Unknown { name: shortened(name), known });
            }
        }
    }
    Ok(changed)
}

/// Why nothing is being delivered to a consumer.
pub(super) fn why(call: &mut Call<'_>, name: &str) -> Answer {
    call.target.expect_only(&["consumer"])?;
    let channel = call.channel(name, &[Right::Consume])?;
    let consumer = call.consumer_name().to_string();
    let proxy = call.consumer(channel, &consumer)?;
    let reasons = call.engine.consume(call.who, channel)?.why(call.now, proxy);
    let reasons = reasons.ok_or_else(|| Problem::new(404, "the consumer was removed"))?;
    let mut body = String::new();
    Object::write(&mut body, |object| {
        object.text("consumer", &consumer);
        object.list("reasons", &reasons, write_reason);
    });
    Ok(Response::json(200, body).into())
}
