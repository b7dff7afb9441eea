//! The program of a filter and the library give the same answer to the same event, whatever the expression.

use clustercore_channel::filter::{Filter, FilterLimits, Reason};
use clustercore_channel::{Fields, Instant, Value};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value that a field can have.
#[derive(Clone, Debug)]
enum Owned {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Time(u64),
}

#[derive(Clone, Debug)]
struct Random(Vec<(&'static str, Owned)>);

impl Fields for Random {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        if name == "type" {
            return Some(Value::Text("ab")); // each event has one
        }
        let (_, value) = self.0.iter().find(|(field, _)| *field == name)?;
        Some(match value {
            Owned::Bool(it) => Value::Bool(*it),
            Owned::Int(it) => Value::Int(*it),
            Owned::Float(it) => Value::Float(*it),
            Owned::Text(it) => Value::Text(it),
            Owned::Bytes(it) => Value::Bytes(it),
            Owned::Time(it) => Value::Time(Instant::from_nanos(*it)),
        })
    }
}

fn float() -> impl Strategy<Value = f64> {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1.0, 1.5, 9007199254740993.0, 9.3e18];
    prop_oneof![prop::sample::select(odd.to_vec()), -3.0..3.0]
}

fn int() -> impl Strategy<Value = i64> {
    let odd = [i64::MIN, i64::MAX, -1, 0, 1, 9007199254740993];
    prop_oneof![prop::sample::select(odd.to_vec()), -3..3i64]
}

fn text() -> impl Strategy<Value = String> {
    "[abä]{0,3}"
}

fn value() -> impl Strategy<Value = Owned> {
    prop_oneof![
        any::<bool>().prop_map(Owned::Bool),
        int().prop_map(Owned::Int),
        float().prop_map(Owned::Float),
        text().prop_map(Owned::Text),
        prop::collection::vec(0x61..0x63u8, 0..3).prop_map(Owned::Bytes),
        prop_oneof![Just(0), Just(u64::MAX), 1_700_000_000_000_000_000..1_700_000_003_000_000_000u64]
            .prop_map(Owned::Time),
    ]
}

fn event() -> impl Strategy<Value = Random> {
    prop::collection::vec((prop::sample::select(NAMES.to_vec()), value()), 0..6).prop_map(Random)
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(NAMES.to_vec()).prop_map(String::from),
        2 => prop::sample::select(NAMES.to_vec()).prop_map(|name| format!("event.{name}")),
        1 => prop::sample::select(NAMES.to_vec()).prop_map(|name| format!("event['{name}']")),
        1 => Just("type".to_string()),
    ]
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<bool>().prop_map(|it| it.to_string()),
        int().prop_filter("no literal", |it| *it != i64::MIN).prop_map(|it| it.to_string()),
        (0..4u64).prop_map(|it| format!("{it}u")),
        Just(format!("{}u", u64::MAX)),
        (-3.0..3.0f64).prop_map(|it| format!("{it:?}")),
        Just("9007199254740993.0".to_string()),
        text().prop_map(|it| format!("'{it}'")),
        "[ab]{0,2}".prop_map(|it| format!("b'{it}'")),
        Just("null".to_string()),
        (0..3).prop_map(|it| format!("timestamp('2023-11-14T22:13:{}Z')", 20 + it)),
    ]
}

fn term() -> impl Strategy<Value = String> {
    let operator = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    prop_oneof![
        6 => (field(), operator(), literal()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        2 => (literal(), operator(), field()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (field(), operator(), field()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        2 => (field(), prop::collection::vec(literal(), 0..4)).prop_map(|(a, list)| format!("{a} in [{}]", list.join(", "))),
        2 => (field(), prop::sample::select(vec!["startsWith", "endsWith", "contains"]), text())
            .prop_map(|(a, name, part)| format!("{a}.{name}('{part}')")),
        1 => (field(), prop::sample::select(vec!["startsWith", "contains"]), field())
            .prop_map(|(a, name, part)| format!("{a}.{name}({part})")),
        1 => prop::sample::select(NAMES.to_vec()).prop_map(|name| format!("has(event.{name})")),
        2 => field(),
        1 => any::<bool>().prop_map(|it| it.to_string()),
        1 => (field(), literal(), literal()).prop_map(|(a, b, c)| format!("{a} + {b} == {c}")),
        1 => (field(), 0..4).prop_map(|(a, len)| format!("size({a}) > {len}")),
        1 => (prop::collection::vec(literal(), 0..3), field()).prop_map(|(list, a)| format!("[{}].exists(x, x == {a})", list.join(", "))),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    term().prop_recursive(5, 24, 2, |inner| {
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            2 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn program_and_library_agree(source in expression(), events in prop::collection::vec(event(), 8)) {
        let filter = match Filter::compile(&source, &FilterLimits::default()) {
            Ok(filter) => filter,
            Err(error) => {
                // Only what is visibly too much; the generator writes nothing else that is refused.
                prop_assert!(error.to_string().contains("limit") || error.to_string().contains("flatter")
                    || error.to_string().contains("true or false"), "{source}: {error}");
                return Ok(());
            }
        };
        for event in &events {
            let (ours, theirs) = (filter.matches(event), filter.matches_by_library(event));
            prop_assert_eq!(ours.ok(), theirs.ok(), "{} of {:?}: {:?} {:?}", source, event, ours, theirs);
            count(ours.map_err(|failure| failure.reason));
        }
    }

    #[test]
    fn no_text_breaks_the_compiler(source in "[a-z0-9 .()\\[\\]{}'\"\\\\!&|?:=<>+*,\\n-]{0,80}") {
        if let Ok(filter) = Filter::compile(&source, &FilterLimits::default()) {
            let none = Random(Vec::new());
            prop_assert_eq!(filter.matches(&none).ok(), filter.matches_by_library(&none).ok(), "{}", source);
        }
    }
}

/// The comparison means something only when all outcomes occur.
fn count(verdict: Result<bool, Reason>) {
    let place = match verdict {
        Ok(false) => 0,
        Ok(true) => 1,
        Err(_) => 2,
    };
    SEEN[place].fetch_add(1, Ordering::Relaxed);
    let seen = |place: usize| SEEN[place].load(Ordering::Relaxed);
    if seen(0) + seen(1) + seen(2) == 5000 {
        assert!((0..3).all(|place| seen(place) > 250), "{SEEN:?}");
    }
}

static SEEN: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

const NAMES: [&str; 6] = ["a", "b", "c", "priority", "subject", "urgent"];
