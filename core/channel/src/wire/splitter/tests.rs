use super::*;
use crate::wire::Frame;

#[test]
fn frames_come_whole_however_the_bytes_are_cut() {
    let mut stream = Vec::new();
    let words = ["", "a", "some more words", "b"];
    words.iter().for_each(|message| Frame::Bye { message }.put(&mut stream));
    for step in 1..stream.len() {
        let mut splitter = Splitter::new(100);
        let mut got = Vec::new();
        for part in stream.chunks(step) {
            let each = &mut |frame: &[u8]| match Frame::parse(frame) {
                Ok(Frame::Bye { message }) => {
                    got.push(message.to_owned());
                    true
                }
                other => panic!("{other:?}"),
            };
            splitter.feed(part, each).unwrap();
        }
        assert_eq!((got, splitter.waiting()), (words.map(str::to_owned).to_vec(), 0), "step {step}");
    }
}

#[test]
fn a_frame_that_is_too_long_is_refused_before_it_is_kept() {
    let mut splitter = Splitter::new(10);
    let long = 11u32.to_le_bytes();
    let none = &mut |_: &[u8]| panic!("there is no whole frame");
    assert_eq!(splitter.feed(&long[..3], none), Ok(()));
    assert_eq!(splitter.feed(&long[3..], none), Err(FrameError::TooLong { len: 11, max: 10 }));
}
