//! From an event to the queues that want it.
//!
//! Queues with the same interest share a route, conditions of the same text share a filter, and a filter is evaluated at
//! most once for each event: a thousand consumers with one filter cost one evaluation. Routes that name types exactly
//! are found by the event's type, so that what an event costs follows from those who may want it.

use crate::event::{Event, Text, kind_hash};
use crate::predicate::{Filter, TypePattern};
use crate::slots::Slots;
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct Routes {
    filters: Slots<FilterEntry>,
    filters_by_text: HashMap<Text, u32>,
    routes: Slots<Route>,
    routes_by_interest: HashMap<Interest, u32>,
    by_type: HashMap<u64, Vec<u32>>,
    by_any: Vec<u32>,
    /// Counts events, so that verdicts of earlier ones are told apart.
    epoch: u64,
    /// Filters evaluated.
    pub evaluations: u64,
    /// Routes that rejected the event of this round, and whether because a filter failed.
    rejecting: Vec<(u32, bool)>,
}

struct FilterEntry {
    filter: Filter,
    users: u32,
    epoch: u64,
    verdict: Option<bool>,
}

/// What a queue wants: one of the types (none: all) and every filter.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Interest {
    types: Box<[TypePattern]>,
    filters: [Option<u32>; 2],
}

struct Route {
    interest: Interest,
    /// Those of its interest, without gaps.
    filters: Box<[u32]>,
    /// Those that get its events one by one.
    queues: Vec<u32>,
    /// The lanes of all others.
    lanes: Vec<u32>,
    epoch: u64,
    /// Events of the right type that a filter did not let through, and those over which one failed.
    rejected: u64,
    failed: u64,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots::new()
    }
}

impl Routes {
    /// Begins to use a filter; the same text gives the same number.
    pub fn add_filter(&mut self, filter: &Filter) -> u32 {
        if let Some(&index) = self.filters_by_text.get(filter.text()) {
            self.filters[index].users += 1;
            return index;
        }
        let entry = FilterEntry { filter: filter.clone(), users: 1, epoch: 0, verdict: None };
        let (index, _) = self.filters.insert(entry);
        self.filters_by_text.insert(filter.text().into(), index);
        index
    }

    /// Ends a use.
    pub fn remove_filter(&mut self, index: u32) {
        self.filters[index].users -= 1;
        if self.filters[index].users == 0 {
            let entry = self.filters.remove(index).expect("in use until now");
            self.filters_by_text.remove(entry.filter.text());
        }
    }

    /// A queue joins the route of its interest. Filters are those of its group and its own.
    pub fn join(&mut self, queue: u32, types: &[TypePattern], filters: [Option<&Filter>; 2]) -> u32 {
        let filters = filters.map(|filter| filter.map(|filter| self.add_filter(filter)));
        let interest = Interest { types: types.into(), filters };
        if let Some(&index) = self.routes_by_interest.get(&interest) {
            filters.into_iter().flatten().for_each(|filter| self.remove_filter(filter));
            self.routes[index].queues.push(queue);
            return index;
        }
        let route = Route {
            interest: interest.clone(),
            filters: filters.into_iter().flatten().collect(),
            queues: vec![queue],
            lanes: Vec::new(),
            epoch: 0,
            rejected: 0,
            failed: 0,
        };
        let (index, _) = self.routes.insert(route);
        for list in places(&interest) {
            match list {
                Some(hash) => self.by_type.entry(hash).or_default().push(index),
                None => self.by_any.push(index),
            }
        }
        self.routes_by_interest.insert(interest, index);
        index
    }

    /// A queue that joined a route a second time, the same one or another, leaves it once.
    pub fn leave_once(&mut self, queue: u32, index: u32) {
        let queues = &mut self.routes[index].queues;
        if queues.iter().filter(|it| **it == queue).count() < 2 {
            return self.leave(queue, index);
        }
        let last = queues.iter().rposition(|it| *it == queue).expect("it is there twice");
        queues.remove(last);
    }

