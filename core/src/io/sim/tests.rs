use super::*;
use crate::io::{
    Chunk, Close, DatagramOptions, Driver, Ecn, Errno, Event, ListenOptions, StreamId, StreamOptions, Train,
};
use std::net::Ipv4Addr;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const SERVICE: SocketAddr = SocketAddr::new(SERVER, 80);

/// A driver and all that happened to it.
struct Host {
    driver: SimDriver,
    received: Vec<u8>,
    accepted: Vec<StreamId>,
    log: Vec<String>,
}

impl Host {
    fn new(driver: SimDriver) -> Host {
        Host { driver, received: Vec::new(), accepted: Vec::new(), log: Vec::new() }
    }
}

impl Actor for Host {
    fn turn(&mut self) {
        let mut events = Vec::new();
        self.driver.turn(Some(Duration::ZERO), &mut events).unwrap();
        for event in events {
            match event {
                Event::Data { lease, .. } => {
                    self.received.extend(self.driver.bytes(&lease));
                    self.driver.release(lease);
                }
                Event::Accepted { stream, .. } => {
                    self.driver.recv(stream);
                    self.accepted.push(stream);
                }
                Event::Connected { result, .. } => self.log.push(format!("connected {result:?}")),
                Event::Failed { errno, .. } => self.log.push(format!("failed {}", errno.0)),
                Event::End { .. } => self.log.push("end".into()),
                Event::Sent { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    fn is_pending(&self) -> bool {
        self.driver.pending()
    }
    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}

/// Two hosts, the first connected to the second.
fn connected(config: SimConfig) -> (SimNet, Simulation, [Host; 2], StreamId) {
    let net = SimNet::new(config);
    let mut hosts = [Host::new(net.host(CLIENT)), Host::new(net.host(SERVER))];
    hosts[1].driver.listen(SERVICE, &ListenOptions::default()).unwrap();
    let stream = hosts[0].driver.connect(SERVICE, &StreamOptions::default()).unwrap();
    let mut simulation = Simulation::new(net.clone(), 100_000);
    assert_eq!(
        simulation.run(&mut hosts, |hosts| hosts[1].accepted.len() + hosts[0].log.len() == 2),
        SimulationEnd::Reached
    );
    (net, simulation, hosts, stream)
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|place| (place * 7 + place / 251) as u8).collect()
}

fn transfer(seed: u64) -> (u64, Instant) {
    let (net, mut simulation, mut hosts, stream) = connected(SimConfig { seed, ..SimConfig::default() });
    hosts[0].driver.send(stream, Chunk::Owned(text(200_000)));
    hosts[0].driver.close(stream, Close::AfterSend);
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    assert!(hosts[1].received == text(200_000));
    assert_eq!(hosts[1].log, ["end"]);
    assert_eq!(hosts[0].driver.streams_open(), 0);
    (net.trace_hash(), net.now())
}

#[test]
fn one_seed_is_one_run() {
    assert_eq!(transfer(7), transfer(7));
    assert_ne!(transfer(7).0, transfer(8).0);
}

#[test]
fn a_partition_delays_and_loses_nothing() {
    let (net, mut simulation, mut hosts, stream) = connected(SimConfig { seed: 3, ..SimConfig::default() });
    hosts[0].driver.send(stream, Chunk::Owned(text(100_000)));
    assert_eq!(simulation.run(&mut hosts, |hosts| hosts[1].received.len() > 10_000), SimulationEnd::Reached);
    net.partition(SERVER, CLIENT);
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    assert!(hosts[1].received.len() < 100_000);
    net.heal(CLIENT, SERVER);
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    assert!(hosts[1].received == text(100_000));
}

#[test]
fn a_paused_host_takes_what_its_sockets_hold_and_no_more() {
    let config = SimConfig {
        seed: 5,
        send_buffer_bytes: 10_000,
        receive_buffer_bytes: 20_000,
        ..SimConfig::default()
    };
    let (net, mut simulation, mut hosts, stream) = connected(config);
    net.pause(SERVER);
    hosts[0].driver.send(stream, Chunk::Owned(text(100_000)));
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    assert_eq!(hosts[0].driver.unsent(stream), 70_000);
    net.resume(SERVER);
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    assert!(hosts[1].received == text(100_000));
}

#[test]
fn a_crash_resets_the_other_side_and_silences_the_host() {
    let (net, mut simulation, mut hosts, stream) = connected(SimConfig::default());
    hosts[0].driver.recv(stream);
    net.crash(SERVER);
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    assert_eq!(hosts[0].log, ["connected Ok(())".to_owned(), format!("failed {}", libc::ECONNRESET)]);
    let again = hosts[0].driver.connect(SERVICE, &StreamOptions::default()).unwrap();
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    assert_eq!(hosts[0].log[2], format!("connected {:?}", Err::<(), _>(Errno(libc::ECONNREFUSED))));
    hosts[0].driver.close(again, Close::Abort);
    hosts[1] = Host::new(net.host(SERVER));
    hosts[1].driver.listen(SERVICE, &ListenOptions::default()).unwrap();
    hosts[0].driver.connect(SERVICE, &StreamOptions::default()).unwrap();
    assert_eq!(simulation.run(&mut hosts, |hosts| hosts[1].accepted.len() == 1), SimulationEnd::Reached);
}

#[test]
fn connects_are_refused_or_time_out_as_told() {
    let net = SimNet::new(SimConfig::default());
    let mut hosts = [Host::new(net.host(CLIENT)), Host::new(net.host(SERVER))];
    hosts[1].driver.listen(SERVICE, &ListenOptions::default()).unwrap();
    let mut simulation = Simulation::new(net.clone(), 1000);
    net.refuse(SERVICE);
    hosts[0].driver.connect(SERVICE, &StreamOptions::default()).unwrap();
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    net.accept(SERVICE);
    net.blackhole(SERVER);
    hosts[0].driver.connect(SERVICE, &StreamOptions::default()).unwrap();
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    assert!(net.now() >= Instant::ZERO + SimConfig::default().connect_timeout);
    net.unblackhole(SERVER);
    hosts[0].driver.connect(SERVICE, &StreamOptions::default()).unwrap();
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    let result = |errno| format!("connected {:?}", Err::<(), _>(Errno(errno)));
    let expected = [result(libc::ECONNREFUSED), result(libc::ETIMEDOUT), "connected Ok(())".into()];
    assert_eq!(hosts[0].log, expected);
}

#[test]
fn a_full_backlog_lets_connects_wait() {
    let net = SimNet::new(SimConfig::default());
    let mut hosts = [Host::new(net.host(CLIENT)), Host::new(net.host(SERVER))];
    let options = ListenOptions { backlog: 2, ..ListenOptions::default() };
    hosts[1].driver.listen(SERVICE, &options).unwrap();
    for _ in 0..5 {
        hosts[0].driver.connect(SERVICE, &StreamOptions::default()).unwrap();
    }
    net.pause(SERVER);
    let mut simulation = Simulation::new(net.clone(), 1000);
    let two = simulation.run(&mut hosts, |hosts| hosts[0].log.len() == 2);
    assert_eq!(two, SimulationEnd::Reached);
    net.resume(SERVER);
    assert_eq!(simulation.run(&mut hosts, |hosts| hosts[1].accepted.len() == 5), SimulationEnd::Reached);
}

#[test]
fn a_reset_between_two_addresses_is_told_at_both_ends() {
    let (net, mut simulation, mut hosts, stream) = connected(SimConfig::default());
    hosts[0].driver.recv(stream);
    let local = hosts[0].driver.local_address(stream).unwrap();
    assert!(net.reset(local, SERVICE) && !net.reset(SERVICE, SERVICE));
    assert_eq!(simulation.run(&mut hosts, |_| false), SimulationEnd::Quiet);
    let failed = format!("failed {}", libc::ECONNRESET);
    assert_eq!((hosts[0].log.last(), hosts[1].log.last()), (Some(&failed), Some(&failed)));
}

#[test]
fn damaged_lost_and_doubled_datagrams_come_in_the_measure_asked_for() {
    let config = SimConfig {
        seed: 11,
        loss_per_mille: 100,
        duplicate_per_mille: 100,
        reorder_per_mille: 100,
        corrupt_per_mille: 100,
        ..SimConfig::default()
    };
    let net = SimNet::new(config);
    let (mut sender, mut receiver) = (net.host(CLIENT), net.host(SERVER));
    let from = sender.bind_datagram(SocketAddr::new(CLIENT, 0), &DatagramOptions::default()).unwrap();
    let to = receiver.bind_datagram(SERVICE, &DatagramOptions::default()).unwrap();
    assert_eq!(receiver.datagram_address(to), Some(SERVICE));
    let (mut total, mut intact, mut late, mut last) = (0, 0, 0, 0);
    let mut events = Vec::new();
    for burst in 0..20u32 {
        for number in burst * 50..(burst + 1) * 50 {
            let train = Train::owned([number.to_be_bytes(); 4].concat(), 16);
            sender.send_datagrams(from, SERVICE, train);
        }
        sender.turn(Some(Duration::ZERO), &mut Vec::new()).unwrap();
        while net.step() {
            receiver.turn(Some(Duration::ZERO), &mut events).unwrap();
        }
        for event in events.drain(..) {
            let Event::Datagrams { lease, segment, .. } = event else { panic!("{event:?}") };
            for datagram in receiver.bytes(&lease).chunks(segment as usize) {
                total += 1;
                let words: Vec<&[u8]> = datagram.chunks(4).collect();
                if words.iter().all(|word| *word == words[0]) {
                    intact += 1;
                    let number = u32::from_be_bytes(words[0].try_into().unwrap());
                    late += u32::from(number < last);
                    last = number;
                }
            }
            receiver.release(lease);
        }
    }
    assert!((930..1050).contains(&total), "{total}");
    assert!((50..200).contains(&(total - intact)), "{intact} of {total}");
    assert!(late > 10, "{late}");
    assert_eq!(receiver.buffers().lent(), 0);
}

#[test]
fn marks_of_congestion_come_in_the_measure_asked_for_and_only_to_the_capable() {
    let config = SimConfig { seed: 11, mark_per_mille: 250, ..SimConfig::default() };
    let net = SimNet::new(config);
    let (mut sender, mut receiver) = (net.host(CLIENT), net.host(SERVER));
    let options = DatagramOptions { ecn: true, ..DatagramOptions::default() };
    receiver.bind_datagram(SERVICE, &options).unwrap();
    let from = sender.bind_datagram(SocketAddr::new(CLIENT, 0), &options).unwrap();
    let mut marked = [0; 2];
    for round in 0..400 {
        let ecn = [Ecn::Capable0, Ecn::NotCapable][round % 2];
        sender.send_datagrams(from, SERVICE, Train { ecn: Some(ecn), ..Train::owned(vec![1; 10], 10) });
        let mut events = Vec::new();
        for _ in 0..4 {
            sender.turn(Some(std::time::Duration::ZERO), &mut Vec::new()).unwrap();
            receiver.turn(Some(std::time::Duration::ZERO), &mut events).unwrap();
            while net.step() {}
        }
        for event in events {
            let Event::Datagrams { ecn: got, lease, .. } = event else { continue };
            marked[round % 2] += usize::from(got == Ecn::Congested);
            receiver.release(lease);
            assert!(got == ecn || got == Ecn::Congested);
        }
    }
    assert!((30..=70).contains(&marked[0]) && marked[1] == 0, "{marked:?} of 200 each");
}
