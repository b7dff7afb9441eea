//! Chunked bodies, followed strictly and without changing a byte.
//!
//! Refused beside what is plainly malformed: bare LF, white space around the size and in extensions, sizes
//! above 16 digits, extensions above their bounds, and trailers that would change framing, routing or
//! identity after the fact. RFC 9112, 7.1.1 wants white space around extensions to be removed; bytes are
//! passed on as they are here, so it is refused instead.

use core::ops::Range;

use super::field::Field;
use super::limits::{CHUNK_EXTENSION_BYTES_MAX, CHUNK_EXTENSIONS_BYTES_MAX, HeadLimits};
use super::line::{is_tchar, is_value_byte};

/// Follows a chunked body from its first size line to the empty line after its trailers.
#[derive(Clone, Debug)]
pub struct ChunkScanner {
    state: State,
    /// Data bytes of this chunk that are still to come; while a size line is read, the size so far.
    size: u64,
    size_digits: u8,
    extension_bytes: u32,
    extensions_bytes: u32,
    trailer_bytes: u32,
    trailer_bytes_max: u32,
    trailers: u32,
    trailers_max: u32,
    /// The start of the trailer name being read, folded to lower case; longer ones are none of the forbidden.
    name: [u8; NAME_LEN_MAX],
    name_len: u8,
}

/// What a scan has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scan {
    /// Bytes of the input that belong to the body: all of it unless `done`.
    pub consumed: usize,
    /// Whether the body has ended.
    pub done: bool,
}

/// One step through a body of which only the data is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkData {
    /// Bytes of the input that belong to the body, up to the end of `data`.
    pub consumed: usize,
    /// Where in the input the data is; empty when the rest of the input has none.
    pub data: Range<usize>,
    /// Whether the body has ended.
    pub done: bool,
}

/// What is wrong with a chunked body. The connection cannot be used any further.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChunkError {
    /// Not a hexadecimal number where a size belongs.
    Size,
    /// A size above 16 digits.
    SizeOverflow,
    /// A malformed extension.
    Extension,
    /// Extensions above [`CHUNK_EXTENSION_BYTES_MAX`] or [`CHUNK_EXTENSIONS_BYTES_MAX`].
    ExtensionTooLarge,
    /// A CR without LF or a LF without CR.
    BareLineEnd,
    /// The data of a chunk is not followed by its line end: it is longer than its size.
    DataEnd,
    /// A malformed trailer.
    Trailer,
    /// A trailer that must not be one, such as `Content-Length` or `Host`.
    TrailerForbidden,
    /// The trailers are above `head_bytes_max` or `headers_max`.
    TrailersTooLarge,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Size,
    ExtensionName,
    /// `first`: no byte of the value was seen yet.
    ExtensionValue {
        first: bool,
    },
    ExtensionQuoted,
    ExtensionEscape,
    ExtensionEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    FinalLf,
    Done,
}

impl ChunkScanner {
    /// At the start of a body. Trailers have the bounds of a head.
    pub fn new(limits: &HeadLimits) -> ChunkScanner {
        ChunkScanner {
            state: State::Size,
            size: 0,
            size_digits: 0,
            extension_bytes: 0,
            extensions_bytes: 0,
            trailer_bytes: 0,
            trailer_bytes_max: u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX),
            trailers: 0,
            trailers_max: limits.fields_max() as u32,
            name: [0; NAME_LEN_MAX],
            name_len: 0,
        }
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Goes through `input`, the bytes that follow those of the calls before, up to the end of the body.
    ///
    /// Errors: see [`ChunkError`]. How much of the input was good is not told: the message is broken.
    pub fn scan(&mut self, input: &[u8]) -> Result<Scan, ChunkError> {
        let mut consumed = 0;
        loop {
            let step = self.next_data(&input[consumed..])?;
            consumed += step.consumed;
            if step.done || consumed == input.len() {
                return Ok(Scan { consumed, done: step.done });
            }
        }
    }

