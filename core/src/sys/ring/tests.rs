use super::*;
use crate::io::{Chunk, StreamId};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

const STREAM: StreamId = StreamId { index: 0, generation: 0 };

fn ring() -> Option<Ring> {
    ring_of(DriverConfig::default().submissions)
}

fn ring_of(submissions: u32) -> Option<Ring> {
    match Ring::new(&DriverConfig { streams_max: 16, submissions, ..DriverConfig::default() }) {
        Ok(ring) => Some(ring),
        Err(error) => {
            eprintln!("skipped: io_uring is not available ({error})");
            None
        }
    }
}

#[test]
fn a_send_keeps_its_bytes_until_it_has_ended() {
    let Some(mut ring) = ring() else { return };
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut flight = SendFlight::new();
    flight.chunks.push(Chunk::Owned(b"head ".to_vec()));
    flight.chunks.push(Chunk::Owned(b"body".to_vec()));
    ring.send(near.as_fd(), flight, Kind::Send(STREAM)).unwrap();
    ring.provide();
    far.set_nonblocking(true).unwrap();
    ring.recv_shared(far.as_fd(), Kind::Recv(STREAM)).unwrap();
    let mut done = Vec::new();
    for _ in 0..10 {
        ring.enter(Some(Duration::from_secs(1)), Duration::ZERO, &mut done).unwrap();
        if done.len() >= 2 {
            break;
        }
    }
    let sent = done.iter().find(|done| matches!(done.kind, Kind::Send(_))).unwrap();
    assert_eq!(sent.result, Ok(9));
    assert!(matches!(&sent.held, Held::Send(flight) if flight.chunks.len() == 2));
    let received = done.iter().find(|done| matches!(done.kind, Kind::Recv(_))).unwrap();
    assert_eq!(received.result, Ok(9));
    let number = received.buffer.unwrap();
    let filled = ring.filled(number).unwrap();
    let lease = ring.buffers_mut().lend(filled, 0, 9);
    assert_eq!(ring.buffers().bytes(&lease), b"head body");
    ring.buffers_mut().release(lease);
}

#[test]
fn dropping_a_ring_ends_what_is_in_flight() {
    let Some(mut ring) = ring() else { return };
    let (near, _far) = UnixStream::pair().unwrap();
    ring.recv_block(near.as_fd(), 4096, true, Kind::RecvBlock(STREAM)).unwrap();
    let mut done = Vec::new();
    ring.enter(Some(Duration::ZERO), Duration::ZERO, &mut done).unwrap();
    assert_eq!(ring.in_flight(), 1);
    drop(ring);
}

#[test]
fn a_cancelled_receive_comes_back_with_its_block() {
    let Some(mut ring) = ring() else { return };
    let (near, _far) = UnixStream::pair().unwrap();
    let op = ring.recv_block(near.as_fd(), 4096, false, Kind::RecvBlock(STREAM)).unwrap();
    let mut done = Vec::new();
    ring.enter(Some(Duration::ZERO), Duration::ZERO, &mut done).unwrap();
    ring.cancel(op);
    ring.enter(Some(Duration::from_secs(1)), Duration::ZERO, &mut done).unwrap();
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].result, Err(Errno(libc::ECANCELED)));
    assert!(matches!(done[0].held, Held::Block(_)));
    assert_eq!(ring.in_flight(), 0);
}

