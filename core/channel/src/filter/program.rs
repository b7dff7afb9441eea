//! The flat program of a filter: terms and the logic between them, evaluated without allocation.
//!
//! Logic is that of CEL: what decides does so whatever the other side is, and a failure spreads where nothing decides. So
//! with false < failed < true, `&&` is the lesser and `||` the greater of two. Terms that stand together in one `&&` or `||`
//! are one step. One value is at hand; of the values that wait on the left of an operator it matters only whether they failed, so that
//! a word of bits is stack enough.
//!
//! What a term costs: the field's place (an attribute is known when the program is made; a field is found by comparing one
//! number for each field before it), one jump by the kind of test, one comparison.

use super::library::Expression;
use super::{FilterFailure, Position, Reason};
use crate::value::{FieldName, Fields, Value};
use std::cmp::Ordering;
use std::ops::Range;

/// The outcome of a term, or of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    False,
    Failed,
    True,
}

pub(super) enum Op {
    /// Evaluates terms of one `&&`.
    All(Range<u32>),
    /// Evaluates terms of one `||`.
    Any(Range<u32>),
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
    pub field: FieldName,
    pub test: Test,
}

pub(super) enum Test {
    Present,
    IsTrue,
    /// The field is this text, or is not.
    TextIs(Box<str>, bool),
    /// The field equals the literal, or does not.
    Equal(Literal, bool),
    IntOrder(i64, Orders),
    FloatOrder(f64, Orders),
    /// The field compared with the literal is one of these.
    Order(Literal, Orders),
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
    /// Nanoseconds since 1970; boxed, as few have it and all would be larger for it.
    Time(Box<i128>),
}

/// Some of less, equal and greater.
#[derive(Clone, Copy)]
pub(super) struct Orders(u8);

impl Orders {
    pub(super) fn of(orders: &[Ordering]) -> Orders {
        Orders(orders.iter().fold(0, |bits, order| bits | Orders::bit(*order)))
    }

    #[inline]
    fn has(self, order: Ordering) -> bool {
        self.0 & Orders::bit(order) != 0
    }

    #[inline]
    fn of_floats(self, value: f64, literal: f64) -> Step {
        value.partial_cmp(&literal).map_or(Step::Failed, |order| Step::from(self.has(order)))
    }

    #[inline]
    fn bit(order: Ordering) -> u8 {
        1 << (order as i8 + 1)
    }
}

pub(super) struct Program {
    ops: Box<[Op]>,
    terms: Box<[Term]>,
    /// Of the terms, for messages.
    positions: Box<[Position]>,
}

impl Program {
    pub(super) fn new(ops: Vec<Op>, terms: Vec<(Term, Position)>) -> Program {
        let (terms, positions): (Vec<Term>, Vec<Position>) = terms.into_iter().unzip();
        Program { ops: ops.into(), terms: terms.into(), positions: positions.into() }
    }

    pub(super) fn is_lowered(&self) -> bool {
        !self.terms.iter().any(|term| matches!(term.test, Test::Library(_)))
    }

    /// The outcome for `event`, and the last term that failed, by its number.
    #[inline]
    pub(super) fn run<F: Fields + ?Sized>(&self, event: &F) -> (Step, usize) {
        match &*self.ops {
            // Most filters are this.
            [Op::All(_)] => chain::<F, true>(&self.terms, event),
            [Op::Any(_)] => chain::<F, false>(&self.terms, event),
            _ => self.run_all(event),
        }
    }

