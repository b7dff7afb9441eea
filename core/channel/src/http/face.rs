//! The machine of one connection.

use super::call::{Answer, Call, Known, Outcome, Recording};
use super::config::HttpConfig;
use super::problem::Problem;
use super::reader::{Read, Reader, Request};
use super::response::{Manner, Response};
use super::target::{Route, Target};
use super::{channels, consumers, emit, take};
use crate::access::Access;
use crate::cloudevents::webhook::Ask;
use crate::engine::Engine;
use crate::hub::Record;
use crate::id::ChannelId;
use crate::output::Output;
use crate::principal::Principal;
use clustercore_proto::forward::http::{Framing, Method};
use clustercore_proto::time::Instant;
use std::sync::Arc;

/// One connection of a server. After each call its owner takes what [`HttpFace::poll_output`] gives, and looks at
/// [`HttpFace::next_timeout`] and [`HttpFace::is_closed`].
pub struct HttpFace {
    config: Arc<HttpConfig>,
    reader: Reader,
    output: Vec<u8>,
    /// Where a request is answered later.
    pending: Option<(Pending, Manner)>,
    /// Of the request whose body is being read.
    admitted: Option<(Target, Option<Arc<Principal>>)>,
    known: Known,
    is_closing: bool,
    /// When the state that a time-out counts for began.
    since: Instant,
}

enum Pending {
    Writing(emit::Writing),
    Waiting(take::Waiting),
    Recording(Recording),
}

impl HttpFace {
    /// A connection that was accepted at `now`.
    pub fn new(now: Instant, config: Arc<HttpConfig>) -> HttpFace {
        let reader = Reader::new(&config.limits);
        let (output, known) = (Vec::new(), Known::default());
        let (pending, admitted, is_closing) = (None, None, false);
        HttpFace { config, reader, output, pending, admitted, known, is_closing, since: now }
    }

    /// Bytes have come. How many of them were taken: the others are to be given again when an answer has gone out, and nothing
    /// more is to be read until then.
    pub fn receive(&mut self, now: Instant, bytes: &[u8], engine: &mut Engine, access: &Access) -> usize {
        if self.is_closing {
            return bytes.len();
        }
        let mut taken = 0;
        loop {
            if !self.reader.is_amid() && taken < bytes.len() {
                self.since = now;
            }
            let len = self.reader.fill(&bytes[taken..]);
            taken += len;
            self.advance(now, engine, access);
            if self.is_closing {
                return bytes.len();
            }
            if taken == bytes.len() || (len == 0 && self.reader.is_full()) {
                return taken;
            }
        }
    }

