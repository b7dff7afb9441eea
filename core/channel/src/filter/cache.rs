//! Equal sources share one filter.

use super::{Filter, FilterError, FilterLimits};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A bounded cache of filters by their source.
///
/// A filter that somebody holds stays; one that nobody holds makes room, the one not asked for the longest first.
/// Consumers with equal filters hold the same one (`Arc::ptr_eq`), so that it need be evaluated only once for them.
#[derive(Debug)]
pub struct Filters {
    limits: FilterLimits,
    inner: Mutex<Inner>,
    /// Held while compiling: one parser at a time, with its stack.
    compiling: Mutex<()>,
}

/// What the cache has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterCounts {
    /// Filters that it holds.
    pub filters: usize,
    /// Found in it.
    pub hits: u64,
    /// Compiled.
    pub compiled: u64,
    /// Not accepted.
    pub refused: u64,
    /// Removed to make room.
    pub evicted: u64,
}

#[derive(Debug, Default)]
struct Inner {
    filters: HashMap<Arc<str>, Entry>,
    counts: FilterCounts,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    filter: Arc<Filter>,
    /// The clock when it was asked for last.
    asked: u64,
}

impl Filters {
    /// An empty cache.
    pub fn new(limits: FilterLimits) -> Filters {
        Filters { limits, inner: Mutex::default(), compiling: Mutex::default() }
    }

    /// The bounds that expressions are held to.
    pub fn limits(&self) -> &FilterLimits {
        &self.limits
    }

    /// The filter of `source`, compiled when there is none yet. May take milliseconds: not for the path of events.
    ///
    /// Errors: what is wrong with the expression, or that the cache is full of filters in use.
    pub fn compile(&self, source: &str) -> Result<Arc<Filter>, FilterError> {
        if let Some(filter) = self.lock().find(source) {
            return Ok(filter);
        }
        let _one = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have compiled it in the meantime.
        if let Some(filter) = self.lock().find(source) {
            return Ok(filter);
        }
        let made = Filter::compile(source, &self.limits);
        let mut inner = self.lock();
        let made = made.and_then(|filter| inner.add(filter, self.limits.filters_max));
        inner.counts.refused += u64::from(made.is_err());
        made
    }

    /// What has been counted so far.
    pub fn counts(&self) -> FilterCounts {
        let inner = self.lock();
        FilterCounts { filters: inner.filters.len(), ..inner.counts }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn find(&mut self, source: &str) -> Option<Arc<Filter>> {
        let entry = self.filters.get_mut(source)?;
        self.clock += 1;
        entry.asked = self.clock;
        self.counts.hits += 1;
        Some(entry.filter.clone())
    }

    fn add(&mut self, filter: Filter, filters_max: usize) -> Result<Arc<Filter>, FilterError> {
        self.counts.compiled += 1;
        if self.filters.len() >= filters_max {
            let idle = self.filters.iter().filter(|(_, entry)| Arc::strong_count(&entry.filter) == 1);
            let oldest = idle.min_by_key(|(_, entry)| entry.asked).map(|(source, _)| source.clone());
            let source = oldest.ok_or(FilterError::TooManyFilters { max: filters_max })?;
            self.filters.remove(&source);
            self.counts.evicted += 1;
        }
        let filter = Arc::new(filter);
        let source: Arc<str> = filter.source().into();
        self.clock += 1;
        self.filters.insert(source, Entry { filter: filter.clone(), asked: self.clock });
        Ok(filter)
    }
}
