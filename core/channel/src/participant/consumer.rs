//! A participant's consumer, as the participant has it.
//!
//! One that is exchanged from link to link may find its own earlier connection still there: its end was lost on the way, and the server has
//! to notice by itself. So it asks again for a while.

use clustercore_proto::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Consumer {
    pub spec: String,
    /// The server has said yes to it, on this link or an earlier one.
    pub was_open: bool,
    /// When it asks again on this link.
    pub again_at: Option<Instant>,
    /// Since when the server says that somebody has it, on this link.
    refused_since: Option<Instant>,
}

impl Consumer {
    pub fn new(spec: &str) -> Consumer {
        Consumer { spec: spec.to_owned(), was_open: false, again_at: None, refused_since: None }
    }

    /// The link is gone, and with it what was said on it.
    pub fn rewind(&mut self) {
        (self.again_at, self.refused_since) = (None, None);
    }

    /// The server has refused it, with this JSON. True: it asks again later.
    pub fn is_patient(&mut self, now: Instant, json: &str) -> bool {
        let since = *self.refused_since.get_or_insert(now);
        let is_patient =
            self.was_open && json.contains(r#""error":"in_use""#) && now.saturating_sub(since) < PATIENCE;
        self.again_at = is_patient.then(|| now + AGAIN);
        is_patient
    }
}

/// Longer than a server takes to notice that a silent connection is gone.
const PATIENCE: Duration = Duration::from_secs(90);
/// Wait between two questions.
const AGAIN: Duration = Duration::from_millis(200);
