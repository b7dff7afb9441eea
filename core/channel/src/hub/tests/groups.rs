//! Groups of both admins, by asking.

use super::super::*;
use super::world::{World, event, open};
use crate::participant::{News, SupplyConfig};
use crate::principal::{Principal, Right, Rights};

#[test]
fn a_group_filters_suspends_sets_and_removes_its_consumers() {
    let mut world = World::new(open(), 21);
    let admin = world.join("", "admin");
    let create = r#"{"op":"create_group","admin":"supplier","group":"watchers","filter":"id != '1' && id != '4'","qos":{"batch_max":9}}"#;
    assert_eq!(world.ask(admin, create), Ok("{}".into()));
    assert!(world.ask(admin, create).unwrap_err().contains("name_taken"));
    let supply = world.at(admin).supply("", SupplyConfig::default());
    let (inside, outside) = (world.join("", "inside"), world.join("", "outside"));
    let handle =
        world.at(inside).consume(r#""name":"c","group":"watchers","spec":{"qos":{"length_max":50}}"#);
    world.at(outside).consume("");
    world.settle();
    let secret = event("1");
    world.at(admin).emit(supply, &[secret, event("2")]).unwrap();
    world.settle();
    assert_eq!((world.ids(inside).len(), world.ids(outside).len()), (1, 2));

    let described = world.ask(admin, r#"{"op":"describe"}"#).unwrap();
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let group = &described["groups"][0];
    assert_eq!((&group["group"], &group["admin"]), (&"watchers".into(), &"supplier".into()));
    assert_eq!((&group["proxies"], &group["is_suspended"]), (&1.into(), &false.into()));
    assert_eq!(described["consumers"][0]["group"], "watchers");
    assert_eq!(described["consumers"][0]["settings"]["batch_max"], 9, "the group's");

    let ask = |op: &str| format!(r#"{{"op":"{op}","admin":"supplier","group":"watchers"}}"#);
    assert_eq!(world.ask(admin, &ask("suspend_group")), Ok("{}".into()));
    world.at(admin).emit(supply, &[event("3")]).unwrap();
    world.settle();
    assert!(world.ids(inside).is_empty());
    assert!(
        world
            .ask(inside, &format!(r#"{{"op":"why","handle":{handle}}}"#))
            .unwrap()
            .contains("group_suspended")
    );
    assert_eq!(world.ask(admin, &ask("resume_group")), Ok("{}".into()));
    world.settle();
    assert_eq!(world.ids(inside), ["3"]);

    let set =
        r#"{"op":"set_group","admin":"supplier","group":"watchers","filter":null,"qos":{"length_max":0}}"#;
    assert!(world.ask(admin, set).unwrap_err().contains("length_max"));
    let set = r#"{"op":"set_group","admin":"supplier","group":"watchers","filter":null}"#;
    assert_eq!(world.ask(admin, set), Ok("{}".into()));
    let secret = event("4");
    world.at(admin).emit(supply, &[secret]).unwrap();
    world.settle();
    assert_eq!(world.ids(inside), ["4"]);

    assert_eq!(world.ask(admin, &ask("remove_group")), Ok("{}".into()));
    world.settle();
    let news = world.news(inside);
    let is_gone = |it: &News| matches!(it, News::Gone { handle: gone, message } if *gone == handle && message.contains("group"));
    assert!(news.iter().any(is_gone), "{news:?}");
    assert!(world.ask(admin, &ask("suspend_group")).unwrap_err().contains("no_such_group"));
}

#[test]
fn a_group_of_suppliers_holds_them_up_and_the_shared_proxy_is_in_none() {
    let mut world = World::new(open(), 22);
    let admin = world.join("", "admin");
    world.at(admin).consume("");
    let create = r#"{"op":"create_group","admin":"consumer","group":"sensors","filter":"type == 'tested'"}"#;
    assert_eq!(world.ask(admin, create), Ok("{}".into()));
    let sensor = world.join("", "sensor");
    let supply = world.at(sensor).supply(r#""group":"sensors","spec":{}"#, SupplyConfig::default());
    world.settle();
    world.at(sensor).emit(supply, &[event("1")]).unwrap();
    world.settle();
    assert_eq!(world.ids(admin), ["1"]);
    let other = Event::builder("2", "/s", "other").build(&EventLimits::default()).unwrap();
    world.at(sensor).emit(supply, &[other]).unwrap();
    world.settle();
    assert!(world.ids(admin).is_empty());
    let shared = r#"{"op":"supply","handle":77,"group":"sensors"}"#;
    assert!(world.ask(sensor, shared).unwrap_err().contains("shared"));
    let unknown = r#"{"op":"consume","handle":78,"group":"sensors"}"#;
    assert!(world.ask(sensor, unknown).unwrap_err().contains("no_such_group"), "of the other admin");
    for wrong in [
        r#"{"op":"create_group","group":"x"}"#,
        r#"{"op":"create_group","admin":"supplier"}"#,
        r#"{"op":"create_group","admin":"king","group":"x"}"#,
        r#"{"op":"create_group","admin":"supplier","group":"x","filter":"1 +"}"#,
    ] {
        assert!(world.ask(admin, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn groups_are_for_those_who_may_administer() {
    let ann = Principal::new("ann", Rights::NONE.and(Right::Consume));
    let access = Access::new().with_token("reader", ann);
    let mut world = World::new(HubConfig { access, ..HubConfig::default() }, 23);
    let ann = world.join("reader", "");
    world.settle();
    for op in ["create_group", "set_group", "suspend_group", "resume_group", "remove_group"] {
        let ask = format!(r#"{{"op":"{op}","admin":"supplier","group":"x"}}"#);
        assert!(world.ask(ann, &ask).unwrap_err().contains("denied"), "{op}");
    }
}
