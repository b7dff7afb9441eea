//! What is wrong with an expression, and where.

use std::fmt;

/// A place in a source: line and column, both from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    /// The first character.
    pub const START: Position = Position { line: 1, column: 1 };

    /// The place of the character with this number, from 0.
    pub(super) fn of_character(source: &str, number: usize) -> Position {
        let mut position = Position::START;
        for character in source.chars().take(number) {
            if character == '\n' {
                position = Position { line: position.line + 1, column: 1 };
            } else {
                position.column += 1;
            }
        }
        position
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why an expression is not accepted as a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// The source is too long.
    TooLong {
        /// Its bytes.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// Too many brackets are open at once.
    TooNested {
        /// Where the first one too many stands.
        position: Position,
        /// How many may be open.
        max: usize,
    },
    /// The syntax tree has too many levels.
    TooDeep {
        /// Where the first one too many stands.
        position: Position,
        /// How many it may have.
        max: usize,
    },
    /// The syntax tree has too many nodes.
    TooManyNodes {
        /// How many it may have.
        max: usize,
    },
    /// One evaluation could take too many steps.
    TooCostly {
        /// How many, at worst.
        cost: u64,
        /// How many it may take.
        max: u64,
    },
    /// A comprehension goes over something of unknown length.
    Unbounded {
        /// Where.
        position: Position,
    },
    /// This is no expression of the language.
    Syntax {
        /// Where.
        position: Position,
        /// What the parser says, at most 200 characters.
        message: String,
    },
    /// The language has it, filters have not.
    NotAvailable {
        /// Where.
        position: Position,
        /// What, at most 60 characters.
        what: String,
    },
    /// The expression can never be a boolean.
    NotBoolean {
        /// Where.
        position: Position,
    },
    /// Each filter of the cache is in use.
    TooManyFilters {
        /// How many there may be.
        max: usize,
    },
    /// The mapping has too many rules.
    TooManyRules {
        /// How many there are.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// The parser gave up in an unforeseen way.
    Library,
    /// No thread could be started for the parser.
    Thread,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilterError::TooLong { len, max } => {
                write!(f, "the filter is {len} bytes, limit is {max}: split it over several proxies")
            }
            FilterError::TooNested { position, max } => {
                write!(f, "at {position}: more than {max} brackets are open: write it flatter")
            }
            FilterError::TooDeep { position, max } => {
                write!(f, "at {position}: the filter is nested deeper than {max} levels: write it flatter")
            }
            FilterError::TooManyNodes { max } => {
                write!(f, "the filter has more than {max} operators, names and literals: shorten it")
            }
            FilterError::TooCostly { cost, max } => {
                write!(
                    f,
                    "the filter could take {cost} steps for one event, limit is {max}: shorten its lists"
                )
            }
            FilterError::Unbounded { position } => {
                write!(f, "at {position}: a comprehension must go over a list that is written out here")
            }
            FilterError::Syntax { position, message } => write!(f, "at {position}: {message}"),
            FilterError::NotAvailable { position, what } => {
                write!(f, "at {position}: filters have no {what}")
            }
            FilterError::NotBoolean { position } => {
                write!(f, "at {position}: a filter must be true or false: compare it with something")
            }
            FilterError::TooManyFilters { max } => {
                write!(f, "{max} different filters are in use, which is the limit: share or remove some")
            }
            FilterError::TooManyRules { len, max } => {
                write!(f, "the mapping has {len} rules, limit is {max}")
            }
            FilterError::Library => write!(f, "the parser cannot handle the filter: write it differently"),
            FilterError::Thread => {
                write!(f, "no thread could be started to compile the filter: try again later")
            }
        }
    }
}

impl std::error::Error for FilterError {}
