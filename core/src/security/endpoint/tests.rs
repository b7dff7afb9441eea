use super::*;
use crate::security::PacketKeys;
use clustercore_proto::datagram::Protector;
use proptest::prelude::*;
use std::collections::HashSet;

const PORT: u16 = 4000;

fn secure(key: &PrivateKey, access: Access) -> EndpointSecurity {
    EndpointSecurity::new(Mode::Secure { key: key.clone(), access }, PORT).unwrap()
}

fn clear() -> EndpointSecurity {
    EndpointSecurity::new(Mode::Clear, PORT).unwrap()
}

/// A client, a server that lets it in, and their keys.
struct Pair {
    client: EndpointSecurity,
    server: EndpointSecurity,
    client_key: PublicKey,
    server_key: PublicKey,
}

fn pair() -> Pair {
    let [client, server] = [(); 2].map(|()| PrivateKey::generate().unwrap());
    Pair {
        client_key: client.public(),
        server_key: server.public(),
        server: secure(&server, Access::Only(HashSet::from([client.public()]))),
        client: secure(&client, Access::Any),
    }
}

impl Pair {
    fn start(&mut self) -> (Pending, Vec<u8>) {
        let key = *self.server_key.as_bytes();
        self.client.initiate(Some(key), b"the client's parameters").unwrap()
    }
}

/// Whether what one end seals is opened by the other, both ways.
fn understand_each_other(a: &mut Established<PacketProtector>, b: &mut Established<PacketProtector>) -> bool {
    let one_way = |from: &mut PacketProtector, to: &mut PacketProtector| {
        let mut packet = [b"a header of 16 b", &b"content"[..], &[0; 16]].concat();
        from.seal(1, &mut packet);
        to.open(1, false, &mut packet) && packet[16..].starts_with(b"content")
    };
    one_way(&mut a.protector, &mut b.protector) && one_way(&mut b.protector, &mut a.protector)
}

#[test]
fn a_handshake_gives_both_ends_parameters_identities_and_keys() {
    let mut pair = pair();
    let (mut pending, message) = pair.start();
    assert!(!message.windows(10).any(|window| window == b"parameters"), "nobody else reads them");
    assert!(!message.windows(32).any(|window| window == pair.client_key.as_bytes()), "nor who it is");
    let (mut server, answer) = pair.server.respond(&message, b"the server's parameters").unwrap();
    assert!(!answer.windows(10).any(|window| window == b"parameters"));
    let mut client = pair.client.finish(&mut pending, &answer).unwrap();
    assert_eq!(server.parameters, b"the client's parameters");
    assert_eq!(client.parameters, b"the server's parameters");
    assert_eq!(server.identity, Some(*pair.client_key.as_bytes()));
    assert_eq!(client.identity, Some(*pair.server_key.as_bytes()));
    assert_eq!((client.protector.trailer_bytes(), server.protector.trailer_bytes()), (16, 16));
    assert!(understand_each_other(&mut client, &mut server));
    assert!(client.protector.phase() == server.protector.phase());
}

#[test]
fn every_handshake_has_keys_of_its_own() {
    let mut pair = pair();
    let (mut pending, message) = pair.start();
    let (mut first, answer) = pair.server.respond(&message, b"").unwrap();
    // The first message again: the server takes part anew, and whoever repeated it understands nothing.
    let (mut second, other_answer) = pair.server.respond(&message, b"").unwrap();
    assert_ne!(answer, other_answer);
    let mut client = pair.client.finish(&mut pending, &answer).unwrap();
    assert!(!understand_each_other(&mut client, &mut second));
    assert!(understand_each_other(&mut client, &mut first));
}

#[test]
fn a_client_that_is_not_on_the_list_is_refused() {
    let mut pair = pair();
    pair.client = secure(&PrivateKey::generate().unwrap(), Access::Any);
    let (_, message) = pair.start();
    assert!(pair.server.respond(&message, b"").is_none());
    let Mode::Secure { access, .. } = &mut pair.server.mode else { panic!("secure") };
    *access = Access::Any;
    assert!(pair.server.respond(&message, b"").is_some(), "the list was the reason");
}

