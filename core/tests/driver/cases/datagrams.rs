//! Datagrams, one by one and in trains.

use crate::world::{Make, small, text};

pub fn datagrams_come_in_order(make: &Make) {
    let mut world = make(small());
    let (to, address) = world.right.bind_datagram(world.right_address());
    let (from, back) = world.left.bind_datagram(world.left_address());
    world.settle();
    for number in 0..50u8 {
        world.left.driver.send_datagrams(from, address, vec![number; 1 + usize::from(number)], 100);
    }
    world.until(|world| world.right.datagrams.len() == 50);
    for (number, datagram) in world.right.datagrams.iter().enumerate() {
        assert_eq!(datagram, &vec![number as u8; 1 + number]);
    }
    world.right.driver.send_datagrams(to, back, b"answer".to_vec(), 100);
    world.until(|world| world.left.datagrams == [b"answer"]);
    world.finish();
}

pub fn trains_of_large_segments(make: &Make) {
    let mut world = make(small());
    let (_, address) = world.right.bind_datagram(world.right_address());
    let (from, _) = world.left.bind_datagram(world.left_address());
    world.settle();
    // Forty whole ones and a shorter one, twice over.
    let train = text(13, 40 * 1200 + 77);
    for round in 1..=2 {
        world.left.driver.send_datagrams(from, address, train.clone(), 1200);
        world.until(|world| world.right.datagrams.len() == 41 * round);
    }
    let sizes: Vec<usize> = world.right.datagrams.iter().map(Vec::len).collect();
    assert!(sizes[..40].iter().all(|size| *size == 1200) && sizes[40] == 77, "{sizes:?}");
    assert!(world.right.datagrams.concat() == [train.clone(), train].concat());
    world.finish();
}

pub fn a_closed_datagram_socket_is_silent(make: &Make) {
    let mut world = make(small());
    let (to, address) = world.right.bind_datagram(world.right_address());
    let (from, _) = world.left.bind_datagram(world.left_address());
    world.left.driver.send_datagrams(from, address, b"heard".to_vec(), 100);
    world.until(|world| world.right.datagrams.len() == 1);
    world.right.driver.close_datagram(to);
    world.right.driver.send_datagrams(to, address, b"from nowhere".to_vec(), 100);
    assert_eq!(world.right.driver.datagram_address(to), None);
    world.settle();
    world.left.driver.send_datagrams(from, address, b"not heard".to_vec(), 100);
    world.settle();
    assert_eq!(world.right.datagrams.len(), 1);
    let (again, _) = world.right.bind_datagram(address);
    assert_ne!(again, to, "a number is not used again");
    world.finish();
}