    /// A queue leaves its route.
    pub fn leave(&mut self, queue: u32, index: u32) {
        let route = &mut self.routes[index];
        route.queues.retain(|it| *it != queue);
        if !route.queues.is_empty() || !route.lanes.is_empty() {
            return;
        }
        let interest = self.routes.remove(index).expect("it had a queue").interest;
        for list in places(&interest) {
            match list {
                Some(hash) => {
                    let routes = self.by_type.get_mut(&hash).expect("entered at its beginning");
                    routes.retain(|it| *it != index);
                    if routes.is_empty() {
                        self.by_type.remove(&hash);
                    }
                }
                None => self.by_any.retain(|it| *it != index),
            }
        }
        self.routes_by_interest.remove(&interest);
        interest.filters.into_iter().flatten().for_each(|filter| self.remove_filter(filter));
    }

    /// Several queues have this interest.
    #[inline]
    pub fn is_shared(&self, route: u32) -> bool {
        let route = &self.routes[route];
        route.queues.len() > 1 || !route.lanes.is_empty()
    }

    /// The lanes of a route.
    pub fn lanes(&self, route: u32) -> &[u32] {
        &self.routes[route].lanes
    }

    /// Some queues of a route get its events from one more lane.
    pub fn add_lane(&mut self, route: u32, lane: u32) {
        self.routes[route].lanes.push(lane);
    }

    /// A lane is read no longer.
    pub fn remove_lane(&mut self, route: u32, lane: u32) {
        self.routes[route].lanes.retain(|it| *it != lane);
    }

    /// Queues of a route that are in a lane of it now.
    pub fn withdraw(&mut self, route: u32, is_in_lane: impl Fn(u32) -> bool) {
        self.routes[route].queues.retain(|queue| !is_in_lane(*queue));
    }

    /// A queue that left its lane gets events by itself again.
    pub fn put_back(&mut self, route: u32, queue: u32) {
        self.routes[route].queues.push(queue);
    }

    /// A queue gets events of a route by itself.
    pub fn is_listed(&self, route: u32, queue: u32) -> bool {
        self.routes[route].queues.contains(&queue)
    }

    /// Events that the filters of a route rejected, and those over which they failed.
    pub fn rejections(&self, route: u32) -> (u64, u64) {
        let route = &self.routes[route];
        (route.rejected, route.failed)
    }

    /// The next event is another one: verdicts are forgotten.
    #[inline]
    pub fn begin(&mut self) {
        self.epoch += 1;
        self.rejecting.clear();
    }

    /// What was collected holds: rejections are counted. Without it, the same event may be collected again.
    #[inline]
    pub fn commit(&mut self) {
        for (route, is_failed) in self.rejecting.drain(..) {
            let route = &mut self.routes[route];
            route.rejected += 1;
            route.failed += u64::from(is_failed);
        }
    }

    /// Whether a filter holds for the event of this round; `None` when it failed.
    #[inline]
    pub fn holds(&mut self, filter: u32, event: &Event) -> Option<bool> {
        self.filters[filter].verdict(self.epoch, event, &mut self.evaluations)
    }

    /// Appends the queues that want `event`, each once, and the lanes of those that share one. `begin` comes first.
    #[inline]
    pub fn collect(&mut self, event: &Event, wanted: &mut Vec<u32>, lanes: &mut Vec<u32>) {
        for place in 0..self.by_any.len() {
            self.follow(self.by_any[place], event, wanted, lanes);
        }
        if self.by_type.is_empty() {
            return;
        }
        let hash = event.kind_hash();
        let len = self.by_type.get(&hash).map_or(0, Vec::len);
        for place in 0..len {
            self.follow(self.by_type[&hash][place], event, wanted, lanes);
        }
    }

    /// Whether a queue of this route wants `event`, outside of the counting.
    pub fn wants(&mut self, route: u32, event: &Event) -> bool {
        let interest = &self.routes[route].interest;
        let fits = interest.types.is_empty() || interest.types.iter().any(|it| it.covers(event));
        let filters = interest.filters;
        fits && filters.into_iter().flatten().all(|filter| self.holds(filter, event) == Some(true))
    }

