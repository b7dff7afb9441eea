//! A hub and participants on links in memory.

use super::super::*;
use crate::event::Event;
use crate::participant::{News, Participant, ParticipantConfig};
use crate::wire::Delivered;
use clustercore_proto::random::Random;

/// A hub and participants, whose links are cut into pieces of random length.
pub struct World {
    pub hub: Hub,
    pub now: Instant,
    pub rng: Random,
    pub links: Vec<(Participant, Option<SessionId>)>,
}

impl World {
    pub fn new(config: HubConfig, seed: u64) -> World {
        let hub = Hub::new(config).unwrap();
        World { hub, now: Instant::from_nanos(1_000_000_000), rng: Random::new(seed), links: Vec::new() }
    }

    pub fn join(&mut self, token: &str, name: &str) -> usize {
        let config = ParticipantConfig { token: token.into(), name: name.into(), ..Default::default() };
        self.links.push((Participant::new(config), None));
        self.link(self.links.len() - 1);
        self.links.len() - 1
    }

    pub fn link(&mut self, index: usize) {
        self.links[index].1 = self.hub.connect(self.now);
        self.links[index].0.link_made();
    }

    pub fn cut(&mut self, index: usize) {
        let Some(session) = self.links[index].1.take() else { return };
        self.hub.disconnect(self.now, session);
        self.links[index].0.link_lost();
    }

    pub fn at(&mut self, index: usize) -> &mut Participant {
        &mut self.links[index].0
    }

    /// Moves bytes both ways until nothing moves any more.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut has_moved = false;
            for index in 0..self.links.len() {
                let (participant, session) = &mut self.links[index];
                participant.handle_timeout(self.now);
                let (Some(bytes), Some(session)) = (participant.poll_send(), *session) else { continue };
                has_moved = true;
                for part in bytes.chunks(1 + self.rng.below(700) as usize) {
                    self.hub.receive(self.now, session, part);
                }
            }
            has_moved |= self.hub.pump(self.now, 100);
            while let Some((id, piece)) = self.hub.poll_send() {
                has_moved = true;
                let link = self.links.iter_mut().find(|(_, session)| *session == Some(id));
                if let Some((participant, _)) = link {
                    for part in piece.as_slice().chunks(1 + self.rng.below(900) as usize) {
                        participant.receive(self.now, part).unwrap();
                    }
                }
                self.hub.sent(id, 0);
            }
            while let Some(id) = self.hub.poll_ended() {
                self.hub.disconnect(self.now, id);
                let link = self.links.iter_mut().find(|(_, session)| *session == Some(id));
                if let Some((participant, session)) = link {
                    participant.link_lost();
                    *session = None;
                }
            }
            if !has_moved {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    pub fn pass(&mut self, length: Duration) {
        self.now += length;
        self.settle();
    }

    pub fn taken(&mut self, index: usize) -> Vec<Delivered> {
        std::iter::from_fn(|| self.at(index).take().map(|(_, it)| it)).collect()
    }

    pub fn ids(&mut self, index: usize) -> Vec<String> {
        self.taken(index).iter().map(|it| it.event.id().to_string()).collect()
    }

    pub fn news(&mut self, index: usize) -> Vec<News> {
        std::iter::from_fn(|| self.at(index).poll_news()).collect()
    }

    pub fn ask(&mut self, index: usize, json: &str) -> Result<String, String> {
        let request = self.at(index).ask(json);
        self.settle();
        let answer = self.news(index).into_iter().find_map(|news| match news {
            News::Answer { request: it, result } if it == request => Some(result),
            _ => None,
        });
        answer.expect("an answer").map_err(|refused| refused.json)
    }
}

pub fn open() -> HubConfig {
    HubConfig { access: Access::open(), ..HubConfig::default() }
}

pub fn event(id: impl Into<Text>) -> Event {
    Event::builder(id, "/test", "tested").body(vec![7; 64]).build(&EventLimits::default()).unwrap()
}

pub fn events(range: std::ops::Range<u32>) -> Vec<Event> {
    range.map(|id| event(id.to_string())).collect()
}
