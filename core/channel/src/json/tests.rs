use super::*;
use crate::channel::{ChannelConfig, Start, SupplierProxySpec};
use crate::filter::{FilterLimits, Filters};
use crate::predicate::Filter;
use crate::qos::{Acknowledgement, Discard, Order, Qos, Settings};
use clustercore_proto::time::Duration;

fn written(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::new();
    Object::write(&mut out, fill);
    out
}

#[test]
fn a_quality_of_service_comes_back_as_it_was_and_null_takes_back() {
    let text = r#"{"order":"priority","reliability":"persistent","priority":7,"lifetime":1.5,"delay":0.000000001,"length_max":9,"bytes_max":2048,"discard":"lowest_priority","batch_max":3,"pacing":0,"acknowledgement":"explicit","acknowledge_timeout":2,"in_flight_max":4,"tries_max":5,"backoff":0.1,"backoff_max":6,"weight":7,"turn_priority":8}"#;
    let qos = patch_qos(Qos::default(), &Members::parse(text, MEMBERS_MAX).unwrap()).unwrap();
    assert_eq!((qos.order, qos.discard), (Some(Order::Priority), Some(Discard::LowestPriority)));
    assert_eq!(
        (qos.acknowledgement, qos.lifetime),
        (Some(Acknowledgement::Explicit), Some(Duration::from_millis(1500)))
    );
    assert_eq!(written(|object| write_qos(&qos, object)), text);
    let all = written(|object| write_settings(&Settings::default().narrowed(&qos), object));
    assert_eq!(all, text);
    let patch = Members::parse(r#"{"order":null,"priority":1}"#, MEMBERS_MAX).unwrap();
    let patched = patch_qos(qos, &patch).unwrap();
    assert_eq!(patched, Qos { order: None, priority: Some(1), ..qos });
    for wrong in [
        r#"{"prioritty":1}"#,
        r#"{"priority":256}"#,
        r#"{"order":"lifo"}"#,
        r#"{"order":1}"#,
        r#"{"lifetime":"1"}"#,
    ] {
        assert!(patch_qos(qos, &Members::parse(wrong, MEMBERS_MAX).unwrap()).is_err(), "{wrong}");
    }
}

#[test]
fn a_channel_is_made_of_what_is_said() {
    let text = r#"{"qos":{"weight":2},"direct":[{"domain":"d","type":"t"},{"type":"u"}],"events_max":5,"retention_age_max":60,"consumer_turns":"weighted","seed":9}"#;
    let config = read_channel_config(&Members::parse(text, MEMBERS_MAX).unwrap()).unwrap();
    assert_eq!((config.qos.weight, config.events_max, config.seed), (Some(2), 5, 9));
    assert_eq!((config.direct.len(), config.bytes_max), (2, ChannelConfig::default().bytes_max));
    let again = written(|object| write_channel_config(&config, object));
    assert!(again.starts_with(
        r#"{"qos":{"weight":2},"direct":[{"domain":"d","type":"t"},{"type":"u"}],"events_max":5,"#
    ));
    assert!(!again.contains("seed"), "who knows the seed can make repeats");
    let config = read_channel_config(&Members::parse(&again, MEMBERS_MAX).unwrap()).unwrap();
    assert_eq!(written(|object| write_channel_config(&config, object)), again);
}

#[test]
fn a_consumer_comes_back_as_it_was() {
    let filters = Filters::new(FilterLimits::default());
    let compile = |text: &str| filters.compile(text).map(|filter| filter as Filter);
    let read = |text: &str| {
        let members = Members::parse(text, MEMBERS_MAX)?;
        patch_supplier_proxy(SupplierProxySpec::default(), &members, &compile)
    };
    let text = r#"{"mode":"pull","qos":{},"types":[{}],"filter":"load > 3","mappings":[{"filter":"load > 5","priority":9},{"filter":"load > 6","lifetime":0.5}],"consumer_group":"g","start":{"time":"2018-04-05T17:31:00Z"},"is_durable":true}"#;
    let spec = read(text).unwrap();
    assert!(matches!(spec.start, Start::Time(_)));
    let again = written(|object| write_supplier_proxy(&spec, object));
    assert_eq!(again, text.replacen('{', r#"{"name":"","owner":"","#, 1));
    assert_eq!(read(r#"{"start":{"offset":5}}"#).unwrap().start, Start::Offset(5));
    for wrong in [
        r#"{"filter":"load >"}"#,
        r#"{"filter":1}"#,
        r#"{"start":"then"}"#,
        r#"{"start":{}}"#,
        r#"{"start":{"time":"x"}}"#,
        r#"{"mappings":[{"filter":"load > 3"}]}"#,
        r#"{"types":{}}"#,
        r#"{"owner":"root"}"#,
        r#"{"mode":null}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
