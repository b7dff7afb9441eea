//! Which back end gets the next request.
//!
//! A back end at High, or at its own limit, gets nothing under any policy. A warming back end (slow start)
//! gets a share in proportion to its warmth: under `Levels` its thresholds shrink with its warmth, under the
//! others its weight does.

use super::load::{Level, Load, Signal, Thresholds, clamp};
use crate::random::Random;

/// The child list as the router sees it, in list order. Indices are positions in that list at this moment.
pub trait Candidates {
    /// Back ends on the list.
    fn len(&self) -> usize;

    /// True when the list is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Load of the back end at `index`, below `len()`.
    fn load(&self, index: usize) -> Load;

    /// True when it may be considered for this request: active, not draining, not ejected, not tried before.
    fn is_eligible(&self, index: usize) -> bool;

    /// Slow start: 0..=1000 per mille of its full share.
    fn warmth(&self, index: usize) -> u32;

    /// Requests in flight that it may have at most, whatever its level.
    fn limit(&self, _index: usize) -> u32 {
        u32::MAX
    }

    /// The latest sample of the configured signal in per mille of its scale; not asked for with
    /// [`Signal::InFlight`].
    fn reading_per_mille(&self, _index: usize) -> u32 {
        0
    }
}

/// How the router chooses among the back ends that have room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// The first Low one in list order; when none is Low, round robin over those at Medium. Packs the load at
    /// the head of the list, so that the tail becomes idle and can be given back.
    #[default]
    Levels,
    /// Each in its turn, by weight.
    RoundRobin,
    /// The lowest `(in_flight + 1) / weight`; ties in turn. Reads the whole list.
    LeastRequests,
    /// The less loaded of two drawn at random by weight. Reads only the drawn ones.
    ///
    /// Source: M. Mitzenmacher, "The power of two choices in randomized load balancing", 2001.
    PowerOfTwo,
}

/// What a router goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RouterConfig {
    /// How to choose.
    pub policy: Policy,
    /// Where Medium and High begin.
    pub thresholds: Thresholds,
    /// What is compared with them.
    pub signal: Signal,
}

/// The answer of [`Router::pick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Send it to the back end at this index.
    Backend(usize),
    /// Some are eligible, but all of them are High or at their limit: queue the request.
    Saturated,
    /// No back end is eligible.
    Empty,
}

/// Picks back ends; see the module's text. Holds a cursor and a generator, nothing per back end.
#[derive(Clone, Debug)]
pub struct Router {
    config: RouterConfig,
    random: Random,
    /// Index picked last by a policy that takes turns.
    cursor: usize,
    /// The largest share met so far: the denominator of a weighted draw.
    share_max: u64,
}

impl Router {
    /// A router whose random choices all follow from `seed`.
    pub fn new(config: RouterConfig, seed: u64) -> Router {
        // The first turn goes to index 0.
        Router { config, random: Random::new(seed), cursor: usize::MAX, share_max: 0 }
    }

    /// What the router goes by.
    pub fn config(&self) -> &RouterConfig {
        &self.config
    }

    /// Changes what it goes by, from the next pick on.
    pub fn set_config(&mut self, config: RouterConfig) {
        self.config = config;
    }

    /// Picks a back end for one request. Reads the list at most three times over and allocates nothing.
    pub fn pick(&mut self, candidates: &impl Candidates) -> Pick {
        match self.config.policy {
            Policy::Levels => self.pick_by_level(candidates),
            Policy::RoundRobin => self.pick_in_turn(candidates),
            Policy::LeastRequests => self.pick_least(candidates),
            Policy::PowerOfTwo => self.pick_of_two(candidates),
        }
    }

    fn pick_by_level(&mut self, candidates: &impl Candidates) -> Pick {
        let len = candidates.len();
        let mut found = Pick::Empty;
        // The first Medium one after the cursor, in circular order.
        let mut next_distance = usize::MAX;
        for index in 0..len {
            let Some(seen) = self.look(candidates, index) else { continue };
            if found == Pick::Empty {
                found = Pick::Saturated;
            }
            match seen.level {
                Level::Low if !self.sits_out(&seen) => return Pick::Backend(index),
                Level::High => {}
                _ => {
                    let distance = self.distance(index, len);
                    if distance < next_distance {
                        next_distance = distance;
                        found = Pick::Backend(index);
                    }
                }
            }
        }
        if let Pick::Backend(index) = found {
            self.cursor = index;
        }
        found
    }

    /// A sampled signal does not rise with the requests sent since, so a warming back end would take all of
    /// them: it passes for Low only in proportion to its warmth.
    fn sits_out(&mut self, seen: &Seen) -> bool {
        self.config.signal.is_sampled() && seen.warmth < FULL && !self.random.chance(seen.warmth)
    }

