//! Steps programs and network until something is reached, in virtual time and a bounded number of turns.

use super::SimNet;
use crate::io::Instant;

/// A program on the simulated network.
pub trait Actor {
    /// One turn of its driver (with timeout zero), and all that follows from its events.
    fn turn(&mut self);
    /// Whether another turn has something to do at once (`Driver::pending`, or wishes of its own).
    fn is_pending(&self) -> bool;
    /// When it wants a turn although nothing happened.
    fn next_timeout(&self) -> Option<Instant>;
}

impl<A: Actor + ?Sized> Actor for Box<A> {
    fn turn(&mut self) {
        (**self).turn();
    }
    fn is_pending(&self) -> bool {
        (**self).is_pending()
    }
    fn next_timeout(&self) -> Option<Instant> {
        (**self).next_timeout()
    }
}

/// Why a simulation stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SimulationEnd {
    /// What was waited for.
    Reached,
    /// Nothing would happen any more, ever.
    Quiet,
    /// The bound on rounds: a loop, or too much to do.
    RoundsUsedUp,
}

/// Gives every program its turns, and moves time on when none has anything to do.
pub struct Simulation {
    net: SimNet,
    rounds_max: u64,
}

impl Simulation {
    /// On this network; a round is one turn of every program.
    pub fn new(net: SimNet, rounds_max: u64) -> Simulation {
        Simulation { net, rounds_max }
    }

    /// Runs until `reached` says so. The order of the programs in a round is the seed's choice.
    pub fn run<A: Actor>(
        &mut self,
        actors: &mut [A],
        mut reached: impl FnMut(&mut [A]) -> bool,
    ) -> SimulationEnd {
        for _ in 0..self.rounds_max {
            let first = self.net.random_below(actors.len() as u64) as usize;
            actors.rotate_left(first);
            for actor in actors.iter_mut() {
                actor.turn();
            }
            actors.rotate_right(first);
            if reached(actors) {
                return SimulationEnd::Reached;
            }
            if actors.iter().any(Actor::is_pending) {
                continue;
            }
            let timeout = actors.iter().filter_map(Actor::next_timeout).min();
            let Some(next) = [self.net.next_event(), timeout].into_iter().flatten().min() else {
                return SimulationEnd::Quiet;
            };
            self.net.advance_to(next);
        }
        SimulationEnd::RoundsUsedUp
    }
}
