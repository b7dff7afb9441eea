//! Mapping filters: rules that give an event another value, such as its priority or its lifetime.

use super::{Filter, FilterError, Filters};
use crate::value::Fields;
use std::sync::Arc;

/// Rules of an expression and a value each; the first one that an event passes counts.
///
/// `V` is what is mapped to: a priority, a lifetime.
#[derive(Clone, Debug)]
pub struct Mapping<V> {
    rules: Vec<(Arc<Filter>, V)>,
}

impl<V> Mapping<V> {
    /// Compiles the rules.
    ///
    /// Errors: the number of the rule, from 0, and what is wrong with its expression; `TooManyRules`.
    pub fn compile<'a>(
        filters: &Filters,
        rules: impl IntoIterator<Item = (&'a str, V)>,
    ) -> Result<Mapping<V>, (usize, FilterError)> {
        let max = filters.limits().rules_max;
        let mut compiled = Vec::new();
        for (number, (source, value)) in rules.into_iter().enumerate() {
            if number >= max {
                return Err((number, FilterError::TooManyRules { len: number + 1, max }));
            }
            compiled.push((filters.compile(source).map_err(|error| (number, error))?, value));
        }
        Ok(Mapping { rules: compiled })
    }

    /// The value of the first rule that `event` passes. A rule that fails on it is counted by its filter, and passed over.
    pub fn apply<F: Fields + ?Sized>(&self, event: &F) -> Option<&V> {
        self.rules.iter().find(|(filter, _)| filter.matches(event) == Ok(true)).map(|(_, value)| value)
    }

    /// The rules, in their order.
    pub fn rules(&self) -> &[(Arc<Filter>, V)] {
        &self.rules
    }
}
