//! What the tests of the face drive.

use crate::access::Access;
use crate::cloudevents::webhook::Policy;
use crate::engine::{Engine, EngineConfig};
use crate::http::{HttpConfig, HttpFace, HttpLimits};
use crate::output::Output;
use crate::principal::{Grant, Principal, Right, Rights};
use clustercore_proto::time::{Duration, Instant};
use std::sync::Arc;

/// One connection, the engine behind it, and an owner who does what an owner does.
pub struct Bench {
    pub engine: Engine,
    pub access: Access,
    pub face: HttpFace,
    pub now: Instant,
    pub persisted: bool,
}

pub fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

impl Bench {
    pub fn with(config: EngineConfig, limits: HttpLimits) -> Bench {
        let rights = |right| {
            let rights = Rights::NONE.and(right);
            vec![Grant { channel: Some("default".into()), rights }]
        };
        let mut access = Access::new()
            .with_token("root", Principal::new("root", Rights::ALL))
            .with_token("ann", Principal { name: "ann".into(), grants: rights(Right::Emit) })
            .with_token("bob", Principal { name: "bob".into(), grants: rights(Right::Consume) });
        let hooks =
            Policy { origins: vec!["events.example.com".into()], rate_max: std::num::NonZeroU32::new(60) };
        access.hooks = hooks;
        let http = HttpConfig { limits, ..HttpConfig::default() };
        let face = HttpFace::new(Instant::ZERO, Arc::new(http));
        let engine = Engine::new(config).unwrap();
        Bench { engine, access, face, now: Instant::ZERO, persisted: true }
    }

    pub fn new() -> Bench {
        Bench::with(EngineConfig::default(), HttpLimits::default())
    }

    /// Gives bytes; what comes back, after the engine has had its turns.
    pub fn give(&mut self, bytes: &[u8]) -> String {
        let mut rest = bytes;
        let mut out = Vec::new();
        for _ in 0..5000 {
            let taken = self.face.receive(self.now, rest, &mut self.engine, &self.access);
            rest = &rest[taken..];
            self.turn();
            let sent = self.face.poll_output().unwrap_or_default();
            out.extend(&sent);
            if rest.is_empty() && taken == 0 && sent.is_empty() {
                return String::from_utf8(out).unwrap();
            }
        }
        panic!("it goes on and on");
    }

    pub fn turn(&mut self) {
        let ids: Vec<_> =
            self.engine.list(&Principal::new("root", Rights::ALL)).into_iter().map(|(id, _)| id).collect();
        for id in ids {
            self.engine.machine(id).unwrap().spread(self.now, 100);
        }
        for _ in 0..100 {
            let Some((id, output)) = self.engine.poll_output() else { return };
            if let (Output::Persist { offset, .. }, true) = (&output, self.persisted) {
                self.engine.machine(id).unwrap().persisted(self.now, *offset);
            }
            self.face.stirred(self.now, id, &output, &mut self.engine, &self.access);
        }
    }

    pub fn pass(&mut self, millis: u64) -> String {
        self.now += Duration::from_millis(millis);
        self.engine.handle_timeout(self.now);
        self.face.handle_timeout(self.now, &mut self.engine, &self.access);
        self.give(b"")
    }

    /// A request of somebody's; status and body of the answer.
    pub fn ask(&mut self, who: &str, method: &str, target: &str, kind: &str, body: &str) -> (u16, String) {
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let len = body.len();
        let text = format!(
            "{method} {target} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {who}\r\n{kind}Content-Length: {len}\r\n\r\n{body}"
        );
        let answer = self.give(text.as_bytes());
        parted(&answer)
    }

    pub fn post(&mut self, who: &str, id: &str, more: &str) -> (u16, String) {
        self.ask(who, "POST", "/", STRUCTURED, &event(id, more))
    }
}

pub fn parted(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    (head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0), body.into())
}

pub fn event(id: &str, more: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t"{more}}}"#)
}

pub const STRUCTURED: &str = "application/cloudevents+json";
pub const BATCH: &str = "application/cloudevents-batch+json";