    #[inline]
    fn follow(&mut self, index: u32, event: &Event, wanted: &mut Vec<u32>, lanes: &mut Vec<u32>) {
        let route = &mut self.routes[index];
        let types = &route.interest.types;
        if route.epoch == self.epoch || !(types.is_empty() || types.iter().any(|it| it.covers(event))) {
            return;
        }
        route.epoch = self.epoch;
        for filter in &route.filters {
            let verdict = self.filters[*filter].verdict(self.epoch, event, &mut self.evaluations);
            if verdict != Some(true) {
                return self.rejecting.push((index, verdict.is_none()));
            }
        }
        if !route.lanes.is_empty() {
            lanes.extend_from_slice(&route.lanes);
        }
        match route.queues.as_slice() {
            // Most often; a copy of unknown length costs a call.
            [one] => wanted.push(*one),
            several => wanted.extend_from_slice(several),
        }
    }
}

impl FilterEntry {
    /// What the filter says of the event of round `epoch`, asked once.
    #[inline]
    fn verdict(&mut self, epoch: u64, event: &Event, evaluations: &mut u64) -> Option<bool> {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.verdict = self.filter.holds(event).ok();
            *evaluations += 1;
        }
        self.verdict
    }
}

/// Where a route is entered: under exact types, or among those that are asked for every event.
fn places(interest: &Interest) -> Vec<Option<u64>> {
    let exact = |pattern: &TypePattern| Some(kind_hash(pattern.domain.as_ref()?, pattern.kind.as_ref()?));
    let mut places: Vec<Option<u64>> = interest.types.iter().map(exact).collect();
    if places.is_empty() || places.contains(&None) {
        places = vec![None];
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventLimits;
    use crate::predicate::{Closure, Undecided};
    use crate::value::{Fields, Value};

    fn event(domain: &str, kind: &str, load: i64) -> Event {
        let builder = Event::builder("1", "s", kind).domain(domain).field("load", load);
        builder.build(&EventLimits::default()).unwrap()
    }

    fn above(limit: i64) -> Filter {
        Closure::shared(format!("load > {limit}"), move |event: &Event| match event.field("load") {
            Some(Value::Int(load)) if load != 13 => Ok(load > limit),
            _ => Err(Undecided),
        })
    }

    fn wanted(routes: &mut Routes, event: &Event) -> Vec<u32> {
        let mut wanted = Vec::new();
        routes.begin();
        routes.collect(event, &mut wanted, &mut Vec::new());
        routes.commit();
        wanted.sort_unstable();
        wanted
    }

    #[test]
    fn a_thousand_consumers_with_one_filter_cost_one_evaluation() {
        let mut routes = Routes::default();
        let all: Vec<u32> = (0..1000).map(|queue| routes.join(queue, &[], [None, Some(&above(5))])).collect();
        let other = routes.join(1000, &[TypePattern::exactly("d", "k")], [Some(&above(5)), None]);
        assert_eq!(wanted(&mut routes, &event("d", "k", 6)).len(), 1001);
        assert_eq!(routes.evaluations, 1);
        assert_eq!(wanted(&mut routes, &event("d", "x", 6)).len(), 1000);
        assert_eq!(wanted(&mut routes, &event("d", "x", 13)).len(), 0);
        assert_eq!((routes.evaluations, routes.rejections(all[0])), (3, (1, 1)));
        assert_eq!(routes.rejections(other), (0, 0));
        (0..1000).for_each(|queue| routes.leave(queue, all[queue as usize]));
        assert_eq!(wanted(&mut routes, &event("d", "k", 6)), [1000]);
        routes.leave(1000, other);
        assert_eq!((routes.filters.len(), routes.routes.len(), routes.by_type.len()), (0, 0, 0));
    }

    #[test]
    fn an_event_reaches_a_queue_once_however_many_of_its_types_fit() {
        let mut routes = Routes::default();
        let kind = |kind: &str| TypePattern { domain: None, kind: Some(kind.into()) };
        routes.join(1, &[kind("k"), TypePattern::exactly("d", "k")], [None, None]);
        routes.join(2, &[TypePattern::exactly("d", "k"), TypePattern::exactly("d", "l")], [None, None]);
        routes.join(3, &[kind("l")], [None, Some(&above(5))]);
        assert_eq!(wanted(&mut routes, &event("d", "k", 0)), [1, 2]);
        assert_eq!(wanted(&mut routes, &event("e", "k", 0)), [1]);
        assert_eq!(wanted(&mut routes, &event("d", "l", 9)), [2, 3]);
    }
}