#[test]
fn another_server_cannot_answer() {
    let mut pair = pair();
    let mut other = secure(&PrivateKey::generate().unwrap(), Access::Any);
    let (mut pending, message) = pair.start();
    assert!(other.respond(&message, b"").is_none());
    // Nor with an answer to somebody else's message.
    let foreign = {
        let mut third = secure(&PrivateKey::generate().unwrap(), Access::Any);
        let (_, message) = third.initiate(Some(*pair.server_key.as_bytes()), b"").unwrap();
        let Mode::Secure { access, .. } = &mut pair.server.mode else { panic!("secure") };
        *access = Access::Any;
        pair.server.respond(&message, b"").unwrap().1
    };
    assert!(pair.client.finish(&mut pending, &foreign).is_none());
}

#[test]
fn garbled_messages_are_refused_and_the_true_answer_still_counts() {
    let mut pair = pair();
    let (mut pending, message) = pair.start();
    for bit in 0..message.len() * 8 {
        let mut changed = message.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // X25519 ignores the highest bit of a public key; the hash of the handshake does not.
        assert!(pair.server.respond(&changed, b"").is_none(), "bit {bit}");
    }
    for len in 0..message.len() {
        assert!(pair.server.respond(&message[..len], b"").is_none(), "{len} bytes");
    }
    let (mut server, answer) = pair.server.respond(&message, b"fine").unwrap();
    for bit in 0..answer.len() * 8 {
        let mut changed = answer.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(pair.client.finish(&mut pending, &changed).is_none(), "bit {bit}");
    }
    for len in 0..answer.len() {
        assert!(pair.client.finish(&mut pending, &answer[..len]).is_none(), "{len} bytes");
    }
    assert!(pair.client.finish(&mut pending, &message).is_none(), "its own message is no answer");
    let mut client = pair.client.finish(&mut pending, &answer).unwrap();
    assert!(understand_each_other(&mut client, &mut server));
}

#[test]
fn what_is_repeated_or_comes_too_late_is_refused() {
    let mut pair = pair();
    let (mut pending, message) = pair.start();
    let (_, answer) = pair.server.respond(&message, b"").unwrap();
    assert!(pair.client.finish(&mut pending, &answer).is_some());
    assert!(pair.client.finish(&mut pending, &answer).is_none(), "a second time");
    let (mut later, _) = pair.start();
    assert!(pair.client.finish(&mut later, &answer).is_none(), "the answer to an earlier attempt");
}

#[test]
fn the_two_modes_do_not_meet() {
    let mut pair = pair();
    assert!(pair.client.initiate(None, b"").is_none(), "whom to believe is not known");
    assert!(clear().initiate(Some(*pair.server_key.as_bytes()), b"").is_none(), "nobody can be proven");
    assert!(pair.client.initiate(Some([0; 32]), b"").is_none(), "a weak key");
    let (_, message) = clear().initiate(None, b"parameters in clear").unwrap();
    assert!(pair.server.respond(&message, b"").is_none());
    let (mut pending, message) = pair.start();
    let (_, answer) = clear().respond(&message, b"parameters in clear").unwrap();
    assert!(pair.client.finish(&mut pending, &answer).is_none());
}

#[test]
fn another_version_does_not_get_through() {
    let mut pair = pair();
    let (_, message) = pair.start();
    // The same handshake with another prologue.
    let key = PrivateKey::generate().unwrap();
    let builder = snow::Builder::with_resolver(
        "Noise_IK_25519_AESGCM_SHA256".parse().unwrap(),
        Box::new(crate::security::noise::Primitives),
    )
    .local_private_key(key.as_bytes())
    .unwrap()
    .remote_public_key(pair.server_key.as_bytes())
    .unwrap();
    let mut state = builder.prologue(b"clustercore datagram \x02\x00").unwrap().build_initiator().unwrap();
    let mut other = vec![0; 200];
    let len = state.write_message(b"", &mut other).unwrap();
    let Mode::Secure { access, .. } = &mut pair.server.mode else { panic!("secure") };
    *access = Access::Any;
    assert!(pair.server.respond(&other[..len], b"").is_none());
    assert!(pair.server.respond(&message, b"").is_some());
}

#[test]
fn in_clear_mode_parameters_travel_as_they_are() {
    let (mut client, mut server) = (clear(), clear());
    let (mut pending, message) = client.initiate(None, b"from the client").unwrap();
    assert_eq!(message, b"from the client");
    let (established, answer) = server.respond(&message, b"from the server").unwrap();
    assert_eq!((established.parameters, established.identity), (message, None));
    let established = client.finish(&mut pending, &answer).unwrap();
    assert_eq!((&established.parameters[..], established.identity), (&b"from the server"[..], None));
    assert!(matches!(established.protector, PacketProtector::Clear));
}

