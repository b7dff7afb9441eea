//! Links of all kinds, with keys and without, exchanged while events flow.

use super::*;
use clustercore::Code;
use clustercore::security::{Access as Clients, PrivateKey};

#[test]
fn links_of_all_kinds_are_exchanged_while_events_flow_and_nothing_is_missed() {
    for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
        let mut server = Server::start(choice);
        let (tcp, udp, rpc) =
            (Link::Tcp(server.tcp), Link::Udp(server.udp, None), Link::Rpc(server.rpc, None));
        let mut consumer = join(tcp, choice);
        let spec = r#""name":"steady","spec":{"qos":{"acknowledgement":"explicit","length_max":100000,"in_flight_max":10000}}"#;
        let consume = consumer.consume(spec);
        consumer.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
        let mut supplier = join(udp, choice);
        let supply = supplier.supply("", SupplyConfig::default());
        // Both go round: the consumer from TCP, the supplier from UDP.
        let links = [(true, udp), (false, rpc), (true, rpc), (false, tcp), (true, tcp), (false, udp)];
        let (mut exchanged, mut sent, mut seen) = (0, 0, 0);
        let mut is_seen = vec![false; 4000];
        let mut all = [&mut supplier, &mut consumer];
        until(&mut all, "4,000 events over exchanged links", |all| {
            if sent < 4000 {
                sent += all[0].emit(supply, &events(sent..sent + 50)).unwrap_or(0) as u32;
            }
            if let Some((is_consumer, link)) = links.get(exchanged)
                && seen >= 500 * (exchanged + 1)
                // One that is exchanged before it is made is not counted.
                && all[usize::from(*is_consumer)].is_linked()
            {
                all[usize::from(*is_consumer)].relink(*link, None).unwrap();
                exchanged += 1;
            }
            let mut names = Vec::new();
            while let Some((_, delivered)) = all[1].take() {
                let id: usize = delivered.event.id().parse().unwrap();
                names.extend(delivered.delivery);
                seen += usize::from(!std::mem::replace(&mut is_seen[id], true));
            }
            all[1].machine().acknowledge(consume, &names);
            let gone = std::iter::from_fn(|| all[1].poll_news()).find(|it| matches!(it, News::Gone { .. }));
            assert!(gone.is_none(), "{gone:?}");
            seen == 4000 && all[0].links_made() == 4 && all[1].links_made() == 4
        });
        assert_eq!(exchanged, links.len());
        assert_eq!(server.end().violations, 0);
    }
}

#[test]
fn a_link_with_keys_is_made_with_the_right_one_only() {
    let (key, ours) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let (public, wrong) = (*key.public().as_bytes(), *ours.public().as_bytes());
    let access = Clients::Only([ours.public()].into());
    let mut server = Server::start_with(DriverChoice::Auto, Some(Mode::Secure { key, access }));
    let mode = |key: &PrivateKey| Some(Mode::Secure { key: key.clone(), access: Clients::Any });
    let (udp, rpc) = (Link::Udp(server.udp, None), Link::Rpc(server.rpc, None));
    let open = |link: Link, server_key, security| {
        let link = link.with_server_key(server_key).unwrap();
        let config = ParticipantConfig::default();
        Participant::open(DriverChoice::Auto, Duration::ZERO, link, security, false, config)
    };
    for link in [udp, rpc] {
        open(link, Some(public), mode(&ours)).unwrap().ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
        // Another key than the server's, a client that is not let in, and one without keys.
        for (server_key, security) in [(Some(wrong), mode(&ours)), (Some(public), None), (None, None)] {
            let mut refused = open(link, server_key, security).unwrap();
            until(&mut [&mut refused], "refused", |all| all[0].trouble().is_some());
            let error = refused.ask(r#"{"op":"ping"}"#, Duration::from_millis(10)).unwrap_err();
            assert_eq!(error.code(), Code::Timeout);
            assert!(
                error.to_string().contains("the server refuses the handshake: it has another key"),
                "{error}"
            );
            // The same participant, with what is right.
            refused.relink(link.with_server_key(Some(public)).unwrap(), mode(&ours)).unwrap();
            refused.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
            assert_eq!(refused.trouble(), None);
        }
        assert_eq!(open(link, None, mode(&ours)).err().unwrap().code(), Code::NoKey);
    }
    server.end();
}

#[test]
fn a_link_that_cannot_be_leaves_the_one_before() {
    let mut server = Server::start(DriverChoice::Auto);
    let mut participant = join(Link::Tcp(server.tcp), DriverChoice::Auto);
    participant.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
    let security = Some(Mode::Secure { key: PrivateKey::generate().unwrap(), access: Clients::Any });
    let error = participant.relink(Link::Udp(server.udp, None), security).unwrap_err();
    assert_eq!(error.code(), Code::NoKey, "{error}");
    let far = Link::parse("udp://192.0.2.1:7").unwrap();
    assert_eq!(participant.relink(far, None).unwrap_err().code(), Code::InsecureAddress);
    participant.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
    assert_eq!(participant.links_made(), 1);
    server.end();
}

#[test]
fn who_does_not_take_events_is_not_sent_more_than_a_window() {
    let mut server = Server::start(DriverChoice::Auto);
    let links = [Link::Tcp(server.tcp), Link::Udp(server.udp, None), Link::Rpc(server.rpc, None)];
    for link in links {
        let config = ParticipantConfig { inbox_max: 100, ..ParticipantConfig::default() };
        let mut consumer =
            Participant::open(DriverChoice::Auto, Duration::ZERO, link, None, false, config).unwrap();
        consumer.consume(r#""spec":{"qos":{"length_max":100000,"bytes_max":1000000000}}"#);
        consumer.ask(r#"{"op":"ping"}"#, LIMIT).unwrap();
        let mut supplier = join(Link::Tcp(server.tcp), DriverChoice::Auto);
        let supply = supplier.supply("", SupplyConfig::default());
        let event = |id: u32| Event::builder(id.to_string(), "/test", "t").body(vec![7; 8192]);
        let (mut sent, mut before, mut still) = (0, 0, 0);
        let mut all = [&mut supplier, &mut consumer];
        until(&mut all, "all is taken by the server and nothing more comes", |all| {
            let next = (sent..(sent + 100).min(4000)).map(|id| event(id).build(&EventLimits::default()));
            let next: Vec<_> = next.collect::<Result<_, _>>().unwrap();
            sent += all[0].emit(supply, &next).unwrap_or(0) as u32;
            let waiting = all[1].machine().waiting();
            let is_still = sent == 4000 && all[0].untaken(supply).unwrap() == 0 && waiting == before;
            (before, still) = (waiting, if is_still { still + 1 } else { 0 });
            still == 100
        });
        // 32 MiB were emitted; a window has 4 MiB, and buffers of the system may hold as much again.
        assert!((100..2000).contains(&before), "{before} events over {link:?}");
        let mut taken = 0;
        until(&mut [&mut consumer], "the others come when there is room", |all| {
            while let Some((_, delivered)) = all[0].take() {
                assert_eq!(delivered.event.id().as_ref(), taken.to_string());
                taken += 1;
            }
            taken == 4000
        });
    }
    server.end();
}
