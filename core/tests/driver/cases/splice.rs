//! Splices: `left` has both far ends; `right` moves bytes from the first stream to the second.

use crate::world::{Make, World, small, text};
use clustercore::io::{Close, SpliceEnd, StreamId};

/// The far end of a connection, at `left`, and the near end, at `right`.
type Ends = (StreamId, StreamId);

/// Two connections, that of the source and that of the target. `None` when splices are masked: then they are refused.
fn stage(make: &Make) -> Option<(World, Ends, Ends)> {
    let mut world = make(small());
    let (_, address) = world.listen();
    let source = world.connect(address);
    let target = world.connect(address);
    if world.right.driver.features().splice {
        return Some((world, source, target));
    }
    assert!(!world.right.driver.splice(source.1, target.1, 10), "what is masked is refused");
    world.finish();
    None
}

pub fn splice_exact_length(make: &Make) {
    let Some((mut world, source, target)) = stage(make) else { return };
    let whole = text(9, 400_000);
    world.left.send(source.0, &whole);
    world.left.recv(target.0);
    assert!(world.right.driver.splice(source.1, target.1, 300_000));
    world.until(|world| !world.right.spliced.is_empty());
    assert_eq!(world.right.spliced, [(source.1, target.1, 300_000, SpliceEnd::Done)]);
    world.until(|world| world.left.seen(target.0).data.len() == 300_000);
    // The rest is still there, and both streams are as before.
    world.right.recv(source.1);
    world.right.send(target.1, b"behind");
    world.until(|world| world.right.seen(source.1).data.len() == 100_000);
    world.until(|world| world.left.seen(target.0).data.len() == 300_006);
    assert!(world.right.seen(source.1).data == whole[300_000..]);
    assert!(world.left.seen(target.0).data[..300_000] == whole[..300_000]);
    assert_eq!(&world.left.seen(target.0).data[300_000..], b"behind");
    // And once more, with the pipe used before.
    world.right.recv_stop(source.1);
    world.until(|world| world.right.seen(source.1).stopped == 1);
    assert!(world.right.driver.splice(source.1, target.1, 5));
    world.left.send(source.0, b"again");
    world.until(|world| world.left.seen(target.0).data.ends_with(b"behindagain"));
    world.finish();
}

pub fn splice_until_the_end(make: &Make) {
    let Some((mut world, source, target)) = stage(make) else { return };
    let whole = text(10, 500_000);
    assert!(world.right.driver.splice(source.1, target.1, u64::MAX));
    world.left.recv(target.0);
    world.left.send(source.0, &whole);
    world.until(|world| world.left.seen(target.0).data.len() == whole.len());
    assert_eq!(world.right.driver.spliced(source.1), whole.len() as u64);
    world.left.driver.shutdown(source.0);
    world.until(|world| !world.right.spliced.is_empty());
    let moved = whole.len() as u64;
    assert_eq!(world.right.spliced, [(source.1, target.1, moved, SpliceEnd::SourceEnd)]);
    assert!(world.left.seen(target.0).data == whole);
    // Both still carry the other direction.
    world.right.send(source.1, b"back");
    world.left.recv(source.0);
    world.until(|world| world.left.seen(source.0).data == b"back");
    world.finish();
}

pub fn splice_source_fails(make: &Make) {
    let Some((mut world, source, target)) = stage(make) else { return };
    assert!(world.right.driver.splice(source.1, target.1, u64::MAX));
    world.left.recv(target.0);
    world.left.send(source.0, b"cut off");
    world.until(|world| world.left.seen(target.0).data == b"cut off");
    world.left.close(source.0, Close::Abort);
    world.until(|world| !world.right.spliced.is_empty());
    let (_, _, moved, end) = world.right.spliced[0];
    assert!(matches!(end, SpliceEnd::SourceFailed(_)), "{end:?}");
    assert_eq!(moved, 7);
    world.finish();
}

pub fn splice_target_fails(make: &Make) {
    let Some((mut world, source, target)) = stage(make) else { return };
    assert!(world.right.driver.splice(source.1, target.1, u64::MAX));
    world.left.close(target.0, Close::Abort);
    world.settle();
    world.until(|world| {
        if world.left.driver.unsent(source.0) == 0 {
            world.left.send(source.0, &text(11, 10_000));
        }
        !world.right.spliced.is_empty()
    });
    let (_, _, _, end) = world.right.spliced[0];
    assert!(matches!(end, SpliceEnd::TargetFailed(_)), "{end:?}");
    world.finish();
}

pub fn splice_to_a_slow_target(make: &Make) {
    let Some((mut world, source, target)) = stage(make) else { return };
    let whole = text(12, world.more_than_sockets_hold() * 2);
    assert!(world.right.driver.splice(source.1, target.1, whole.len() as u64));
    for part in whole.chunks(60_000) {
        world.left.send(source.0, part);
    }
    world.settle();
    assert!(world.left.driver.unsent(source.0) > 0, "the target holds the source back");
    assert!(world.right.spliced.is_empty());
    let moved = world.right.driver.spliced(source.1);
    assert!(moved > 0 && moved < whole.len() as u64);
    world.left.recv(target.0);
    world.until(|world| world.left.seen(target.0).data.len() == whole.len());
    assert!(world.left.seen(target.0).data == whole);
    world.until(|world| world.right.spliced.len() == 1);
    assert_eq!(world.right.spliced[0].3, SpliceEnd::Done);
    world.finish();
}

pub fn splice_is_refused_when_not_free(make: &Make) {
    let Some((mut world, source, target)) = stage(make) else { return };
    world.right.send(target.1, b"queued");
    assert!(!world.right.driver.splice(source.1, target.1, 10), "the target has something queued");
    world.until(|world| world.right.driver.unsent(target.1) == 0);
    world.right.recv(source.1);
    assert!(!world.right.driver.splice(source.1, target.1, 10), "the source is receiving");
    world.right.recv_stop(source.1);
    world.until(|world| world.right.seen(source.1).stopped == 1);
    assert!(world.right.driver.splice(source.1, target.1, 10));
    assert!(!world.right.driver.splice(source.1, target.1, 10), "one splice at a time");
    world.finish();
}

pub fn close_ends_a_splice(make: &Make) {
    let Some((mut world, source, target)) = stage(make) else { return };
    world.left.recv(target.0);
    assert!(world.right.driver.splice(source.1, target.1, u64::MAX));
    world.left.send(source.0, b"through");
    world.until(|world| world.left.seen(target.0).data == b"through");
    world.right.close(source.1, Close::Abort);
    world.settle();
    assert!(world.right.spliced.is_empty(), "no event of a closed stream");
    // The target is free again.
    world.right.send(target.1, b" and on");
    world.until(|world| world.left.seen(target.0).data == b"through and on");
    world.finish();
}