#[test]
fn the_event_descriptor_wakes_who_sleeps_on_it() {
    let Some(mut ring) = ring() else { return };
    let (near, far) = UnixStream::pair().unwrap();
    ring.provide();
    ring.recv_shared(near.as_fd(), Kind::Recv(STREAM)).unwrap();
    let event = ring.event_fd().unwrap().try_clone_to_owned().unwrap();
    let mut done = Vec::new();
    for round in 0..3 {
        ring.enter(Some(Duration::ZERO), Duration::ZERO, &mut done).unwrap();
        ring.enter(Some(Duration::ZERO), Duration::ZERO, &mut done).unwrap();
        assert!(done.is_empty(), "round {round}");
        let mut far = far.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            std::io::Write::write_all(&mut far, b"x").unwrap();
        });
        let mut waits = [rustix::event::PollFd::new(&event, rustix::event::PollFlags::IN)];
        let timeout = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
        // A signal of the kernel's to do work may interrupt; waiting on is what a loop does.
        while rustix::event::poll(&mut waits, Some(&timeout)) == Err(rustix::io::Errno::INTR) {}
        assert!(waits[0].revents().contains(rustix::event::PollFlags::IN), "round {round}: nobody was woken");
        writer.join().unwrap();
        ring.enter(Some(Duration::from_secs(1)), Duration::ZERO, &mut done).unwrap();
        assert_eq!(done.len(), 1, "round {round}");
        for done in done.drain(..) {
            let filled = ring.filled(done.buffer.unwrap()).unwrap();
            ring.buffers_mut().put_back(filled);
        }
    }
}

#[test]
fn a_full_queue_that_cannot_be_submitted_refuses_and_gives_back() {
    let Some(mut ring) = ring_of(64) else { return };
    if !ring.features().defer_taskrun {
        eprintln!("skipped: without a single issuer any thread may submit");
        return;
    }
    let mut done = Vec::new();
    ring.enter(Some(Duration::ZERO), Duration::ZERO, &mut done).unwrap();
    let other = std::thread::spawn(move || {
        let (near, _far) = UnixStream::pair().unwrap();
        let mut started = 0;
        let error = loop {
            match ring.recv_block(near.as_fd(), 4096, true, Kind::RecvBlock(STREAM)) {
                Ok(_) => started += 1,
                Err(error) => break error,
            }
            assert!(started <= 64, "the queue is full by now");
        };
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        assert_eq!((started, ring.in_flight()), (64, 64));
        assert_eq!(ring.buffers().block_bytes(), 65 * 4096, "the last block is idle");
        assert!(ring.buffers().has_block(4096));
        ring.seal();
        drop(near);
    });
    other.join().unwrap();
}

#[test]
fn what_finds_no_room_to_be_closed_is_closed_all_the_same() {
    let Some(mut ring) = ring_of(64) else { return };
    let mut done = Vec::new();
    ring.enter(Some(Duration::ZERO), Duration::ZERO, &mut done).unwrap();
    let mut fars = Vec::new();
    let other = std::thread::spawn(move || {
        for _ in 0..100 {
            let (near, far) = UnixStream::pair().unwrap();
            ring.close(near.into());
            fars.push(far);
        }
        ring.seal();
        drop(ring);
        fars
    });
    for mut far in other.join().unwrap() {
        far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(std::io::Read::read(&mut far, &mut [0; 1]).unwrap(), 0, "the near end is closed");
    }
}

#[test]
fn a_large_send_tells_what_the_socket_took_and_a_small_one_is_sent_whole() {
    let Some(mut ring) = ring() else { return };
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut done = Vec::new();
    let mut left = 0;
    // Nobody reads: the large one must come back all the same, the small one must not.
    for len in [4 << 20, WHOLE_BYTES_MAX] {
        let mut flight = SendFlight::new();
        flight.chunks.push(Chunk::Owned(vec![7; len]));
        flight.len = len;
        ring.send(near.as_fd(), flight, Kind::Send(STREAM)).unwrap();
        ring.enter(Some(Duration::from_millis(100)), Duration::ZERO, &mut done).unwrap();
        for done in done.drain(..) {
            assert_eq!(len, 4 << 20, "the socket is full");
            let count = done.result.unwrap() as usize;
            assert!(count > 0 && count < len, "{count} of {len}");
            left += count;
        }
    }
    assert!(left > 0, "the large one has come back");
    far.set_nonblocking(true).unwrap();
    let mut bytes = vec![0; 64 << 10];
    for _ in 0..10_000 {
        while std::io::Read::read(&mut far, &mut bytes).is_ok_and(|count| count > 0) {}
        ring.enter(Some(Duration::from_millis(5)), Duration::ZERO, &mut done).unwrap();
        if !done.is_empty() {
            break;
        }
    }
    assert_eq!(done[0].result, Ok(WHOLE_BYTES_MAX as u32));
}
