//! What is checked before the parser sees a source: its length, and how many brackets are open at once.
//!
//! The parser descends once per bracket and looks ahead over them, so that both its stack and its time need this bound.
//! Its own limit of levels stands behind it, for sources that it and this scanner read differently.

use super::{FilterError, FilterLimits, Position};

/// Errors: `TooLong`, `TooNested`, and `Syntax` of a control character or of a string without an end.
pub(super) fn check(source: &str, limits: &FilterLimits) -> Result<(), FilterError> {
    if source.len() > limits.source_bytes_max {
        return Err(FilterError::TooLong { len: source.len(), max: limits.source_bytes_max });
    }
    let characters: Vec<char> = source.chars().collect();
    let at = |number| Position::of_character(source, number);
    let is_bad = |character: &char| character.is_control() && !matches!(character, '\n' | '\r' | '\t');
    if let Some(number) = characters.iter().position(is_bad) {
        let message =
            format!("the control character U+{:04X} is not allowed: escape it", characters[number] as u32);
        return Err(FilterError::Syntax { position: at(number), message });
    }
    let (mut open, mut number) = (0usize, 0);
    while let Some(&character) = characters.get(number) {
        match character {
            '"' | '\'' => {
                let is_raw = number > 0 && matches!(characters[number - 1], 'r' | 'R');
                number = string_end(&characters, number, is_raw).ok_or_else(|| FilterError::Syntax {
                    position: at(number),
                    message: "the string has no end".into(),
                })?;
                continue;
            }
            '/' if characters.get(number + 1) == Some(&'/') => {
                while characters.get(number).is_some_and(|&it| it != '\n') {
                    number += 1;
                }
                continue;
            }
            '(' | '[' | '{' | '?' => {
                open += 1;
                if open > limits.nesting_max {
                    return Err(FilterError::TooNested { position: at(number), max: limits.nesting_max });
                }
            }
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        number += 1;
    }
    Ok(())
}

/// The number of the character after the string that begins at `start`; `None` when it has no end.
fn string_end(characters: &[char], start: usize, is_raw: bool) -> Option<usize> {
    let mark = characters[start];
    let is_triple = characters.get(start..start + 3) == Some(&[mark; 3]);
    let mut number = start + if is_triple { 3 } else { 1 };
    loop {
        let character = *characters.get(number)?;
        match character {
            '\\' if !is_raw => number += 1,
            '\n' | '\r' if !is_triple => return None,
            _ if character == mark && !is_triple => return Some(number + 1),
            _ if is_triple && characters.get(number..number + 3) == Some(&[mark; 3]) => {
                return Some(number + 3);
            }
            _ => {}
        }
        number += 1;
    }
}
