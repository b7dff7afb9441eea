//! From received bytes to whole requests.

use super::config::HttpLimits;
use super::problem::Problem;
use clustercore_proto::forward::http::{
    BodyCursor, Framing, HEADERS_CEILING, HeadScan, Method, RequestContext, RequestPlan, Version,
    client_fields, forward_request_resumed,
};
use std::net::{Ipv4Addr, SocketAddr};

/// A request, whole but for its body while that is being read.
#[derive(Debug)]
pub(super) struct Request {
    pub method: Method,
    pub target: String,
    /// Names as they came, and values.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub keep_alive: bool,
    pub is_10: bool,
    pub expects_continue: bool,
    pub framing: Framing,
}

/// What has been read.
pub(super) enum Read {
    /// A head: [`Reader::head`] shows it, its body follows.
    Head,
    /// All of a request.
    Whole(Request),
}

/// Takes requests out of the bytes of one connection.
pub(super) struct Reader {
    scan: HeadScan,
    input: Vec<u8>,
    input_max: usize,
    /// What the forwarder's rules made of a head.
    canonical: Vec<u8>,
    client_fields: Vec<u8>,
    current: Option<(Request, BodyCursor)>,
}

impl Reader {
    pub fn new(limits: &HttpLimits) -> Reader {
        let mut rendered = Vec::new();
        client_fields(&context(&[]), &mut rendered);
        Reader {
            scan: HeadScan::new(&limits.head),
            input: Vec::new(),
            input_max: limits.head.head_bytes_max.max(INPUT_BYTES_MIN),
            canonical: Vec::new(),
            client_fields: rendered,
            current: None,
        }
    }

    /// Keeps as many of `bytes` as there is room for; how many.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.input_max - self.input.len().min(self.input_max));
        self.input.extend_from_slice(&bytes[..len]);
        len
    }

    /// True when part of a request has come.
    pub fn is_amid(&self) -> bool {
        self.current.is_some() || !self.input.is_empty()
    }

    /// True when there is no room for further bytes.
    pub fn is_full(&self) -> bool {
        self.input.len() >= self.input_max
    }

    /// True when nothing of a body has been read.
    pub fn has_no_body_yet(&self) -> bool {
        self.input.is_empty()
    }

    /// The head whose body is being read.
    pub fn head(&self) -> Option<&Request> {
        self.current.as_ref().map(|(request, _)| request)
    }

    /// The next thing that is there; `None` when more bytes are needed.
    ///
    /// Errors: what is wrong; where the next request begins is not known then.
    pub fn next(&mut self, limits: &HttpLimits) -> Result<Option<Read>, Problem> {
        let Some((request, cursor)) = &mut self.current else {
            return self.next_head(limits);
        };
        let mut at = 0;
        while !cursor.is_done() && at < self.input.len() {
            let (consumed, data) = match cursor.chunks() {
                Some(chunks) => {
                    let step = chunks.next_data(&self.input[at..])?;
                    (step.consumed, step.data)
                }
                None => {
                    let taken = cursor.take(&self.input[at..])?;
                    (taken.len, 0..taken.len)
                }
            };
            if request.body.len() + data.len() > limits.body_bytes_max {
                return Err(too_large(request.body.len() as u64 + data.len() as u64, limits));
            }
            request.body.extend_from_slice(&self.input[at..][data]);
            at += consumed;
        }
        self.input.drain(..at);
        if !cursor.is_done() {
            return Ok(None);
        }
        let whole = self.current.take().map(|(request, _)| Read::Whole(request));
        Ok(whole)
    }

    fn next_head(&mut self, limits: &HttpLimits) -> Result<Option<Read>, Problem> {
        if self.input.is_empty() {
            return Ok(None);
        }
        self.canonical.clear();
        let context = context(&self.client_fields);
        let (input, out) = (&self.input, &mut self.canonical);
        let Some(plan) = forward_request_resumed(&mut self.scan, input, &context, &limits.head, out)? else {
            return Ok(None);
        };
        let request = request(&self.canonical, &plan)?;
        self.input.drain(..plan.head_len);
        if let Framing::Length(length) = plan.framing
            && length > limits.body_bytes_max as u64
        {
            return Err(too_large(length, limits));
        }
        self.current = Some((request, BodyCursor::new(plan.framing, &limits.head)));
        Ok(Some(Read::Head))
    }
}

impl Request {
    /// The only value of a field; in any case of the name.
    ///
    /// Errors: it is given twice, or is no visible ASCII.
    pub fn field(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut found = self.fields.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        let Some((_, value)) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(Problem::new(400, format!("field {name} is given twice: send it once")));
        }
        let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
        text.map(Some).ok_or_else(|| Problem::new(400, format!("field {name} is no visible ASCII")))
    }

    /// Names and values, lent.
    pub fn lent(&self) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// The request of a head that the forwarder's rules have passed.
fn request(head: &[u8], plan: &RequestPlan) -> Result<Request, Problem> {
    let mut table = [httparse::EMPTY_HEADER; HEADERS_CEILING + FIELDS_ADDED_MAX];
    let mut parsed = httparse::Request::new(&mut table);
    let malformed = || Problem::new(400, "malformed head");
    let status = parsed.parse(head).map_err(|_| malformed())?;
    let (true, Some(target)) = (status.is_complete(), parsed.path) else { return Err(malformed()) };
    let fields = parsed.headers.iter().map(|field| (field.name.to_string(), field.value.to_vec()));
    Ok(Request {
        method: plan.method,
        target: target.into(),
        fields: fields.collect(),
        body: Vec::new(),
        keep_alive: plan.keep_alive,
        is_10: plan.version == Version::Http10,
        expects_continue: plan.expect_continue,
        framing: plan.framing,
    })
}

/// Nothing is forwarded, so what would be said of the client is of no interest.
fn context(fields: &[u8]) -> RequestContext<'_> {
    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    RequestContext {
        client: nobody,
        local: nobody,
        secure: false,
        via: "clustercore",
        trust_forwarded: false,
        fields,
    }
}

fn too_large(len: u64, limits: &HttpLimits) -> Problem {
    let max = limits.body_bytes_max;
    Problem::new(413, format!("the body is {len} bytes, limit is {max}: send it in parts"))
}

/// Host, framing, connection, and what is said of the client.
const FIELDS_ADDED_MAX: usize = 16;
const INPUT_BYTES_MIN: usize = 16 << 10;