#[test]
fn a_reset_token_survives_a_restart_and_belongs_to_key_and_port() {
    let key = PrivateKey::generate().unwrap();
    let token = |security: &EndpointSecurity| security.mac(MacUse::Reset, b"an id");
    let first = secure(&key, Access::Any);
    assert_eq!(token(&first), token(&secure(&key, Access::Any)));
    assert_eq!(token(&clear()), token(&clear()));
    let other_port =
        EndpointSecurity::new(Mode::Secure { key: key.clone(), access: Access::Any }, PORT + 1).unwrap();
    let other_key = secure(&PrivateKey::generate().unwrap(), Access::Any);
    let tokens = [&first, &other_port, &other_key, &clear()].map(token);
    assert_eq!(HashSet::from(tokens).len(), 4);
    assert_ne!(first.mac(MacUse::Reset, b"another id"), token(&first));
}

#[test]
fn a_cookie_is_good_in_one_process_only() {
    let key = PrivateKey::generate().unwrap();
    for (first, second) in [(secure(&key, Access::Any), secure(&key, Access::Any)), (clear(), clear())] {
        let cookie = first.mac(MacUse::Cookie, b"a client");
        assert_eq!(first.mac(MacUse::Cookie, b"a client"), cookie);
        assert_ne!(second.mac(MacUse::Cookie, b"a client"), cookie);
        assert_ne!(first.mac(MacUse::Reset, b"a client"), cookie, "one never stands for the other");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let key = PrivateKey::generate().unwrap();
    let secret = key.to_text();
    let shown = format!("{:?}", secure(&key, Access::Any));
    assert!(shown.contains(&key.public().to_string()) && !shown.contains(secret.split(' ').nth(1).unwrap()));
}

proptest! {
    #[test]
    fn any_bytes_are_no_handshake(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut pair = pair();
        let (mut pending, _) = pair.start();
        prop_assert!(pair.server.respond(&bytes, b"").is_none());
        prop_assert!(pair.client.finish(&mut pending, &bytes).is_none());
    }

    #[test]
    fn any_text_is_read_as_a_list_or_refused(text in ".{0,200}") {
        let _ = Access::parse(&text);
    }
}

/// The keys that a line of the log leads to, for packets to `target`.
fn logged_keys(log: &str, target: WireId) -> PacketProtector {
    let start = format!("CLUSTERCORE_1_SECRET_0 {:016x} ", target.0);
    let secret = log.lines().find_map(|line| line.strip_prefix(&start)).expect("a line for that id");
    let mut bytes = Zeroizing::new([0; 32]);
    for (byte, digits) in bytes.iter_mut().zip(secret.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    }
    PacketProtector::Secure(Box::new(PacketKeys::new(bytes.clone(), bytes)))
}

#[test]
fn what_is_sent_can_be_opened_with_the_log_of_keys() {
    let path = std::env::temp_dir().join(format!("clustercore-key-log-{}", std::process::id()));
    let mut pair = pair();
    pair.server.log_keys(&path).unwrap();
    let (mut pending, message) = pair.start();
    let (mut server, answer) = pair.server.respond(&message, b"").unwrap();
    pair.server.on_established(WireId(0xa1), WireId(0xc2));
    pair.server.on_established(WireId(0xdead), WireId(0xbeef));
    let mut client = pair.client.finish(&mut pending, &answer).unwrap();
    let log = std::fs::read_to_string(&path).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    assert_eq!((log.lines().count(), mode & 0o777), (2, 0o600), "{log}");
    for (sender, target) in [(&mut client.protector, WireId(0xa1)), (&mut server.protector, WireId(0xc2))] {
        let mut keys = logged_keys(&log, target);
        let mut packet = [b"a header of 16 b", &b"content"[..], &[0; 16]].concat();
        sender.seal(7, &mut packet);
        assert!(keys.open(7, false, &mut packet) && packet[16..].starts_with(b"content"));
        // The next phase follows from the first.
        sender.update_key();
        let mut packet = [b"a header of 16 b", &b"content"[..], &[0; 16]].concat();
        sender.seal(8, &mut packet);
        assert!(keys.open(8, true, &mut packet) && packet[16..].starts_with(b"content"));
    }
}

#[test]
fn a_key_log_that_others_can_read_is_refused() {
    let path = std::env::temp_dir().join(format!("clustercore-key-log-open-{}", std::process::id()));
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let error = pair().server.log_keys(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(error.code(), crate::Code::KeyExposed, "{error}");
}