    /// Bytes to be sent, all that there are. Then what waited for room goes on: call [`HttpFace::receive`] with what is left, or
    /// with nothing.
    pub fn poll_output(&mut self) -> Option<Vec<u8>> {
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output))
    }

    /// True when it takes further bytes.
    pub fn wants_bytes(&self) -> bool {
        !self.is_closing && !self.reader.is_full()
    }

    /// True when nothing more comes: send what there is and close.
    pub fn is_closed(&self) -> bool {
        self.is_closing && self.output.is_empty()
    }

    /// What the engine puts out, told to every connection: an answer may wait for it.
    pub fn stirred(
        &mut self,
        now: Instant,
        channel: ChannelId,
        output: &Output,
        engine: &mut Engine,
        access: &Access,
    ) {
        let answer = match &mut self.pending {
            Some((Pending::Writing(writing), _)) => {
                if !writing.hear(channel, output) {
                    return;
                }
                writing.answer()
            }
            Some((Pending::Waiting(waiting), _)) if waiting.hears(channel, output) => {
                match waiting.pull(now, engine, &self.config.limits) {
                    Ok(None) => return,
                    Ok(Some(response)) => Ok(response),
                    Err(problem) => Err(problem),
                }
            }
            _ => return,
        };
        self.finish(now, answer);
        self.advance(now, engine, access);
    }

    /// A record is on disk, or could not be written: an answer may wait for it.
    pub fn recorded(
        &mut self,
        now: Instant,
        record: Record,
        is_written: bool,
        engine: &mut Engine,
        access: &Access,
    ) {
        if !matches!(&self.pending, Some((Pending::Recording(it), _)) if it.record == record) {
            return;
        }
        let Some((Pending::Recording(recording), manner)) = self.pending.take() else { return };
        let detail =
            "the server could not write it to disk: nothing persistent is taken until that is mended";
        let answer = if is_written { Ok(recording.response) } else { Err(Problem::new(503, detail)) };
        self.send(now, answer, manner);
        self.advance(now, engine, access);
    }

    /// When [`HttpFace::handle_timeout`] is to be called at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.is_closed() {
            return None;
        }
        let limits = &self.config.limits;
        Some(match &self.pending {
            Some((Pending::Writing(writing), _)) => writing.until,
            Some((Pending::Waiting(waiting), _)) => waiting.until,
            Some((Pending::Recording(recording), _)) => recording.until,
            None if self.is_amid() => self.since + limits.request_timeout,
            None => self.since + limits.idle_timeout,
        })
    }

    /// Does what is due: a consumer has waited long enough, a request does not end, a connection has rested too long.
    pub fn handle_timeout(&mut self, now: Instant, engine: &mut Engine, access: &Access) {
        if self.next_timeout().is_none_or(|at| at > now) {
            return;
        }
        let is_amid = self.is_amid() && !self.is_closing;
        let answer = match &self.pending {
            Some((Pending::Writing(writing), _)) => Err(writing.give_up()),
            Some((Pending::Waiting(waiting), _)) => {
                let pulled = waiting.pull(now, engine, &self.config.limits);
                pulled.map(|pulled| pulled.unwrap_or_else(|| Response::bare(204)))
            }
            Some((Pending::Recording(_), _)) => {
                let detail = "it is not known in time whether it is on disk: ask whether it is there";
                Err(Problem::new(503, detail).retry_after())
            }
            None if is_amid => {
                let seconds = self.config.limits.request_timeout.as_secs();
                let detail = format!("the request did not end within {seconds} seconds");
                return self.refuse(Problem::new(408, detail));
            }
            None => {
                // Nobody reads what is still to be sent.
                self.output.clear();
                self.is_closing = true;
                return;
            }
        };
        self.finish(now, answer);
        self.advance(now, engine, access);
    }

    /// A request has begun and nothing of ours keeps it from going on.
    fn is_amid(&self) -> bool {
        self.reader.is_amid() && self.output.len() < self.config.limits.output_bytes_max
    }

    /// Answers as many requests as there are.
    fn advance(&mut self, now: Instant, engine: &mut Engine, access: &Access) {
        let limits = self.config.limits;
        while self.pending.is_none() && !self.is_closing && self.output.len() < limits.output_bytes_max {
            match self.reader.next(&limits) {
                Ok(None) => return,
                Ok(Some(Read::Head)) => self.admit(access),
                Ok(Some(Read::Whole(request))) => self.answer(now, &request, engine, access),
                Err(problem) => self.refuse(problem),
            }
        }
    }

    /// Looks at a head, so that nobody sends a long body for nothing.
    fn admit(&mut self, access: &Access) {
        let Some(head) = self.reader.head() else { return };
        let verdict = verdict(head, access);
        let expects = head.expects_continue && self.reader.has_no_body_yet();
        match verdict {
            Ok(admitted) => {
                self.admitted = Some(admitted);
                if expects {
                    self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
            }
            // With nothing to come, the connection can go on once it is answered.
            Err(_) if head.framing.is_empty() => self.admitted = None,
            Err(problem) => self.refuse(problem),
        }
    }

    fn answer(&mut self, now: Instant, request: &Request, engine: &mut Engine, access: &Access) {
        let Request { keep_alive, is_10, method, .. } = *request;
        let manner = Manner { keep_alive, is_head: method == Method::Head, is_10 };
        let admitted = match self.admitted.take() {
            Some(admitted) => Ok(admitted),
            None => verdict(request, access),
        };
        let outcome = admitted.and_then(|(target, who)| {
            let Some(who) = who else { return options(request, &target, access) };
            let (config, known) = (&*self.config.clone(), &mut self.known);
            dispatch(Call { now, request, target: &target, who: &who, engine, config, known })
        });
        let answer = match outcome {
            Ok(Outcome::Answer(response)) => Ok(response),
            Ok(Outcome::Writing(writing)) => {
                self.pending = Some((Pending::Writing(writing), manner));
                return;
            }
            Ok(Outcome::Recording(recording)) => {
                self.pending = Some((Pending::Recording(recording), manner));
                return;
            }
            Ok(Outcome::Waiting(waiting)) => {
                self.pending = Some((Pending::Waiting(waiting), manner));
                return;
            }
            Err(problem) => Err(problem),
        };
        self.send(now, answer, manner);
    }

    fn finish(&mut self, now: Instant, answer: Result<Response, Problem>) {
        if let Some((_, manner)) = self.pending.take() {
            self.send(now, answer, manner);
        }
    }

    fn send(&mut self, now: Instant, answer: Result<Response, Problem>, manner: Manner) {
        let response = answer.unwrap_or_else(Problem::into_response);
        response.write(manner, &mut self.output);
        self.is_closing = !manner.keep_alive;
        self.since = now;
    }

    /// Where the next request begins is not known any more.
    fn refuse(&mut self, problem: Problem) {
        let manner = Manner { keep_alive: false, is_head: false, is_10: false };
        problem.into_response().write(manner, &mut self.output);
        self.is_closing = true;
    }
}

