//! Prose as the generated files need it.

/// `message` with a capital at its beginning.
pub fn sentence(message: &str) -> String {
    let (first, rest) = message.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}

/// Breaks `text` at spaces into lines of at most `columns_max`: formatters leave prose as it is.
pub fn wrapped(text: &str, columns_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= columns_max => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_wrapped_and_nothing_is_lost() {
        let text = "one two three four five six seven";
        let lines = wrapped(text, 13);
        assert_eq!(lines, ["one two three", "four five six", "seven"]);
        assert_eq!(lines.join(" "), text);
    }

    #[test]
    fn a_sentence_begins_with_a_capital() {
        assert_eq!(sentence("the queue is full"), "The queue is full");
    }
}