    fn run_all<F: Fields + ?Sized>(&self, event: &F) -> (Step, usize) {
        let (mut at_hand, mut failed) = (Step::Failed, 0);
        // A bit for each left side that waits, the innermost lowest: it failed.
        let mut waiting = 0u64;
        let mut next = 0;
        let mut terms = |terms: &Range<u32>, is_all: bool| {
            let first = terms.start as usize;
            let terms = &self.terms[first..terms.end as usize];
            let (outcome, last) =
                if is_all { chain::<F, true>(terms, event) } else { chain::<F, false>(terms, event) };
            failed = if last < terms.len() { first + last } else { failed };
            outcome
        };
        while let Some(op) = self.ops.get(next) {
            next += 1;
            match op {
                Op::All(range) => at_hand = terms(range, true),
                Op::Any(range) => at_hand = terms(range, false),
                Op::Always(value) => at_hand = Step::from(*value),
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
        (at_hand, failed)
    }

    /// Why the term of this number fails for `event`.
    #[cold]
    pub(super) fn failure<F: Fields + ?Sized>(&self, term: usize, event: &F) -> FilterFailure {
        let reason = self.terms.get(term).and_then(|term| term.evaluate(event).err());
        let position = self.positions.get(term).copied().unwrap_or(Position::START);
        FilterFailure { reason: reason.unwrap_or(Reason::Library), position }
    }
}

/// Terms of one `&&` (`ALL`) or `||`, until one decides. With it the last that failed, or their number when none did.
#[inline]
fn chain<F: Fields + ?Sized, const ALL: bool>(terms: &[Term], event: &F) -> (Step, usize) {
    let (neutral, deciding) = if ALL { (Step::True, Step::False) } else { (Step::False, Step::True) };
    let (mut outcome, mut failed) = (neutral, terms.len());
    for (place, term) in terms.iter().enumerate() {
        match term.step(event) {
            step if step == deciding => return (step, failed),
            Step::Failed => (outcome, failed) = (Step::Failed, place),
            _ => {}
        }
    }
    (outcome, failed)
}

impl From<bool> for Step {
    #[inline]
    fn from(value: bool) -> Step {
        if value { Step::True } else { Step::False }
    }
}

impl Term {
    /// The outcome for `event`; what is asked most often, without the way over all types of values.
    #[inline(always)]
    fn step<F: Fields + ?Sized>(&self, event: &F) -> Step {
        match &self.test {
            Test::TextIs(literal, wanted) => match event.value(&self.field) {
                Some(Value::Text(value)) => Step::from(is_equal(value, literal) == *wanted),
                Some(_) => Step::from(!*wanted),
                None => Step::Failed,
            },
            Test::IntOrder(literal, wanted) => match event.value(&self.field) {
                Some(Value::Int(value)) => Step::from(wanted.has(value.cmp(literal))),
                Some(Value::Float(value)) => wanted.of_floats(value, *literal as f64),
                _ => Step::Failed,
            },
            Test::FloatOrder(literal, wanted) => match event.value(&self.field) {
                Some(Value::Float(value)) => wanted.of_floats(value, *literal),
                // As the library does, and cel-go: in floating point, so beyond 2^53 neighbours are equal.
                Some(Value::Int(value)) => wanted.of_floats(value as f64, *literal),
                _ => Step::Failed,
            },
            _ => self.evaluate(event).map_or(Step::Failed, Step::from),
        }
    }

    /// The same of any test, and why it fails.
    #[inline(never)]
    fn evaluate<F: Fields + ?Sized>(&self, event: &F) -> Result<bool, Reason> {
        if let Test::Library(expression) = &self.test {
            return expression.evaluate(event);
        }
        let value = event.value(&self.field);
        if matches!(self.test, Test::Present) {
            return Ok(value.is_some());
        }
        let Some(value) = value else { return Err(Reason::Missing) };
        match (&self.test, value) {
            (Test::TextIs(literal, wanted), value) => Ok((value == Value::Text(literal)) == *wanted),
            (Test::Equal(literal, wanted), value) => Ok(literal.equals(value) == *wanted),
            (Test::IntOrder(literal, wanted), value) => {
                Literal::Int(*literal).order(value).map(|order| wanted.has(order))
            }
            (Test::FloatOrder(literal, wanted), value) => {
                Literal::Float(*literal).order(value).map(|order| wanted.has(order))
            }
            (Test::Order(literal, wanted), value) => literal.order(value).map(|order| wanted.has(order)),
            (Test::In(literals), value) => Ok(literals.iter().any(|literal| literal.equals(value))),
            (Test::StartsWith(part), Value::Text(text)) => Ok(text.starts_with(&**part)),
            (Test::EndsWith(part), Value::Text(text)) => Ok(text.ends_with(&**part)),
            (Test::Contains(part), Value::Text(text)) => Ok(text.contains(&**part)),
            (Test::IsTrue, Value::Bool(value)) => Ok(value),
            _ => Err(Reason::Mismatch),
        }
    }
}

/// Texts are equal. Those of up to sixteen bytes, which most names and types have, without a call.
#[inline]
fn is_equal(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    // First and last eight (four) bytes, which may overlap.
    if let (Some(a), Some(b)) = (left.first_chunk::<8>(), right.first_chunk::<8>())
        && let (Some(c), Some(d)) = (left.last_chunk::<8>(), right.last_chunk::<8>())
    {
        return a == b && c == d && (left.len() <= 16 || left == right);
    }
    if let (Some(a), Some(b)) = (left.first_chunk::<4>(), right.first_chunk::<4>())
        && let (Some(c), Some(d)) = (left.last_chunk::<4>(), right.last_chunk::<4>())
    {
        return a == b && c == d;
    }
    left.iter().eq(right)
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
            (Value::Time(value), Literal::Time(literal)) => Ok(i128::from(value.as_nanos()).cmp(&**literal)),
            _ => Err(Reason::Mismatch),
        }
    }
}

#[inline]
fn ordered(value: f64, literal: f64) -> Result<Ordering, Reason> {
    value.partial_cmp(&literal).ok_or(Reason::Unordered)
}
