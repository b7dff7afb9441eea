//! Consumers as resources.

use super::call::{Answer, Call, check_consumer_name};
use super::problem::Problem;
use super::response::Response;
use crate::channel::{Channel, ManageError, Mode, SupplierProxySpec};
use crate::hook::admit;
use crate::hub::Record;
use crate::id::{ChannelId, SupplierProxyId};
use crate::json::{
    JsonError, Object, patch_supplier_proxy, write_queue_stats, write_settings, write_supplier_proxy,
};
use crate::predicate::Filter;
use crate::principal::Right;
use crate::qos::{Level, Settings, validate};
use clustercore_proto::forward::http::Method;

/// One's own consumers; to administrators all.
pub(super) fn list(call: &mut Call<'_>, name: &str) -> Answer {
    call.target.expect_only(&[])?;
    let channel = call.channel(name, &[Right::Consume])?;
    let who = call.who.clone();
    let is_open = who.may(Right::Administer, name);
    let machine = call.machine(channel)?;
    let all = machine.supplier_proxies().filter(|(_, spec)| is_open || spec.owner == who.name);
    let mut body = String::new();
    Object::write(&mut body, |object| {
        object.list("consumers", all, |(id, _), out| {
            Object::write(out, |object| describe(machine, id, object));
        });
    });
    Ok(Response::json(200, body).into())
}

/// One consumer.
pub(super) fn consumer(call: &mut Call<'_>, channel: &str, name: &str) -> Answer {
    let id = call.channel(channel, &[Right::Consume])?;
    match call.request.method {
        Method::Put => create(call, id, name),
        Method::Patch => change(call, id, name),
        Method::Delete => {
            call.target.expect_only(&[])?;
            let proxy = call.consumer(id, name)?;
            call.engine.consume(call.who, id)?.disconnect(call.now, proxy)?;
            Ok(Response::bare(204).into())
        }
        _ => {
            call.target.expect_only(&[])?;
            let proxy = call.consumer(id, name)?;
            let machine = call.machine(id)?;
            let mut body = String::new();
            Object::write(&mut body, |object| describe(machine, proxy, object));
            Ok(Response::json(200, body).into())
        }
    }
}

/// Without a mode said it pulls: who wants to be pushed to says so, or is a web hook.
fn create(call: &mut Call<'_>, channel: ChannelId, name: &str) -> Answer {
    call.target.expect_only(&[])?;
    if call.consumer(channel, name).is_ok() {
        let detail = "there is a consumer of this name already: change it by PATCH, or delete it first";
        return Err(Problem::new(409, detail));
    }
    check_consumer_name(name)?;
    let base = SupplierProxySpec { name: name.into(), mode: Mode::Pull, ..SupplierProxySpec::default() };
    let mut spec = read(call, base)?;
    admit(call.engine, &call.config.hooks, &mut spec)?;
    let is_kept = spec.is_kept();
    let attached = call.engine.consume(call.who, channel)?.connect(call.now, spec)?;
    call.known.remember(channel, attached.proxy);
    let mut body = String::new();
    Object::write(&mut body, |object| object.plain("first", attached.first));
    let response = Response::json(201, body);
    if is_kept {
        call.record(Record::Consumer(channel, attached.proxy), response)
    } else {
        Ok(response.into())
    }
}

/// Quality of service and filter; with `validate` only what would hold.
fn change(call: &mut Call<'_>, channel: ChannelId, name: &str) -> Answer {
    call.target.expect_only(&["validate"])?;
    let is_trial = call.target.flag("validate")?;
    let proxy = call.consumer(channel, name)?;
    for (member, _) in call.members()?.iter() {
        if !["qos", "filter"].contains(&member) {
            let known = "qos and filter: for others, delete the consumer and make it anew";
            return Err(JsonError::Unknown { name: crate::json::shortened(member), known }.into());
        }
    }
    let now = call.now;
    let gone = || Problem::from(ManageError::NoSuchProxy);
    let old = call.machine(channel)?.supplier_proxy(proxy).ok_or_else(gone)?.clone();
    let spec = read(call, old.clone())?;
    let machine = call.machine(channel)?;
    let group = old.group.and_then(|group| Some(machine.group(group)?.spec().qos)).unwrap_or_default();
    let wider = Settings::default().narrowed(&machine.config().qos).narrowed(&group);
    let settings = validate(Level::Proxy, &wider, &spec.qos).map_err(ManageError::from)?;
    if !is_trial {
        machine.set_supplier_proxy_qos(now, proxy, spec.qos)?;
        let text = |filter: &Option<Filter>| filter.as_ref().map(|filter| filter.text().to_string());
        if text(&old.filter) != text(&spec.filter) {
            machine.set_filter(now, proxy, spec.filter)?;
        }
    }
    let mut body = String::new();
    Object::write(&mut body, |object| {
        object.object("settings", |object| write_settings(&settings, object));
    });
    Ok(Response::json(200, body).into())
}

fn read(call: &Call<'_>, base: SupplierProxySpec) -> Result<SupplierProxySpec, JsonError> {
    let filters = &call.config.filters;
    let compile = |source: &str| filters.compile(source).map(|filter| filter as Filter);
    patch_supplier_proxy(base, &call.members()?, &compile)
}

fn describe(machine: &Channel, id: SupplierProxyId, object: &mut Object<'_>) {
    let (Some(spec), Some((settings, len, bytes, stats))) = (machine.supplier_proxy(id), machine.queue(id))
    else {
        return;
    };
    write_supplier_proxy(spec, object);
    object.object("settings", |object| write_settings(&settings, object));
    object.plain("length", len);
    object.plain("bytes", bytes);
    object.object("stats", |object| write_queue_stats(&stats, object));
}
