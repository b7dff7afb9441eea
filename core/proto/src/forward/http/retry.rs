//! When a failed exchange may be sent again.

use super::method::Method;

/// Whether a request whose exchange with a back end failed may be sent to another, or to the same one again.
///
/// - `bytes_sent_to_backend`: a byte of the request was handed to the connection.
/// - `response_started`: a byte of a final or interim response has come. What the client may have seen cannot be
///   taken back, and the back end was at work.
/// - `body_replayable`: every byte of the body that was sent can be sent again; true for a request without body.
/// - `connection_reused_and_closed_before_any_byte`: the connection came from the pool and the back end is known
///   to have closed it before any byte of this request reached it, for example because its end of stream was
///   already waiting when the request was written. A connection that merely ended without an answer does not
///   count: the back end may have worked before it died.
///
/// A request of which nothing was sent can always go elsewhere. After that the body must be replayable, and either
/// nothing can have been executed or executing it twice must mean the same as once. A proxy never retries another
/// non-idempotent request.
///
/// Source: RFC 9110, 9.2.2; RFC 9112, 9.3.1.
pub const fn may_retry(
    method: Method,
    bytes_sent_to_backend: bool,
    response_started: bool,
    body_replayable: bool,
    connection_reused_and_closed_before_any_byte: bool,
) -> bool {
    if response_started {
        return false;
    }
    if !bytes_sent_to_backend {
        return true;
    }
    body_replayable && (method.is_idempotent() || connection_reused_and_closed_before_any_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_table() {
        use Method::{Get, Post};
        // method, sent, response, replayable, stale -> retry; `None` stands for both.
        let table = [
            (Get, None, Some(true), None, None, false),
            (Post, None, Some(true), None, None, false),
            (Get, Some(false), Some(false), None, None, true),
            (Post, Some(false), Some(false), None, None, true),
            (Get, Some(true), Some(false), Some(false), None, false),
            (Post, Some(true), Some(false), Some(false), None, false),
            (Get, Some(true), Some(false), Some(true), None, true),
            (Post, Some(true), Some(false), Some(true), Some(false), false),
            (Post, Some(true), Some(false), Some(true), Some(true), true),
        ];
        let mut cases = 0;
        for bits in 0..16u8 {
            let [sent, response, replayable, stale] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
            for (method, s, r, p, c, expected) in table {
                let fits = [(s, sent), (r, response), (p, replayable), (c, stale)]
                    .iter()
                    .all(|(wanted, is)| wanted.is_none_or(|wanted| wanted == *is));
                if fits {
                    cases += 1;
                    assert_eq!(
                        may_retry(method, sent, response, replayable, stale),
                        expected,
                        "{method:?} {bits:04b}"
                    );
                }
            }
        }
        assert_eq!(cases, 32, "the table covers each case once");
    }
}
