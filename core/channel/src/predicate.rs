//! What the engine asks of a filter, and what follows when one holds.

use crate::event::{Event, Text};
use clustercore_proto::time::Duration;
use std::fmt;
use std::sync::Arc;

/// A condition over events, compiled once and shared by all who use it.
///
/// Two of the same text are taken for the same condition: they are evaluated once for each event.
pub trait Predicate: Send + Sync {
    /// Its text.
    fn text(&self) -> &str;

    /// Whether `event` fulfils it.
    ///
    /// Errors: it cannot be told for this event (a field that is not there, types that do not fit).
    fn holds(&self, event: &Event) -> Result<bool, Undecided>;
}

/// A shared condition.
pub type Filter = Arc<dyn Predicate>;

/// A filter cannot be evaluated over an event: it counts as not fulfilled, and is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Undecided;

/// A mapping filter: the first that holds changes the priority, the first that holds changes the lifetime.
#[derive(Clone)]
pub struct Mapping {
    /// When.
    pub filter: Filter,
    /// To what.
    pub change: Change,
}

/// What a mapping filter changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The priority becomes this.
    Priority(u8),
    /// The event expires so long after it was accepted; zero for never.
    Lifetime(Duration),
}

/// Types of events; `None` stands for all.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct TypePattern {
    /// The domain.
    pub domain: Option<Text>,
    /// The type.
    pub kind: Option<Text>,
}

impl TypePattern {
    /// Exactly this domain and type.
    pub fn exactly(domain: impl Into<Text>, kind: impl Into<Text>) -> TypePattern {
        TypePattern { domain: Some(domain.into()), kind: Some(kind.into()) }
    }

    /// True when `event` is of this type.
    pub fn covers(&self, event: &Event) -> bool {
        let fits = |wanted: &Option<Text>, is: &Text| wanted.as_ref().is_none_or(|wanted| wanted == is);
        fits(&self.kind, event.kind()) && fits(&self.domain, event.domain())
    }
}

/// A condition given as a function, for programs that need no expression.
pub struct Closure<F> {
    text: Text,
    function: F,
}

impl<F: Fn(&Event) -> Result<bool, Undecided> + Send + Sync + 'static> Closure<F> {
    /// A condition; `text` is its identity.
    pub fn shared(text: impl Into<Text>, function: F) -> Filter {
        Arc::new(Closure { text: text.into(), function })
    }
}

impl<F: Fn(&Event) -> Result<bool, Undecided> + Send + Sync> Predicate for Closure<F> {
    fn text(&self) -> &str {
        &self.text
    }

    fn holds(&self, event: &Event) -> Result<bool, Undecided> {
        (self.function)(event)
    }
}

impl fmt::Debug for dyn Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} where {}", self.change, self.filter.text())
    }
}
