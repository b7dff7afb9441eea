use super::*;
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

struct Map(BTreeMap<&'static str, Value<'static>>);

impl Fields for Map {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        self.0.get(name).copied()
    }
}

fn event() -> Map {
    Map(BTreeMap::from([
        ("type", Value::Text("com.example.load")),
        ("source", Value::Text("/node/7")),
        ("priority", Value::Int(5)),
        ("load", Value::Float(0.75)),
        ("urgent", Value::Bool(true)),
        ("raw", Value::Bytes(b"ab")),
        ("nan", Value::Float(f64::NAN)),
        ("time", Value::Time(crate::Instant::from_nanos(1_700_000_000_000_000_000))),
    ]))
}

/// What program and library say, which must be the same.
fn verdict(source: &str) -> Option<bool> {
    let filter =
        Filter::compile(source, &FilterLimits::default()).unwrap_or_else(|it| panic!("{source}: {it}"));
    let verdict = filter.matches(&event());
    assert_eq!(verdict.ok(), filter.matches_by_library(&event()).ok(), "{source}: {verdict:?}");
    assert_eq!(filter.failures(), u64::from(verdict.is_err()));
    verdict.ok()
}

fn refusal(source: &str) -> FilterError {
    Filter::compile(source, &FilterLimits::default()).map(|it| panic!("{it:?} was accepted")).unwrap_err()
}

#[test]
fn terms_of_the_subset_agree_with_the_library() {
    let cases = [
        ("type == 'com.example.load'", Some(true)),
        ("type != 'com.example.load'", Some(false)),
        ("event.type.startsWith('com.') && type.endsWith('load') && type.contains('.example.')", Some(true)),
        ("priority > 4 && 6 > priority && priority >= 5u && priority <= 5.0", Some(true)),
        ("priority in [1, 5] && !(type in ['a', 'b'])", Some(true)),
        ("priority == '5'", Some(false)),
        ("priority < '5'", None),
        ("load == 0.75 && load < 1 && load > 0u && -1 < load && -1.5 < load", Some(true)),
        ("urgent", Some(true)),
        ("urgent == true && !urgent", Some(false)),
        ("priority || false", None),
        ("has(event.source) && !has(event.subject)", Some(true)),
        ("subject == 'x'", None),
        ("subject == 'x' || urgent", Some(true)),
        ("subject == 'x' && !urgent", Some(false)),
        ("urgent || subject == 'x'", Some(true)),
        ("!(subject == 'x')", None),
        ("raw == b'ab' && raw < b'b' && raw != 'ab'", Some(true)),
        ("raw.startsWith('a')", None),
        ("nan == nan || nan != 0.0", Some(true)),
        ("nan < 1.0", None),
        ("nan in [1.0]", Some(false)),
        (
            "time > timestamp('2023-01-01T00:00:00Z') && time < timestamp('2024-01-01T00:00:00+01:00')",
            Some(true),
        ),
        ("type == null", Some(false)),
        ("true", Some(true)),
    ];
    for (source, expected) in cases {
        assert_eq!(verdict(source), expected, "{source}");
    }
    let lowered = |source| Filter::compile(source, &FilterLimits::default()).unwrap().is_lowered();
    assert!(
        cases.iter().filter(|(source, _)| !source.contains("nan == nan")).all(|(source, _)| lowered(source))
    );
}

#[test]
fn the_rest_is_evaluated_by_the_library_term_by_term() {
    for (source, expected) in [
        ("priority + 1 == 6 && type == 'com.example.load'", true),
        ("size(type) > 3 && size(event.source) == 7", true),
        ("['com.', 'org.'].exists(start, type.startsWith(start))", true),
        ("[1, 2, 3].all(x, x < priority) && [1, 2].map(x, x * 2).exists(x, x == 4)", true),
        ("(urgent ? priority : 0) == 5", true),
        ("event['source'] == '/node/7' && event['type'].contains('load')", true),
        ("type(priority) == int", true),
        ("time.getFullYear() == 2023", true),
        ("{'a': 1}.a == 2", false),
    ] {
        assert_eq!(verdict(source), Some(expected), "{source}");
        assert!(
            !Filter::compile(source, &FilterLimits::default()).unwrap().is_lowered()
                || source.contains("event[")
        );
    }
    assert_eq!(verdict("1 / 0 == priority"), None);
    assert_eq!(verdict("9223372036854775807 + priority > 0 || urgent"), Some(true));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let at = |line, column| Position { line, column };
    assert!(matches!(refusal("priority >"), FilterError::Syntax { .. }));
    assert!(matches!(refusal(""), FilterError::Syntax { .. }));
    assert_eq!(
        refusal("urgent && 'open"),
        FilterError::Syntax { position: at(1, 11), message: "the string has no end".into() }
    );
    assert_eq!(
        refusal("urgent &&\n  foo(1)"),
        FilterError::NotAvailable { position: at(2, 6), what: "function foo".into() }
    );
    assert!(matches!(refusal("type.matches('a+')"), FilterError::NotAvailable { .. }));
    assert!(matches!(refusal("data.x == 1"), FilterError::NotAvailable { .. }));
    assert!(matches!(refusal("has(data.x)"), FilterError::NotAvailable { .. }));
    assert!(matches!(refusal("event == 1"), FilterError::NotAvailable { .. }));
    assert!(matches!(refusal("event[type] == 1"), FilterError::NotAvailable { .. }));
    assert!(matches!(
        refusal("Foo{a: 1} == 1"),
        FilterError::NotAvailable { .. } | FilterError::Syntax { .. }
    ));
    assert!(matches!(refusal("type.exists(x, x == 'a')"), FilterError::Unbounded { .. }));
    assert!(matches!(refusal("5"), FilterError::NotBoolean { .. }));
    assert!(matches!(refusal("priority + 1"), FilterError::NotBoolean { .. }));
    assert!(matches!(refusal("urgent\u{0}"), FilterError::Syntax { .. }));
    let failure =
        Filter::compile("urgent && subject == 'x'", &FilterLimits::default()).unwrap().matches(&event());
    assert_eq!(failure.unwrap_err().reason, Reason::Missing);
}

