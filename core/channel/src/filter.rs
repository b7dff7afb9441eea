//! Filters: expressions over the fields of an event, in CEL, the Common Expression Language.
//!
//! [`Filters::compile`] has an expression parsed by the library `cel`, holds it to [`FilterLimits`], and makes a flat
//! program of it: comparisons of a field with a literal, `in` a list of literals, `startsWith`, `endsWith`, `contains`,
//! `has(event.NAME)`, a boolean field, `&&`, `||` and `!` are terms of our own; each other part is one term that the library
//! evaluates. Equal sources share one [`Filter`].
//!
//! Names. A field is its bare name (`priority > 3`) or `event.NAME`, which also has presence: `has(event.subject)`.
//! What is absent makes a comparison fail, and a failure is an outcome of its own: `true || failure` is true, `false &&
//! failure` is false, everything else with a failure in it fails. A filter that fails is counted and stops nothing.
//!
//! What the language has and we do not: `matches` (it would compile its pattern for each event), structs, optional
//! values, and comprehensions over anything but lists whose length the source shows.
//! Source: the specification of CEL (google/cel-spec), "Evaluation" and "Logical operators".

mod bound;
mod cache;
mod error;
mod library;
mod limits;
mod lower;
mod mapping;
mod program;
mod scan;

pub use cache::{FilterCounts, Filters};
pub use error::{FilterError, Position};
pub use limits::FilterLimits;
pub use mapping::Mapping;

use crate::event::Event;
use crate::predicate::{Predicate, Undecided};
use crate::value::Fields;
use program::{Program, Step};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A compiled expression. Any number of threads may evaluate it.
pub struct Filter {
    source: Box<str>,
    program: Program,
    whole: library::Expression,
    failures: AtomicU64,
}

/// Why a filter has no answer for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterFailure {
    /// What went wrong.
    pub reason: Reason,
    /// Where the term stands that failed.
    pub position: Position,
}

/// What went wrong in a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The event has no such field.
    Missing,
    /// The field's type does not go with the operator.
    Mismatch,
    /// A number that is none (NaN) has no order.
    Unordered,
    /// The library failed to evaluate the term.
    Library,
}

impl Filter {
    /// Compiles `source` on a thread with a stack of its own. [`Filters::compile`] does it once for equal sources.
    ///
    /// Errors: what is wrong with the expression, and where.
    pub fn compile(source: &str, limits: &FilterLimits) -> Result<Filter, FilterError> {
        scan::check(source, limits)?;
        let build = || -> Result<Filter, FilterError> {
            let whole = library::Expression::parse(source, limits)?;
            let program = lower::lower(&whole)?;
            Ok(Filter { source: source.into(), program, whole, failures: AtomicU64::new(0) })
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("filter".into()).stack_size(STACK_BYTES);
            let thread = thread.spawn_scoped(scope, build).map_err(|_| FilterError::Thread)?;
            thread.join().unwrap_or(Err(FilterError::Library))
        })
    }

    /// Whether `event` passes.
    ///
    /// Errors: the filter has no answer for this event; counted in [`Filter::failures`].
    #[inline]
    pub fn matches<F: Fields + ?Sized>(&self, event: &F) -> Result<bool, FilterFailure> {
        match self.program.run(event) {
            (Step::True, _) => Ok(true),
            (Step::False, _) => Ok(false),
            (Step::Failed, term) => {
                self.count_failure();
                Err(self.program.failure(term, event))
            }
        }
    }

    fn count_failure(&self) {
        // Relaxed: a counter that orders nothing.
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// What the library says, without any program of ours: the reference for tests. Slow, and not counted.
    ///
    /// Errors: the library failed, or its value is no boolean.
    pub fn matches_by_library<F: Fields + ?Sized>(&self, event: &F) -> Result<bool, Reason> {
        self.whole.evaluate(event)
    }

    /// The text that it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How often it had no answer.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// True when no part of it is evaluated by the library.
    pub fn is_lowered(&self) -> bool {
        self.program.is_lowered()
    }
}

impl Predicate for Filter {
    fn text(&self) -> &str {
        &self.source
    }

    fn holds(&self, event: &Event) -> Result<bool, Undecided> {
        match self.program.run(event).0 {
            Step::True => Ok(true),
            Step::False => Ok(false),
            Step::Failed => {
                self.count_failure();
                Err(Undecided)
            }
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({:?})", self.source)
    }
}

impl fmt::Display for FilterFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.reason {
            Reason::Missing => "the event has no such field: ask has(event.NAME) first",
            Reason::Mismatch => "the field's type does not go with the operator",
            Reason::Unordered => "a number that is none (NaN) has no order",
            Reason::Library => "the term has no value for this event",
        };
        write!(f, "at {}: {what}", self.position)
    }
}

impl std::error::Error for FilterFailure {}

/// Parsers descend once per level of the expression.
const STACK_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests;
