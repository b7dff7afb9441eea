//! What is refused, as problem JSON.
//!
//! Source: RFC 9457. The type is left out, which stands for `about:blank`: the status says it all, the detail says the rest.

use super::response::{Response, phrase};
use crate::channel::ManageError;
use crate::cloudevents::CloudEventError;
use crate::engine::EngineError;
use crate::hook::HookError;
use crate::json::{JsonError, Object, write_qos_problem};
use crate::output::Refusal;
use clustercore_proto::forward::http::{ChunkError, Reject};

/// A request that is refused.
#[derive(Debug)]
pub(super) struct Problem {
    pub status: u16,
    detail: String,
    /// Seconds after which it may be worth another try.
    retry_after: Option<u32>,
    allow: Option<&'static str>,
    is_challenge: bool,
    /// Further members, their values as JSON.
    members: Vec<(&'static str, String)>,
}

impl Problem {
    pub fn new(status: u16, detail: impl Into<String>) -> Problem {
        let (retry_after, allow, is_challenge, members) = (None, None, false, Vec::new());
        Problem { status, detail: detail.into(), retry_after, allow, is_challenge, members }
    }

    /// Nothing is known of the token, or there is none.
    pub fn unauthorized() -> Problem {
        let detail = "there is no token, or nothing is known of it: send Authorization: Bearer TOKEN";
        Problem { is_challenge: true, ..Problem::new(401, detail) }
    }

    /// The resource does not know this method.
    pub fn method(allow: &'static str) -> Problem {
        let detail = format!("this resource knows {allow}");
        Problem { allow: Some(allow), ..Problem::new(405, detail) }
    }

    /// Of events that were refused; `accepted` of `of` were taken, from the first on.
    pub fn refusal(refusal: Refusal, accepted: u64, of: u64) -> Problem {
        let (status, retry_after) = match refusal {
            Refusal::BufferFull { .. } | Refusal::ChannelFull { .. } => (429, Some(RETRY_AFTER_S)),
            Refusal::Suspended | Refusal::InProgress | Refusal::NotWritten => (503, Some(RETRY_AFTER_S)),
            Refusal::TooLarge { .. } => (413, None),
            Refusal::NoSuchProxy => (404, None),
        };
        let problem = Problem { retry_after, ..Problem::new(status, refusal.to_string()) };
        problem.with("accepted", accepted.to_string()).with("of", of.to_string())
    }

    /// One more member, its value as JSON.
    pub fn with(mut self, name: &'static str, value: String) -> Problem {
        self.members.push((name, value));
        self
    }

    pub fn retry_after(mut self) -> Problem {
        self.retry_after = Some(RETRY_AFTER_S);
        self
    }

    /// The answer that tells it.
    pub fn into_response(self) -> Response {
        let mut body = String::new();
        Object::write(&mut body, |object| {
            object.text("title", phrase(self.status));
            object.plain("status", self.status);
            object.text("detail", &self.detail);
            for (name, value) in &self.members {
                object.plain(name, value);
            }
        });
        let mut response =
            Response { content_type: "application/problem+json", ..Response::json(self.status, body) };
        if let Some(seconds) = self.retry_after {
            response = response.with("Retry-After", seconds.to_string());
        }
        if let Some(allow) = self.allow {
            response = response.with("Allow", allow);
        }
        if self.is_challenge {
            response = response.with("WWW-Authenticate", "Bearer");
        }
        response
    }
}

impl From<Reject> for Problem {
    fn from(reject: Reject) -> Problem {
        Problem::new(reject.status, reject.reason.as_str())
    }
}

impl From<ChunkError> for Problem {
    fn from(error: ChunkError) -> Problem {
        Problem::new(400, format!("malformed chunked body: {error:?}"))
    }
}

impl From<CloudEventError> for Problem {
    fn from(error: CloudEventError) -> Problem {
        let status = match &error {
            CloudEventError::Format { .. } => 415,
            error if error.is_too_large() => 413,
            _ => 400,
        };
        let index = if let CloudEventError::InBatch { index, .. } = &error { Some(*index) } else { None };
        let problem = Problem::new(status, error.to_string());
        match index {
            Some(index) => problem.with("index", index.to_string()).with("accepted", "0".into()),
            None => problem,
        }
    }
}

impl From<HookError> for Problem {
    fn from(error: HookError) -> Problem {
        let status = match error {
            HookError::Target { .. } => 403,
            HookError::TooMany { .. } => 429,
            HookError::Acknowledgement | HookError::Unnamed => 422,
        };
        Problem::new(status, error.to_string())
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Problem {
        Problem::new(400, error.to_string())
    }
}

impl From<ManageError> for Problem {
    fn from(error: ManageError) -> Problem {
        let status = match &error {
            ManageError::NoSuchProxy | ManageError::NoSuchGroup => 404,
            ManageError::TooMany { .. } | ManageError::GroupDiffers { .. } | ManageError::NoRetention => 409,
            ManageError::Qos(_) => 422,
        };
        let problem = Problem::new(status, error.to_string());
        let ManageError::Qos(error) = error else { return problem };
        let mut problems = String::from("[");
        for (index, it) in error.problems.iter().enumerate() {
            problems.push_str(if index == 0 { "" } else { "," });
            write_qos_problem(it, &mut problems);
        }
        problems.push(']');
        problem.with("problems", problems)
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Problem {
        let status = match error {
            EngineError::Manage(error) => return error.into(),
            EngineError::Denied(_) => 403,
            EngineError::NoSuchChannel => 404,
            EngineError::NameTaken { .. } | EngineError::TooMany { .. } | EngineError::IsDefault => 409,
            EngineError::Name => 400,
        };
        Problem::new(status, error.to_string())
    }
}

const RETRY_AFTER_S: u32 = 1;