/// What a head asks for and who asks; nobody for OPTIONS, which is answered to all.
fn verdict(head: &Request, access: &Access) -> Result<(Target, Option<Arc<Principal>>), Problem> {
    let target = Target::parse(&head.target)?;
    if !target.route.allows(head.method) {
        return Err(Problem::method(target.route.allow()));
    }
    if head.method == Method::Options {
        return Ok((target, None));
    }
    let who = access.find(token(head, &target)?).ok_or_else(Problem::unauthorized)?.clone();
    Ok((target, Some(who)))
}

/// The bearer token, in its field or (as web hooks may) in the target.
fn token<'a>(head: &'a Request, target: &'a Target) -> Result<Option<&'a [u8]>, Problem> {
    let in_target = target.parameter("access_token");
    let Some(value) = head.field("authorization")? else { return Ok(in_target.map(str::as_bytes)) };
    if in_target.is_some() {
        return Err(Problem::new(400, "a token is given twice: send Authorization alone"));
    }
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::unauthorized());
    }
    Ok(Some(token.trim().as_bytes()))
}

/// The methods of a resource; to senders of web hooks, whether they may push.
fn options(request: &Request, target: &Target, access: &Access) -> Answer {
    let mut response = Response::bare(204).with("Allow", target.route.allow());
    if matches!(target.route, Route::Events(_)) {
        let ask = Ask::from_fields(request.lent()).map_err(|error| Problem::new(400, error.to_string()))?;
        for (name, value) in ask.and_then(|ask| access.hooks.answer(&ask)).into_iter().flatten() {
            response = response.with(name, value);
        }
    }
    Ok(response.into())
}

fn dispatch(mut call: Call<'_>) -> Answer {
    let is_post = call.request.method == Method::Post;
    let is_read = matches!(call.request.method, Method::Get | Method::Head | Method::Delete);
    if is_read && call.request.framing != Framing::None && !call.request.body.is_empty() {
        return Err(Problem::new(400, "this method has no content here: leave it out"));
    }
    match &call.target.route {
        Route::Events(name) => {
            let name = name.as_deref().map_or_else(|| call.default_name(), |name| name.into());
            if is_post { emit::emit(&mut call, &name) } else { take::take(&mut call, &name) }
        }
        Route::Acknowledge(name) => take::acknowledge(&mut call, name),
        Route::Channels => channels::list(&mut call),
        Route::Channel(name) => channels::channel(&mut call, name),
        Route::Why(name) => channels::why(&mut call, name),
        Route::Consumers(name) => consumers::list(&mut call, name),
        Route::Consumer(channel, name) => consumers::consumer(&mut call, channel, name),
        Route::Server => Err(Problem::method(Route::Server.allow())),
    }
}
