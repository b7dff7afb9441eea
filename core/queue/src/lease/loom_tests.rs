//! Every interleaving of takes and returns: no buffer is lent twice, and no use of it overlaps the next.

use loom::thread;

use super::*;

#[test]
fn buffer_is_lent_to_one_at_a_time() {
    loom::model(|| {
        let pool = Pool::new(1, 1);
        let other = pool.clone();
        let count_up = |pool: &Pool| {
            pool.take().is_some_and(|mut lease| {
                lease.as_mut_slice().unwrap()[0] += 1;
                true
            })
        };
        let thread = thread::spawn(move || count_up(&other));
        let ours = count_up(&pool);
        let theirs = thread.join().unwrap();
        assert_eq!(pool.take().unwrap()[0], u8::from(ours) + u8::from(theirs));
        assert!(ours || theirs);
    });
}

#[test]
fn stack_survives_crossing_takes_and_returns() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let pool = Pool::new(2, 1);
        let other = pool.clone();
        let thread = thread::spawn(move || {
            let first = other.take();
            let second = other.take();
            drop(first);
            let again = other.take();
            drop((second, again));
        });
        if let Some(mut lease) = pool.take() {
            lease.as_mut_slice().unwrap()[0] = 1;
        }
        thread.join().unwrap();
        let both = (pool.take().unwrap(), pool.take().unwrap());
        assert_ne!(both.0.index(), both.1.index());
        assert!(pool.take().is_none());
    });
}

#[test]
fn write_after_the_last_reader_left() {
    loom::model(|| {
        let pool = Pool::new(1, 1);
        let mut lease = pool.take().unwrap();
        let reader = lease.clone();
        let thread = thread::spawn(move || assert_eq!(reader[0], 0));
        // While the reader is there this says `None`; when it is gone its read comes before our write.
        if let Some(bytes) = lease.as_mut_slice() {
            bytes[0] = 1;
        }
        thread.join().unwrap();
    });
}

#[test]
fn last_of_two_returns_the_buffer() {
    loom::model(|| {
        let pool = Pool::new(1, 2);
        let (left, right) = pool.take().unwrap().split(1);
        let thread = thread::spawn(move || {
            assert_eq!(left[0], 0);
            drop(left);
        });
        assert_eq!(right[0], 0);
        drop(right);
        // If both are gone already, the buffer is ours to write; loom objects if a read may come later.
        if let Some(mut lease) = pool.take() {
            lease.as_mut_slice().unwrap()[0] = 1;
        }
        thread.join().unwrap();
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn memory_goes_with_the_last_of_pool_and_leases() {
    loom::model(|| {
        let pool = Pool::new(1, 1);
        let lease = pool.take().unwrap();
        let thread = thread::spawn(move || drop(lease));
        drop(pool);
        thread.join().unwrap();
    });
}
