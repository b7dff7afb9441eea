//! Writes an object, member by member.

use crate::cloudevents::write_timestamp;
use clustercore_proto::time::{Duration, Instant};
use std::fmt::{Display, Write};

/// An object that is being written. Names are ours: letters, digits, underscores.
pub struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Appends an object to `out`, with the members that `fill` gives it.
    pub fn write(out: &'a mut String, fill: impl FnOnce(&mut Object<'_>)) {
        out.push('{');
        fill(&mut Object { out, is_empty: true });
        out.push('}');
    }

    /// Where the value of member `name` is to be appended.
    pub fn member(&mut self, name: &str) -> &mut String {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    /// A text.
    pub fn text(&mut self, name: &str, value: &str) {
        write_text(value, self.member(name));
    }

    /// A number, or `true` or `false`.
    pub fn plain(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.member(name), "{value}");
    }

    /// A length of time in seconds.
    pub fn seconds(&mut self, name: &str, value: Duration) {
        write_seconds(value, self.member(name));
    }

    /// A moment.
    pub fn moment(&mut self, name: &str, value: Instant) {
        let out = self.member(name);
        out.push('"');
        write_timestamp(value, out);
        out.push('"');
    }

    /// An object.
    pub fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.member(name), fill);
    }

    /// A list, whose items `each` appends.
    pub fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(T, &mut String),
    ) {
        let out = self.member(name);
        out.push('[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            each(item, out);
        }
        out.push(']');
    }
}

/// Appends a text with its quotes.
pub fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            byte @ (b'"' | b'\\') => out.extend(['\\', byte.into()]),
            byte => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn write_seconds(value: Duration, out: &mut String) {
    let _ = write!(out, "{}", value.as_secs());
    if value.subsec_nanos() > 0 {
        let fraction = format!("{:09}", value.subsec_nanos());
        let _ = write!(out, ".{}", fraction.trim_end_matches('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let mut out = String::new();
        Object::write(&mut out, |object| {
            object.text("a", "x\"\\\n\u{1}é");
            object.plain("b", 5);
            object.seconds("c", Duration::new(1, 50_000_000));
            object.object("d", |inner| inner.plain("e", true));
            object.list("f", [1, 2], |item, out| out.push_str(&item.to_string()));
            object.moment("g", Instant::ZERO);
        });
        let expected = r#"{"a":"x\"\\\u000a\u0001é","b":5,"c":1.05,"d":{"e":true},"f":[1,2],"g":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(out, expected);
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok());
    }
}
