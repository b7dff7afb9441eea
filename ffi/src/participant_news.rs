//! What a participant of event channels is told beside events.

use crate::clc_status;
use crate::participant::clc_participant;
use crate::status::{boundary, null};
use crate::text::c_string;
use clustercore::channel::engine::participant::News;
use clustercore::channel::engine::wire::Code as Refusal;
use std::ffi::{CString, c_char};

/// What happened.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_participant_news_kind {
    /// The server knows us: `text` is our name there.
    Welcome = 0,
    /// The event `number` of `handle` was not taken and is not sent again: `refusal`, `text`.
    Refused = 1,
    /// `count` events of `handle` from `number` on are on disk.
    Confirmed = 2,
    /// The event `number` of `handle` was taken and will not be kept: `refusal`.
    Lost = 3,
    /// The consumer `handle` has pulled and found nothing; now it finds something.
    Readable = 4,
    /// The server asks the supplier `handle` for `count` events at most.
    Wanted = 5,
    /// `handle` could not be had, or is gone: `text`.
    Gone = 6,
    /// The server ends the connection: `text`.
    Bye = 7,
}

/// Why an event is not taken.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum clc_channel_refusal {
    /// It is taken.
    None = 0,
    /// The proxy is not there.
    NoSuchProxy = 1,
    /// The proxy is suspended.
    Suspended = 2,
    /// The supplier's buffer is full.
    BufferFull = 3,
    /// The channel is full.
    ChannelFull = 4,
    /// It is too large.
    TooLarge = 5,
    /// It is being taken.
    InProgress = 6,
    /// It cannot be written to disk.
    NotWritten = 7,
    /// It breaks the server's limits.
    Invalid = 8,
    /// One before it was refused.
    Behind = 9,
}

/// Something that a participant should know. What `kind` does not name is 0 or "".
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clc_participant_news {
    /// The supplier or consumer.
    pub handle: u64,
    /// An event's number: those that clc_participant_emit takes for a handle are counted from 0 on.
    pub number: u64,
    /// How many.
    pub count: u64,
    /// Words, NUL-terminated; lent until the next clc_participant_news_take.
    pub text: *const c_char,
    /// A clc_participant_news_kind. Kinds are added over time: ignore those that you do not know.
    pub kind: u32,
    /// A clc_channel_refusal.
    pub refusal: u32,
    /// 0.
    pub reserved: [u64; 2],
}

/// Takes the news that have come, at most `capacity` of them. Call it after each turn, and again while it fills the array.
///
/// Errors: NULL_ARGUMENT, WRONG_THREAD, FORKED. The participant's thread may call this.
///
/// # Safety
/// `participant` is NULL or a live participant; `news_out` is NULL or has room for `capacity` of them; `news_len_out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clc_participant_news_take(
    participant: *mut clc_participant,
    news_out: *mut clc_participant_news,
    capacity: usize,
    news_len_out: *mut usize,
) -> clc_status {
    boundary(|| {
        // SAFETY: NULL or a live participant that is only shared, per the contract above.
        let participant = unsafe { participant.as_ref() }.ok_or_else(|| null("participant"))?;
        if news_out.is_null() {
            return Err(null("news_out"));
        }
        // SAFETY: NULL or writable, per the contract above.
        let len_out = unsafe { news_len_out.as_mut() }.ok_or_else(|| null("news_len_out"))?;
        participant.owned().with(|state| {
            state.words.clear();
            let mut len = 0;
            while len < capacity
                && let Some(news) = state.participant.poll_news()
            {
                let Some(news) = lend(news, &mut state.words) else { continue };
                // SAFETY: `len` is below `capacity`, so this lies within the caller's array.
                let slot = unsafe { news_out.add(len) };
                // SAFETY: within the caller's array.
                unsafe { slot.write(news) };
                len += 1;
            }
            *len_out = len;
            Ok(())
        })
    })
}

/// `None` for answers: of those that clc_participant_ask waits for it has told, and nobody waits for others.
fn lend(news: News, words: &mut Vec<CString>) -> Option<clc_participant_news> {
    use clc_participant_news_kind as kind;
    let mut told = clc_participant_news {
        handle: 0,
        number: 0,
        count: 0,
        text: c"".as_ptr(),
        kind: 0,
        refusal: Refusal::None as u32,
        reserved: [0; 2],
    };
    // Moving the vector's elements leaves their text where it is.
    let mut say = |text: String| {
        words.push(c_string(text));
        words.last().map_or(c"".as_ptr(), |text| text.as_ptr())
    };
    let kind = match news {
        News::Answer { .. } => return None,
        News::Welcome { principal } => {
            told.text = say(principal);
            kind::Welcome
        }
        News::Refused { handle, number, code, message } => {
            (told.handle, told.number, told.refusal, told.text) = (handle, number, code as u32, say(message));
            kind::Refused
        }
        News::Confirmed { handle, first, count } => {
            (told.handle, told.number, told.count) = (handle, first, count);
            kind::Confirmed
        }
        News::Lost { handle, number, code } => {
            (told.handle, told.number, told.refusal) = (handle, number, code as u32);
            kind::Lost
        }
        News::Readable { handle } => {
            told.handle = handle;
            kind::Readable
        }
        News::Wanted { handle, max } => {
            (told.handle, told.count) = (handle, u64::from(max));
            kind::Wanted
        }
        News::Gone { handle, message } => {
            (told.handle, told.text) = (handle, say(message));
            kind::Gone
        }
        News::Bye { message } => {
            told.text = say(message);
            kind::Bye
        }
    };
    told.kind = kind as u32;
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn news_keep_their_words_while_more_come() {
        let mut words = Vec::new();
        let told: Vec<_> = (0..100)
            .filter_map(|handle| lend(News::Gone { handle, message: format!("word {handle}") }, &mut words))
            .collect();
        for (index, news) in told.iter().enumerate() {
            // SAFETY: `words` holds the text.
            let text = unsafe { CStr::from_ptr(news.text) };
            assert_eq!(text.to_str(), Ok(format!("word {index}").as_str()));
        }
        let refused =
            News::Refused { handle: 1, number: 7, code: Refusal::TooLarge, message: "large".into() };
        let refused = lend(refused, &mut words).unwrap();
        assert_eq!((refused.number, refused.refusal), (7, clc_channel_refusal::TooLarge as u32));
        assert_eq!(Refusal::Behind as u32, clc_channel_refusal::Behind as u32);
        let answer = News::Answer { request: 1, result: Ok("{}".into()) };
        assert!(lend(answer, &mut words).is_none());
    }
}
