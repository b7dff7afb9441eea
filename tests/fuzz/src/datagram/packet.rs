//! What holds for every packet; see [`check`].

use clustercore_proto::datagram::{DataHeader, Frame, Frames, HEADER_BYTES, Long, messages};

const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// Reads a packet with and without a right check, and all of its frames. True when all of it could be read.
pub fn check(input: &[u8]) -> bool {
    let _ = Long::read(input, |bytes| CRC.checksum(bytes));
    if DataHeader::read(input).is_some() {
        return check_frames(&input[HEADER_BYTES..]);
    }
    // The same with a check that is right, and back.
    let mut packet = input.to_vec();
    packet.extend_from_slice(&CRC.checksum(input).to_le_bytes());
    let Ok(long) = Long::read(&packet, |bytes| CRC.checksum(bytes)) else { return false };
    assert!(Long::is_one(&packet) && DataHeader::read(&packet).is_none());
    let mut again = Vec::new();
    long.write(|bytes| CRC.checksum(bytes), &mut again);
    assert_eq!(Long::read(&again, |bytes| CRC.checksum(bytes)).as_ref(), Ok(&long));
    true
}

fn check_frames(bytes: &[u8]) -> bool {
    let mut frames = Frames::new(bytes);
    loop {
        let before = frames.rest_len();
        match frames.next_frame() {
            Ok(Some(frame)) => check_frame(&frame, before),
            Ok(None) => {
                assert_eq!(frames.rest_len(), 0);
                return true;
            }
            Err(_) => return false,
        }
        assert!(frames.rest_len() < before, "each frame takes a byte at least");
    }
}

fn check_frame(frame: &Frame<'_>, room: usize) {
    match frame {
        Frame::Acknowledgement(frame) => {
            let (mut below, mut count) = (frame.largest + 2, 0);
            for (start, end) in frame.ranges() {
                assert!(start <= end && end + 1 < below, "ranges descend and do not touch");
                below = start;
                count += 1;
            }
            assert!(count > 0 && count <= room);
        }
        Frame::Messages(frame) => {
            let lens: Vec<usize> = messages(frame.content).map(<[u8]>::len).collect();
            assert_eq!(lens.len(), frame.count as usize);
            assert_eq!(lens.iter().sum::<usize>(), frame.payload_bytes);
            assert_eq!(lens.iter().max(), Some(&frame.longest));
        }
        Frame::Fragment(frame) => assert!(frame.offset + frame.bytes.len() as u64 <= frame.total),
        Frame::Unreliable(_, content) => {
            let taken: usize = messages(content).map(|message| message.len() + 1).sum();
            assert!(taken <= content.len());
        }
        _ => {}
    }
}