    /// Goes through `input` up to the end of the next piece of data; call again with what is left of it.
    ///
    /// Errors: as [`scan`](Self::scan).
    pub fn next_data(&mut self, input: &[u8]) -> Result<ChunkData, ChunkError> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let len = usize::try_from(self.size).unwrap_or(usize::MAX).min(input.len() - at);
                self.skip_data(len as u64);
                return Ok(ChunkData { consumed: at + len, data: at..at + len, done: false });
            }
            self.state = self.step(input[at])?;
            at += 1;
        }
        Ok(ChunkData { consumed: at, data: at..at, done: self.is_done() })
    }

    /// Data bytes of the present chunk that are still to come: they may be moved unseen and then told to
    /// [`skip_data`](Self::skip_data).
    pub fn data_remaining(&self) -> u64 {
        if self.state == State::Data { self.size } else { 0 }
    }

    /// Counts data bytes that were moved unseen; at most [`data_remaining`](Self::data_remaining).
    pub fn skip_data(&mut self, len: u64) {
        assert!(len <= self.data_remaining(), "skipped {len} bytes of {}", self.data_remaining());
        self.size -= len;
        if self.size == 0 && self.state == State::Data {
            self.state = State::DataCr;
        }
    }

    fn step(&mut self, byte: u8) -> Result<State, ChunkError> {
        match self.state {
            State::Size => self.size_byte(byte),
            State::ExtensionName
            | State::ExtensionValue { .. }
            | State::ExtensionQuoted
            | State::ExtensionEscape
            | State::ExtensionEnd => self.extension_byte(byte),
            State::SizeLf if byte == b'\n' => Ok(self.end_size_line()),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataCr => Err(ChunkError::DataEnd),
            State::DataLf if byte == b'\n' => {
                (self.size, self.size_digits) = (0, 0);
                Ok(State::Size)
            }
            State::TrailerStart | State::TrailerName | State::TrailerValue => self.trailer_byte(byte),
            State::TrailerLf if byte == b'\n' => {
                self.name_len = 0;
                Ok(State::TrailerStart)
            }
            State::FinalLf if byte == b'\n' => Ok(State::Done),
            State::SizeLf | State::DataLf | State::TrailerLf | State::FinalLf => Err(ChunkError::BareLineEnd),
            // `next_data` handles these without stepping.
            State::Data | State::Done => Ok(self.state),
        }
    }

    fn size_byte(&mut self, byte: u8) -> Result<State, ChunkError> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            // Zeros in front count too: a size line has a bounded length.
            if self.size_digits == SIZE_DIGITS_MAX {
                return Err(ChunkError::SizeOverflow);
            }
            self.size = (self.size << 4) | u64::from(digit);
            self.size_digits += 1;
            return Ok(State::Size);
        }
        match byte {
            _ if self.size_digits == 0 => Err(ChunkError::Size),
            b'\r' => Ok(State::SizeLf),
            b'\n' => Err(ChunkError::BareLineEnd),
            b';' => {
                self.extension_bytes = 0;
                self.count_extension()?;
                self.name_len = 0;
                Ok(State::ExtensionName)
            }
            _ => Err(ChunkError::Size),
        }
    }

    /// `*( ";" name [ "=" ( token / quoted-string ) ] )`, the first semicolon already read.
    fn extension_byte(&mut self, byte: u8) -> Result<State, ChunkError> {
        if byte == b'\n' {
            return Err(ChunkError::BareLineEnd);
        }
        if byte != b'\r' {
            self.count_extension()?;
        }
        match (self.state, byte) {
            (State::ExtensionName, _) if is_tchar(byte) => {
                self.name_len = 1;
                Ok(State::ExtensionName)
            }
            (State::ExtensionName, b'=') if self.name_len > 0 => Ok(State::ExtensionValue { first: true }),
            (State::ExtensionValue { first: true }, b'"') => Ok(State::ExtensionQuoted),
            (State::ExtensionValue { .. }, _) if is_tchar(byte) => Ok(State::ExtensionValue { first: false }),
            (State::ExtensionQuoted, b'"') => Ok(State::ExtensionEnd),
            (State::ExtensionQuoted, b'\\') => Ok(State::ExtensionEscape),
            (State::ExtensionQuoted | State::ExtensionEscape, _) if is_value_byte(byte) => {
                Ok(State::ExtensionQuoted)
            }
            (State::ExtensionName, b';' | b'\r') if self.name_len == 0 => Err(ChunkError::Extension),
            (State::ExtensionName | State::ExtensionValue { first: false } | State::ExtensionEnd, b';') => {
                self.name_len = 0;
                Ok(State::ExtensionName)
            }
            (State::ExtensionName | State::ExtensionValue { first: false } | State::ExtensionEnd, b'\r') => {
                Ok(State::SizeLf)
            }
            _ => Err(ChunkError::Extension),
        }
    }

    fn count_extension(&mut self) -> Result<(), ChunkError> {
        self.extension_bytes += 1;
        self.extensions_bytes += 1;
        let fits = self.extension_bytes <= CHUNK_EXTENSION_BYTES_MAX
            && self.extensions_bytes <= CHUNK_EXTENSIONS_BYTES_MAX;
        if fits { Ok(()) } else { Err(ChunkError::ExtensionTooLarge) }
    }

    fn end_size_line(&mut self) -> State {
        self.name_len = 0;
        if self.size == 0 { State::TrailerStart } else { State::Data }
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > self.trailer_bytes_max {
            return Err(ChunkError::TrailersTooLarge);
        }
        match (self.state, byte) {
            (State::TrailerStart, b'\r') => Ok(State::FinalLf),
            (State::TrailerStart, _) if is_tchar(byte) => {
                self.trailers += 1;
                if self.trailers > self.trailers_max {
                    return Err(ChunkError::TrailersTooLarge);
                }
                self.name_byte(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerName, _) if is_tchar(byte) => {
                self.name_byte(byte);
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') if self.name_is_forbidden() => Err(ChunkError::TrailerForbidden),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_value_byte(byte) => Ok(State::TrailerValue),
            (_, b'\n') => Err(ChunkError::BareLineEnd),
            _ => Err(ChunkError::Trailer),
        }
    }

    /// Keeps the byte in lower case, and `_` as `-`: both spellings become one name in some servers.
    fn name_byte(&mut self, byte: u8) {
        if let Some(slot) = self.name.get_mut(usize::from(self.name_len)) {
            *slot = if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
            self.name_len += 1;
        }
    }

    /// Source: RFC 9110, 6.5.1: nothing for framing, routing, authentication, request modifiers, response control
    /// or the reading of the content.
    fn name_is_forbidden(&self) -> bool {
        let name = &self.name[..usize::from(self.name_len)];
        Field::from_name(name) != Field::Other || TRAILERS_FORBIDDEN.contains(&name)
    }
}

/// In lower case, besides all that [`Field`] knows.
const TRAILERS_FORBIDDEN: &[&[u8]] = &[
    b"authorization",
    b"proxy-authorization",
    b"proxy-authenticate",
    b"www-authenticate",
    b"cookie",
    b"set-cookie",
    b"cache-control",
    b"content-encoding",
    b"content-range",
    b"content-type",
    b"range",
    b"location",
    b"if-match",
    b"if-none-match",
    b"if-modified-since",
    b"if-unmodified-since",
    b"if-range",
];

/// One above the longest forbidden name (`proxy-authorization`, `if-unmodified-since`).
const NAME_LEN_MAX: usize = 20;

/// Digits of a size: what fits 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;
