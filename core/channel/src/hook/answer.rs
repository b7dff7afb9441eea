//! From received bytes to whole answers, by the rules of the forwarder.

use super::config::HookConfig;
use clustercore_proto::forward::http::{
    BadResponse, BodyCursor, ChunkError, Framing, HEADERS_CEILING, HeadScan, Method, RequestPlan, Version,
    forward_response_resumed,
};
use std::fmt;

/// An answer whose body has been passed over.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    /// Those that are about web hooks or waiting, as they came.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Another request may follow on the connection.
    pub keep_alive: bool,
}

/// Why bytes are no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadAnswer {
    Head(BadResponse),
    Chunks(ChunkError),
    TooLarge { max: usize },
    TooManyInterim,
}

/// Takes one answer after another out of the bytes of one connection.
pub(super) struct AnswerReader {
    scan: HeadScan,
    input: Vec<u8>,
    /// What the forwarder's rules made of a head.
    canonical: Vec<u8>,
    current: Option<(Answer, BodyCursor)>,
    body_len: usize,
    interims: u32,
}

impl AnswerReader {
    pub fn new(config: &HookConfig) -> AnswerReader {
        AnswerReader {
            scan: HeadScan::for_response(&config.head),
            input: Vec::new(),
            canonical: Vec::new(),
            current: None,
            body_len: 0,
            interims: 0,
        }
    }

    /// True while nothing has come.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.current.is_none() && self.interims == 0
    }

    /// Reads on; an answer when it is whole. What comes behind it stays: see [`AnswerReader::is_empty`].
    ///
    /// Errors: see [`BadAnswer`]; the connection is of no use then.
    pub fn receive(&mut self, bytes: &[u8], config: &HookConfig) -> Result<Option<Answer>, BadAnswer> {
        self.input.extend_from_slice(bytes);
        while self.current.is_none() {
            if !self.read_head(config)? {
                return Ok(None);
            }
        }
        let Some((_, cursor)) = &mut self.current else { return Ok(None) };
        let mut at = 0;
        while !cursor.is_done() && at < self.input.len() {
            at += cursor.take(&self.input[at..]).map_err(BadAnswer::Chunks)?.len;
        }
        let is_done = cursor.is_done();
        self.input.drain(..at);
        self.body_len += at;
        if self.body_len > config.answer_bytes_max {
            return Err(BadAnswer::TooLarge { max: config.answer_bytes_max });
        }
        Ok(if is_done { self.finish() } else { None })
    }

    /// The connection ends here: the answer, when that is its end.
    pub fn end(&mut self) -> Option<Answer> {
        let is_whole = self.current.as_ref().is_some_and(|(_, cursor)| cursor.on_close());
        if is_whole { self.finish() } else { None }
    }

    fn finish(&mut self) -> Option<Answer> {
        (self.body_len, self.interims) = (0, 0);
        self.current.take().map(|(answer, _)| answer)
    }

    /// True when a head was read, an interim one included.
    fn read_head(&mut self, config: &HookConfig) -> Result<bool, BadAnswer> {
        self.canonical.clear();
        let (scan, input, out) = (&mut self.scan, &self.input, &mut self.canonical);
        let plan = forward_response_resumed(scan, input, &REQUEST, "clustercore", true, &config.head, out);
        let Some(plan) = plan.map_err(BadAnswer::Head)? else { return Ok(false) };
        self.input.drain(..plan.head_len);
        if plan.interim {
            self.interims += 1;
            return if self.interims > INTERIMS_MAX { Err(BadAnswer::TooManyInterim) } else { Ok(true) };
        }
        let fields = fields(&self.canonical)?;
        let answer = Answer { status: plan.status, fields, keep_alive: plan.backend_keep_alive };
        self.current = Some((answer, BodyCursor::new(plan.framing, &config.head)));
        Ok(true)
    }
}

impl Answer {
    /// Names and values, lent.
    pub fn lent(&self) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How long to wait, as the answer says it.
    pub fn retry_after(&self) -> Option<&str> {
        let found = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(RETRY_AFTER));
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

/// The fields of a head that the forwarder's rules have passed.
fn fields(head: &[u8]) -> Result<Vec<(String, Vec<u8>)>, BadAnswer> {
    let mut table = [httparse::EMPTY_HEADER; HEADERS_CEILING + FIELDS_ADDED_MAX];
    let mut parsed = httparse::Response::new(&mut table);
    parsed.parse(head).map_err(|_| BadAnswer::Head(BadResponse::Syntax))?;
    let is_ours = |name: &str| {
        let is_hook = name.get(..HOOK_FIELD.len()).is_some_and(|it| it.eq_ignore_ascii_case(HOOK_FIELD));
        is_hook || name.eq_ignore_ascii_case(RETRY_AFTER)
    };
    let ours = parsed.headers.iter().filter(|field| is_ours(field.name));
    Ok(ours.map(|field| (field.name.to_string(), field.value.to_vec())).collect())
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadAnswer::Head(bad) => f.write_str(bad.as_str()),
            BadAnswer::Chunks(error) => write!(f, "malformed chunks ({error:?})"),
            BadAnswer::TooLarge { max } => {
                write!(f, "the body of the answer is above {max} bytes, the limit")
            }
            BadAnswer::TooManyInterim => write!(f, "more than {INTERIMS_MAX} interim answers"),
        }
    }
}

/// What the forwarder's rules want to know of our requests.
const REQUEST: RequestPlan = RequestPlan {
    head_len: 0,
    method: Method::Post,
    version: Version::Http11,
    framing: Framing::None,
    keep_alive: true,
    expect_continue: false,
    upgrade: false,
    connect: false,
};
const HOOK_FIELD: &str = "webhook-";
const RETRY_AFTER: &str = "retry-after";
const INTERIMS_MAX: u32 = 8;
/// Framing, connection, `Via`.
const FIELDS_ADDED_MAX: usize = 8;
