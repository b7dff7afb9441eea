//! Which back end a request gets.

use super::Forwarder;
use super::client::ClientId;
use super::service::{Backend, BackendState};
use crate::io::Instant;
use clustercore_proto::policy::{BackendKey, Candidates, HealthState, Load, Pick, Router};
use std::sync::Arc;

/// What comes of asking for one.
pub(super) enum Choice {
    /// This one.
    Backend(Arc<Backend>),
    /// Nobody has room now.
    Wait,
    /// There is nobody to wait for.
    Nobody,
}

impl Forwarder {
    /// Chooses for a client's request, and notes in its exchange whether that is a trial.
    pub(super) fn pick(&mut self, now: Instant, id: ClientId) -> Choice {
        let Some(exchange) = self.clients.get_mut(id).and_then(|client| client.exchange.as_mut()) else {
            return Choice::Nobody;
        };
        let (list, local) = (&self.children.list[..], self.children.local.as_slice());
        if list.is_empty() && local.is_empty() {
            return Choice::Nobody;
        }
        // The local instance serves alone while nobody on the list may be asked: an empty list, all draining, ejected or tried.
        let choice = choose(&mut self.router, list, now, &exchange.tried)
            .or_else(|| choose(&mut self.router, local, now, &exchange.tried));
        if let Some(Choice::Backend(backend)) = &choice {
            exchange.trial = backend.health_state(now) == HealthState::Trial;
        }
        choice.unwrap_or_else(|| {
            // Everybody has been tried, is ejected or draining: the failed ones may be asked again, after a wait.
            exchange.tried.clear();
            Choice::Wait
        })
    }
}

/// A back end of the list for a request that has tried some; `None` when nobody may be asked at all.
fn choose(router: &mut Router, list: &[Arc<Backend>], now: Instant, tried: &[BackendKey]) -> Option<Choice> {
    let mut excluded = tried.to_vec();
    for _ in 0..list.len() {
        let mut view = View { list, now, tried: &excluded, all_warm: false };
        let mut pick = router.pick(&view);
        if pick == Pick::Saturated {
            view.all_warm = true;
            pick = router.pick(&view);
        }
        let backend = match pick {
            Pick::Backend(index) => &list[index],
            Pick::Saturated => return Some(Choice::Wait),
            // Those on trial that have their one request are busy, not gone.
            Pick::Empty if excluded.len() > tried.len() => return Some(Choice::Wait),
            Pick::Empty => return None,
        };
        let free = backend.health_state(now) != HealthState::Trial
            || backend.with_health(now, |health| health.begin_trial(now)).unwrap_or(true);
        if free {
            return Some(Choice::Backend(Arc::clone(backend)));
        }
        excluded.push(backend.key);
    }
    None
}

/// The child list as the router sees it, for one request.
pub(super) struct View<'a> {
    pub list: &'a [Arc<Backend>],
    pub now: Instant,
    /// Back ends that this request has tried.
    pub tried: &'a [BackendKey],
    /// Whether those that warm up count as warm: when nobody else has room, slow start does not make requests wait.
    pub all_warm: bool,
}

impl Candidates for View<'_> {
    fn len(&self) -> usize {
        self.list.len()
    }
    fn load(&self, index: usize) -> Load {
        self.list[index].load()
    }
    fn is_eligible(&self, index: usize) -> bool {
        let backend = &self.list[index];
        backend.state() == BackendState::Active
            && !self.tried.contains(&backend.key)
            && !matches!(backend.health_state(self.now), HealthState::Ejected { .. })
    }
    fn warmth(&self, index: usize) -> u32 {
        match self.list[index].health_state(self.now) {
            HealthState::Warming { per_mille } if !self.all_warm => per_mille,
            // One on trial gets one request at a time, whole.
            _ => 1000,
        }
    }
    fn limit(&self, index: usize) -> u32 {
        self.list[index].config.in_flight_max
    }
    fn reading_per_mille(&self, index: usize) -> u32 {
        self.list[index].reading_per_mille()
    }
}
