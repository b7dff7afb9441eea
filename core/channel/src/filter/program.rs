//! The flat program of a filter: terms and the logic between them, evaluated without allocation.
//!
//! Logic is that of CEL: what decides does so whatever the other side is, and a failure spreads where nothing decides.
//! One value is at hand; of the values that wait on the left of an operator it matters only whether they failed, so that
//! a word of bits is stack enough.

use super::library::Expression;
use super::{FilterFailure, Position, Reason};
use crate::value::{Fields, Value};
use std::cmp::Ordering;

/// The outcome of a term, or of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    False,
    True,
    Failed,
}

pub(super) enum Op {
    /// Evaluates a term.
    Term(Term),
    /// Its value is known.
    Always(bool),
    /// Left of `&&` is at hand: false goes on at `end`, else the right side comes.
    And {
        end: u32,
    },
    /// Left of `||` is at hand: true goes on at `end`, else the right side comes.
    Or {
        end: u32,
    },
    /// Right of `&&` is at hand.
    AndEnd,
    /// Right of `||` is at hand.
    OrEnd,
    Not,
}

pub(super) struct Term {
    pub field: Box<str>,
    pub test: Test,
    pub position: Position,
}

pub(super) enum Test {
    Present,
    IsTrue,
    Equal(Literal),
    NotEqual(Literal),
    /// The field compared with the literal is one of these: less, equal, greater.
    Order(Literal, [bool; 3]),
    In(Box<[Literal]>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    Library(Box<Expression>),
}

pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    /// Nanoseconds since 1970.
    Time(i128),
}

pub(super) struct Program {
    ops: Box<[Op]>,
}

impl Program {
    pub(super) fn new(ops: Vec<Op>) -> Program {
        Program { ops: ops.into() }
    }

    pub(super) fn is_lowered(&self) -> bool {
        !self.ops.iter().any(|op| matches!(op, Op::Term(Term { test: Test::Library(_), .. })))
    }

    /// The outcome for `event`; `failure` is the last term that failed.
    #[inline]
    pub(super) fn run<F: Fields + ?Sized>(&self, event: &F, failure: &mut Option<FilterFailure>) -> Step {
        let mut at_hand = Step::Failed;
        // A bit for each left side that waits, the innermost lowest: it failed.
        let mut waiting = 0u64;
        let mut next = 0;
        while let Some(op) = self.ops.get(next) {
            next += 1;
            match op {
                Op::Term(term) => {
                    at_hand = match term.evaluate(event) {
                        Ok(true) => Step::True,
                        Ok(false) => Step::False,
                        Err(reason) => {
                            *failure = Some(FilterFailure { reason, position: term.position });
                            Step::Failed
                        }
                    }
                }
                Op::Always(value) => at_hand = if *value { Step::True } else { Step::False },
                Op::And { end } if at_hand == Step::False => next = *end as usize,
                Op::Or { end } if at_hand == Step::True => next = *end as usize,
                Op::And { .. } | Op::Or { .. } => {
                    waiting = waiting << 1 | u64::from(at_hand == Step::Failed);
                }
                Op::AndEnd => {
                    if at_hand == Step::True && waiting & 1 != 0 {
                        at_hand = Step::Failed;
                    }
                    waiting >>= 1;
                }
                Op::OrEnd => {
                    if at_hand == Step::False && waiting & 1 != 0 {
                        at_hand = Step::Failed;
                    }
                    waiting >>= 1;
                }
                Op::Not => {
                    at_hand = match at_hand {
                        Step::True => Step::False,
                        Step::False => Step::True,
                        Step::Failed => Step::Failed,
                    }
                }
            }
        }
        at_hand
    }
}

impl Term {
    #[inline]
    fn evaluate<F: Fields + ?Sized>(&self, event: &F) -> Result<bool, Reason> {
        if let Test::Library(expression) = &self.test {
            return expression.evaluate(event);
        }
        let value = event.field(&self.field);
        if matches!(self.test, Test::Present) {
            return Ok(value.is_some());
        }
        let Some(value) = value else { return Err(Reason::Missing) };
        match (&self.test, value) {
            (Test::Equal(literal), value) => Ok(literal.equals(value)),
            (Test::NotEqual(literal), value) => Ok(!literal.equals(value)),
            (Test::Order(literal, wanted), value) => {
                literal.order(value).map(|order| wanted[(order as i8 + 1) as usize])
            }
            (Test::In(literals), value) => Ok(literals.iter().any(|literal| literal.equals(value))),
            (Test::StartsWith(part), Value::Text(text)) => Ok(text.starts_with(&**part)),
            (Test::EndsWith(part), Value::Text(text)) => Ok(text.ends_with(&**part)),
            (Test::Contains(part), Value::Text(text)) => Ok(text.contains(&**part)),
            (Test::IsTrue, Value::Bool(value)) => Ok(value),
            _ => Err(Reason::Mismatch),
        }
    }
}

impl Literal {
    /// Values of different types are unequal, numbers are one type.
    #[inline]
    fn equals(&self, value: Value<'_>) -> bool {
        match (value, self) {
            (Value::Text(value), Literal::Text(literal)) => *value == **literal,
            (Value::Bytes(value), Literal::Bytes(literal)) => *value == **literal,
            (Value::Text(_), _) => false,
            _ => self.order(value) == Ok(Ordering::Equal),
        }
    }

    /// How `value` stands to the literal.
    #[inline]
    fn order(&self, value: Value<'_>) -> Result<Ordering, Reason> {
        match (value, self) {
            (Value::Int(value), Literal::Int(literal)) => Ok(value.cmp(literal)),
            (Value::Int(value), Literal::Unsigned(literal)) => {
                Ok(u64::try_from(value).map_or(Ordering::Less, |value| value.cmp(literal)))
            }
            // As the library does, and cel-go: in floating point, so beyond 2^53 neighbours are equal.
            (Value::Int(value), Literal::Float(literal)) => ordered(value as f64, *literal),
            (Value::Float(value), Literal::Float(literal)) => ordered(value, *literal),
            (Value::Float(value), Literal::Int(literal)) => ordered(value, *literal as f64),
            (Value::Float(value), Literal::Unsigned(literal)) => ordered(value, *literal as f64),
            (Value::Text(value), Literal::Text(literal)) => Ok(value.cmp(literal)),
            (Value::Bytes(value), Literal::Bytes(literal)) => Ok(value.cmp(literal)),
            (Value::Bool(value), Literal::Bool(literal)) => Ok(value.cmp(literal)),
            (Value::Time(value), Literal::Time(literal)) => Ok(i128::from(value.as_nanos()).cmp(literal)),
            _ => Err(Reason::Mismatch),
        }
    }
}

#[inline]
fn ordered(value: f64, literal: f64) -> Result<Ordering, Reason> {
    value.partial_cmp(&literal).ok_or(Reason::Unordered)
}