    /// Each visit accepts in proportion to the share, and the largest share always accepts: one round is
    /// enough, and equal shares give plain round robin.
    fn pick_in_turn(&mut self, candidates: &impl Candidates) -> Pick {
        let len = candidates.len();
        let mut found = Pick::Empty;
        let mut share_max = 0;
        for index in 0..len {
            let Some(seen) = self.look(candidates, index) else { continue };
            if seen.level != Level::High {
                share_max = share_max.max(seen.share());
            } else if found == Pick::Empty {
                found = Pick::Saturated;
            }
        }
        if share_max == 0 {
            return found;
        }
        for step in 1..=len {
            let index = self.after_cursor(step, len);
            let Some(seen) = self.look(candidates, index) else { continue };
            if seen.level != Level::High
                && (seen.share() >= share_max || self.random.below(share_max) < seen.share())
            {
                self.cursor = index;
                return Pick::Backend(index);
            }
        }
        found
    }

    fn pick_least(&mut self, candidates: &impl Candidates) -> Pick {
        let len = candidates.len();
        let mut found = Pick::Empty;
        let mut best: Option<Seen> = None;
        for step in 1..=len {
            let index = self.after_cursor(step, len);
            let Some(seen) = self.look(candidates, index) else { continue };
            if seen.level == Level::High {
                if found == Pick::Empty {
                    found = Pick::Saturated;
                }
            } else if best.as_ref().is_none_or(|best| seen.is_less_loaded_than(best)) {
                best = Some(seen);
                found = Pick::Backend(index);
            }
        }
        if let Pick::Backend(index) = found {
            self.cursor = index;
        }
        found
    }

    fn pick_of_two(&mut self, candidates: &impl Candidates) -> Pick {
        let Some(first) = self.draw(candidates, None) else {
            // Hardly any is eligible, or weights are far apart: look at all of them.
            return self.pick_least(candidates);
        };
        let second = self.draw(candidates, Some(first.index));
        let best = match second {
            Some(second) if second.is_less_loaded_than(&first) => second,
            _ => first,
        };
        if best.level == Level::High {
            return self.pick_least(candidates);
        }
        Pick::Backend(best.index)
    }

    /// Draws an eligible back end with a probability in proportion to its share, by rejection: with equal
    /// weights the first draw is taken. After a bounded number of rejections the first of a pair is `None`; the
    /// second is then the last one rejected, because a pair matters more than exact odds.
    fn draw(&mut self, candidates: &impl Candidates, except: Option<usize>) -> Option<Seen> {
        let len = candidates.len();
        if len <= usize::from(except.is_some()) {
            return None;
        }
        let mut rejected = None;
        for _ in 0..DRAWS_MAX {
            let mut index = self.random.below((len - usize::from(except.is_some())) as u64) as usize;
            if except.is_some_and(|except| index >= except) {
                index += 1;
            }
            let Some(seen) = self.look(candidates, index) else { continue };
            let share = seen.share();
            self.share_max = self.share_max.max(share);
            if share == self.share_max || self.random.below(self.share_max) < share {
                return Some(seen);
            }
            // Lets the bound fall again after a heavy back end has left. It is set right by the next draw of
            // a heavier one, so a bound that fell too far distorts single draws only.
            self.share_max -= self.share_max / 1024;
            rejected = Some(seen);
        }
        rejected.filter(|_| except.is_some())
    }

    /// What there is to know about the back end at `index`, or `None` when it is not eligible.
    fn look(&self, candidates: &impl Candidates, index: usize) -> Option<Seen> {
        if !candidates.is_eligible(index) {
            return None;
        }
        let load = candidates.load(index);
        let warmth = candidates.warmth(index).clamp(1, FULL);
        let signal = self.config.signal;
        let reading = if signal.is_sampled() { candidates.reading_per_mille(index) } else { 0 };
        // A back end at half warmth is as full at half the load.
        let percent = clamp(u64::from(signal.percent(load, reading)) * u64::from(FULL) / u64::from(warmth));
        let level = match self.config.thresholds.level_of(percent) {
            _ if load.in_flight >= candidates.limit(index) => Level::High,
            level => level,
        };
        Some(Seen { index, in_flight: load.in_flight, weight: load.weight.max(1), warmth, level })
    }

    /// How far `index` lies after the cursor in circular order: 0 for the one right after it.
    fn distance(&self, index: usize, len: usize) -> usize {
        (index + len - self.after_cursor(1, len)) % len
    }

    /// The index `step` places after the cursor, which may lie beyond a list that has become shorter.
    fn after_cursor(&self, step: usize, len: usize) -> usize {
        if self.cursor < len { (self.cursor + step) % len } else { (step - 1) % len }
    }
}

/// One eligible back end at the moment of a pick.
struct Seen {
    index: usize,
    in_flight: u32,
    weight: u32,
    warmth: u32,
    level: Level,
}

impl Seen {
    fn share(&self) -> u64 {
        u64::from(self.weight) * u64::from(self.warmth)
    }

    /// Compares `(in_flight + 1) / share`; what has room counts as less loaded than what is High.
    fn is_less_loaded_than(&self, other: &Seen) -> bool {
        let high = (self.level == Level::High, other.level == Level::High);
        if high.0 != high.1 {
            return high.1;
        }
        let left = (u128::from(self.in_flight) + 1) * u128::from(other.share());
        let right = (u128::from(other.in_flight) + 1) * u128::from(self.share());
        left < right
    }
}

/// Warmth of a back end that has its full share.
const FULL: u32 = 1000;

/// Draws of power of two choices before it looks at the whole list.
const DRAWS_MAX: usize = 16;

#[cfg(test)]
mod tests;
