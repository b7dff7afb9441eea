//! Reading from the front of bytes that came from a socket.

use super::varint;

/// Bytes that are not what they should be: too short, or a number beyond its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// Takes values off the front of a slice. Each call fails with [`Malformed`] when the bytes are used up.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, the lower first.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Eight bytes, the lowest first.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of variable length.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let (value, len) = varint::get(self.rest).ok_or(Malformed)?;
        self.rest = &self.rest[len..];
        Ok(value)
    }

    /// A number of variable length that fits 32 bits.
    #[inline]
    pub fn varint_u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_in_turn_and_the_end_is_an_error() {
        let mut reader = Reader::new(&[7, 1, 2, 0x80, 1, 9, 9]);
        assert_eq!(reader.u8(), Ok(7));
        assert_eq!(reader.u16(), Ok(0x0201));
        assert_eq!(reader.varint(), Ok(128));
        assert_eq!(reader.u64(), Err(Malformed));
        assert_eq!(reader.bytes(3), Err(Malformed));
        assert_eq!(reader.bytes(2), Ok(&[9, 9][..]));
        assert!(reader.is_empty());
        assert_eq!(reader.u8(), Err(Malformed));
    }

    #[test]
    fn a_number_beyond_32_bits_is_refused_where_32_are_meant() {
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).varint_u32(), Ok(u32::MAX));
        assert_eq!(Reader::new(&[0x80, 0x80, 0x80, 0x80, 0x10]).varint_u32(), Err(Malformed));
    }
}
