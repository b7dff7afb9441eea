//! Events go out by GET, and are acknowledged by POST.

use super::call::{Answer, Call, Outcome, check_consumer_name};
use super::config::HttpLimits;
use super::problem::Problem;
use super::response::Response;
use crate::channel::{Batch, Mode, SupplierProxySpec};
use crate::cloudevents::{BATCH_MEDIA_TYPE, BatchWriter};
use crate::engine::Engine;
use crate::id::{ChannelId, DeliveryId, SupplierProxyId};
use crate::json::{JsonError, Object, Scalar, shortened, write_text};
use crate::output::Output;
use crate::principal::{Principal, Right};
use clustercore_proto::time::Instant;
use std::sync::Arc;

/// A consumer that waits for events.
pub(super) struct Waiting {
    channel: ChannelId,
    proxy: SupplierProxyId,
    who: Arc<Principal>,
    events_max: u32,
    pub until: Instant,
}

/// Gives events to a consumer, which is made where there is none.
pub(super) fn take(call: &mut Call<'_>, name: &str) -> Answer {
    call.target.expect_only(&["consumer", "max", "wait"])?;
    let limits = &call.config.limits;
    let events_max = call.target.number("max", limits.pull_events_max.min(64), 1, limits.pull_events_max)?;
    let wait = call.target.seconds("wait", limits.wait_max)?;
    let channel = call.channel(name, &[Right::Consume])?;
    let consumer = call.consumer_name().to_string();
    let proxy = match call.consumer(channel, &consumer) {
        Ok(proxy) => proxy,
        Err(_) => {
            check_consumer_name(&consumer)?;
            let spec =
                SupplierProxySpec { name: consumer.into(), mode: Mode::Pull, ..SupplierProxySpec::default() };
            let proxy = call.engine.consume(call.who, channel)?.connect(call.now, spec)?.proxy;
            call.known.remember(channel, proxy);
            proxy
        }
    };
    let is_pull = call.machine(channel)?.supplier_proxy(proxy).is_some_and(|spec| spec.mode == Mode::Pull);
    if !is_pull {
        return Err(Problem::new(409, "events are pushed to this consumer: make one with mode pull"));
    }
    let (who, until) = (call.who.clone(), call.now + wait);
    let waiting = Waiting { channel, proxy, who, events_max, until };
    match waiting.pull(call.now, call.engine, limits)? {
        None if !wait.is_zero() => Ok(Outcome::Waiting(waiting)),
        None => Ok(Response::bare(204).into()),
        Some(response) => Ok(response.into()),
    }
}

impl Waiting {
    /// True when the engine says that there may be something.
    pub fn hears(&self, channel: ChannelId, output: &Output) -> bool {
        channel == self.channel && matches!(output, Output::Readable { proxy } if *proxy == self.proxy)
    }

    /// A batch of what there is; `None` for nothing.
    pub fn pull(
        &self,
        now: Instant,
        engine: &mut Engine,
        limits: &HttpLimits,
    ) -> Result<Option<Response>, Problem> {
        let mut batch = BatchWriter::default();
        let mut face = engine.consume(&self.who, self.channel)?;
        let mut sink = |events: Batch<'_>| write(&events, limits.pull_bytes_max, &mut batch);
        let given = face.pull(now, self.proxy, self.events_max, &mut sink);
        let gone = || Problem::new(404, "the consumer was removed meanwhile: make it anew");
        if given.ok_or_else(gone)? == 0 {
            return Ok(None);
        }
        Ok(Some(Response { content_type: BATCH_MEDIA_TYPE, ..Response::json(200, batch.finish()) }))
    }
}

/// Puts events into the answer, at least one; how many.
fn write(events: &Batch<'_>, bytes_max: usize, batch: &mut BatchWriter) -> usize {
    for handed in events.iter() {
        if batch.bytes_len() >= bytes_max && !batch.is_empty() {
            break;
        }
        let DeliveryId { index, generation } = handed.delivery;
        let (id, offset, tries) =
            (format!("{index}-{generation}"), handed.offset.to_string(), handed.tries.to_string());
        let all = [("deliveryoffset", &*offset), ("deliveryid", &*id), ("deliverytries", &*tries)];
        let mut further = Vec::from(&all[..1]);
        further.extend(events.is_acknowledged.then_some(all[1]));
        further.extend((handed.tries > 0).then_some(all[2]));
        batch.push(handed.event, &further);
    }
    batch.len()
}

/// What a consumer says of deliveries.
pub(super) fn acknowledge(call: &mut Call<'_>, name: &str) -> Answer {
    call.target.expect_only(&["consumer"])?;
    let channel = call.channel(name, &[Right::Consume])?;
    let consumer = call.consumer_name().to_string();
    let proxy = call.consumer(channel, &consumer)?;
    let orders = orders(call)?;
    let mut face = call.engine.consume(call.who, channel)?;
    let (mut acknowledged, mut rejected, mut unknown) = (0u32, 0u32, Vec::new());
    for (order, id, text) in &orders {
        let done = match order {
            Order::Acknowledge => face.acknowledge(call.now, proxy, *id).map(|()| acknowledged += 1),
            Order::Reject { is_for_good } => {
                face.reject(call.now, proxy, *id, *is_for_good).map(|()| rejected += 1)
            }
        };
        if done.is_err() {
            unknown.push(text);
        }
    }
    let mut body = String::new();
    Object::write(&mut body, |object| {
        object.plain("acknowledged", acknowledged);
        object.plain("rejected", rejected);
        object.list("unknown", unknown, |text, out| write_text(text, out));
    });
    Ok(Response::json(200, body).into())
}

#[derive(Clone, Copy)]
enum Order {
    Acknowledge,
    Reject { is_for_good: bool },
}

/// Everything is read before anything is done.
fn orders(call: &Call<'_>) -> Result<Vec<(Order, DeliveryId, String)>, JsonError> {
    let mut orders = Vec::new();
    for (name, value) in call.members()?.iter() {
        let value = value?;
        let order = match name {
            "acknowledge" => Order::Acknowledge,
            "reject" => Order::Reject { is_for_good: false },
            "reject_for_good" => Order::Reject { is_for_good: true },
            _ => {
                let known = "acknowledge reject reject_for_good";
                return Err(JsonError::Unknown { name: shortened(name), known });
            }
        };
        for item in value.to_items(name, DELIVERIES_MAX)? {
            let Scalar::Text(text) = &item else { return Err(item.wanted(name, "texts")) };
            let wrong = || item.wanted(name, "values of the attribute deliveryid");
            orders.push((order, delivery_id(text).ok_or_else(wrong)?, text.to_string()));
        }
    }
    Ok(orders)
}

fn delivery_id(text: &str) -> Option<DeliveryId> {
    let (index, generation) = text.split_once('-')?;
    let number = |text: &str| {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_: &u32| is_plain)
    };
    Some(DeliveryId { index: number(index)?, generation: number(generation)? })
}

const DELIVERIES_MAX: usize = 65_536;