#[test]
fn hostile_expressions_are_refused() {
    let list = format!("[{}]", vec!["1"; 30].join(","));
    let loops = format!("{list}.all(a, {list}.all(b, {list}.all(c, a + b + c > priority)))");
    assert!(matches!(refusal(&loops), FilterError::TooCostly { .. }));
    let doubled = format!("['x']{} == ['']", ".map(x, x + x)".repeat(20));
    assert!(matches!(refusal(&doubled), FilterError::TooCostly { .. } | FilterError::TooDeep { .. }));
    let limits = FilterLimits { source_bytes_max: 1 << 16, ..FilterLimits::default() };
    let deep = |open: &str, inner: &str, close: &str, times: usize| {
        let source = format!("{}{inner}{}", open.repeat(times), close.repeat(times));
        Filter::compile(&source, &limits).map(|it| panic!("{it:?} was accepted")).unwrap_err()
    };
    for (open, inner, close) in [
        ("(", "urgent", ")"),
        ("[", "1", "]"),
        ("{1:", "1", "}"),
        ("urgent ? true : ", "true", ""),
        ("size(", "type", ")"),
        ("[1].all(x, ", "true", ")"),
        ("'\\q' + (", "1", ")"),
        ("r'\\'(", "1", ")"),
    ] {
        deep(open, inner, close, 1500);
    }
    assert!(matches!(
        deep("1 + ", "1 == 2", "", 400),
        FilterError::TooDeep { .. } | FilterError::Syntax { .. }
    ));
    assert!(matches!(deep("priority > 1 || ", "true", "", 400), FilterError::TooManyNodes { .. }));
    let long = refusal(&"x".repeat(4000));
    assert_eq!(long, FilterError::TooLong { len: 4000, max: 2048 });
    // As long a chain as the limits allow is a filter, and agrees with the library.
    let chain = vec!["priority == 1"; 120].join(" || ");
    assert_eq!(verdict(&format!("{chain} || urgent")), Some(true));
}

#[test]
fn equal_sources_share_one_filter_and_idle_ones_make_room() {
    let filters = Filters::new(FilterLimits { filters_max: 2, ..FilterLimits::default() });
    let first = filters.compile("priority > 1").unwrap();
    assert!(Arc::ptr_eq(&first, &filters.compile("priority > 1").unwrap()));
    drop(filters.compile("priority > 2").unwrap());
    let third = filters.compile("priority > 3").unwrap();
    let counts = FilterCounts { filters: 2, hits: 1, compiled: 3, refused: 0, evicted: 1 };
    assert_eq!(filters.counts(), counts);
    assert_eq!(filters.compile("priority > 4").unwrap_err(), FilterError::TooManyFilters { max: 2 });
    assert!(filters.compile("priority >").is_err());
    assert_eq!(filters.counts(), FilterCounts { compiled: 4, refused: 2, ..counts });
    assert_eq!((first.matches(&event()), third.matches(&event())), (Ok(true), Ok(true)));
}

#[test]
fn the_first_rule_that_matches_maps_and_a_failing_one_is_passed_over() {
    let filters = Filters::new(FilterLimits { rules_max: 3, ..FilterLimits::default() });
    let rules = [("subject == 'x'", 1), ("priority == 5", 2), ("true", 3)];
    let mapping = Mapping::compile(&filters, rules).unwrap();
    assert_eq!(mapping.apply(&event()), Some(&2));
    assert_eq!(mapping.rules()[0].0.failures(), 1);
    assert_eq!(mapping.apply(&Map(BTreeMap::new())), Some(&3));
    assert_eq!(Mapping::compile(&filters, [("true", 1), ("a >", 2)]).unwrap_err().0, 1);
    let many = Mapping::compile(&filters, [("true", 1); 4]).unwrap_err();
    assert_eq!(many, (3, FilterError::TooManyRules { len: 4, max: 3 }));
}
