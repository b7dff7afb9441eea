//! Makes the flat program of a syntax tree.

use super::library::{Expression, FIELD_ROOT};
use super::program::{Literal, Op, Orders, Program, Term, Test};
use super::{FilterError, Position};
use crate::value::FieldName;
use cel::common::ast::operators;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use std::cmp::Ordering::{self, Equal, Greater, Less};

/// The program of `whole`.
///
/// Errors: `NotBoolean` when it is visibly something else.
pub(super) fn lower(whole: &Expression) -> Result<Program, FilterError> {
    let root = whole.root();
    let is_other = match &root.expr {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
        Expr::List(_) | Expr::Map(_) => true,
        Expr::Call(call) => NEVER_BOOLEAN.contains(&call.func_name.as_str()),
        _ => false,
    };
    if is_other {
        return Err(FilterError::NotBoolean { position: whole.position(root) });
    }
    let mut made = Made { whole, ops: Vec::new(), terms: Vec::new() };
    made.push(root, 0);
    Ok(Program::new(made.ops, made.terms))
}

/// What has been made so far.
struct Made<'a> {
    whole: &'a Expression,
    ops: Vec<Op>,
    terms: Vec<(Term, Position)>,
}

/// `&&` or `||`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Junction {
    And,
    Or,
}

impl Made<'_> {
    fn push(&mut self, node: &IdedExpr, depth: usize) {
        if let Expr::Literal(LiteralValue::Boolean(value)) = &node.expr {
            return self.ops.push(Op::Always(*value.inner()));
        }
        if depth < WAITING_MAX {
            if let Some(inner) = negated(node) {
                self.push(inner, depth);
                return self.ops.push(Op::Not);
            }
            if let Some((junction, _)) = sides(node) {
                return self.join(junction, node, depth);
            }
        }
        self.terms(Junction::And, &[node]);
    }

    /// The operands of one operator, however they are bracketed: it does not matter to the outcome. Terms among them that follow one
    /// another are one operation.
    fn join(&mut self, junction: Junction, node: &IdedExpr, depth: usize) {
        let mut operands = Vec::new();
        gather(junction, node, &mut operands);
        // A left side waits while the right one comes: from the second operand on, one deeper.
        let mut open: Option<usize> = None;
        let mut rest = operands.as_slice();
        while let [first, ..] = rest {
            let is_right = open.is_some();
            let run = rest.iter().take_while(|node| is_term(node)).count();
            if run > 0 {
                self.terms(junction, &rest[..run]);
            } else {
                self.push(first, depth + usize::from(is_right));
            }
            rest = &rest[run.max(1)..];
            if let Some(place) = open.take() {
                self.ops.push(if junction == Junction::And { Op::AndEnd } else { Op::OrEnd });
                self.ops[place] = self.begin(junction);
            }
            if !rest.is_empty() {
                open = Some(self.ops.len());
                self.ops.push(Op::Not); // Takes its place until the end is known.
            }
        }
    }

    /// The beginning of an operator that ends here.
    fn begin(&self, junction: Junction) -> Op {
        let end = self.ops.len() as u32;
        if junction == Junction::And { Op::And { end } } else { Op::Or { end } }
    }

    fn terms(&mut self, junction: Junction, nodes: &[&IdedExpr]) {
        let first = self.terms.len() as u32;
        for node in nodes {
            let (field, test) = match term(node) {
                Some((field, test)) => (field, test),
                None => ("", Test::Library(Box::new(self.whole.part(node)))),
            };
            self.terms.push((Term { field: FieldName::new(field), test }, self.whole.position(node)));
        }
        let terms = first..self.terms.len() as u32;
        self.ops.push(if junction == Junction::And { Op::All(terms) } else { Op::Any(terms) });
    }
}

/// What is neither `!`, `&&`, `||` nor known.
fn is_term(node: &IdedExpr) -> bool {
    let is_known = matches!(&node.expr, Expr::Literal(LiteralValue::Boolean(_)));
    !is_known && negated(node).is_none() && sides(node).is_none()
}

fn negated(node: &IdedExpr) -> Option<&IdedExpr> {
    match &node.expr {
        Expr::Call(call) => match (&call.target, call.func_name.as_str(), call.args.as_slice()) {
            (None, operators::LOGICAL_NOT, [inner]) => Some(inner),
            _ => None,
        },
        _ => None,
    }
}

fn sides(node: &IdedExpr) -> Option<(Junction, [&IdedExpr; 2])> {
    match &node.expr {
        Expr::Call(call) => match (&call.target, call.func_name.as_str(), call.args.as_slice()) {
            (None, operators::LOGICAL_AND, [left, right]) => Some((Junction::And, [left, right])),
            (None, operators::LOGICAL_OR, [left, right]) => Some((Junction::Or, [left, right])),
            _ => None,
        },
        _ => None,
    }
}

/// The operands of `node` and of the same operator below it, in their order.
fn gather<'a>(junction: Junction, node: &'a IdedExpr, operands: &mut Vec<&'a IdedExpr>) {
    match sides(node) {
        Some((same, [left, right])) if same == junction => {
            gather(junction, left, operands);
            gather(junction, right, operands);
        }
        _ => operands.push(node),
    }
}

/// A term of ours, when there is one for this node.
fn term(node: &IdedExpr) -> Option<(&str, Test)> {
    match &node.expr {
        Expr::Ident(name) => is_field(name).then_some((name, Test::IsTrue)),
        Expr::Select(select) => {
            let name = member(&select.operand, &select.field)?;
            Some((name, if select.test { Test::Present } else { Test::IsTrue }))
        }
        Expr::Call(call) => match (&call.target, call.args.as_slice()) {
            (Some(target), [part]) => {
                let (name, part) = (field(target)?, text(part)?);
                match call.func_name.as_str() {
                    "startsWith" => Some((name, Test::StartsWith(part))),
                    "endsWith" => Some((name, Test::EndsWith(part))),
                    "contains" => Some((name, Test::Contains(part))),
                    _ => None,
                }
            }
            (None, [left, right]) => comparison(call, left, right),
            _ => None,
        },
        _ => None,
    }
}

fn comparison<'a>(call: &CallExpr, left: &'a IdedExpr, right: &'a IdedExpr) -> Option<(&'a str, Test)> {
    let operator = call.func_name.as_str();
    if operator == operators::IN {
        let Expr::List(list) = &right.expr else { return None };
        let literals: Option<Box<[Literal]>> = list.elements.iter().map(literal).collect();
        return Some((field(left)?, Test::In(literals.filter(|_| list.optional_indices.is_empty())?)));
    }
    let (name, literal, is_turned) = match field(left) {
        Some(name) => (name, literal(right)?, false),
        None => (field(right)?, literal(left)?, true),
    };
    let mut wanted = match operator {
        operators::EQUALS => return Some((name, equal(literal, true))),
        operators::NOT_EQUALS => return Some((name, equal(literal, false))),
        operators::LESS => [Less, Less],
        operators::LESS_EQUALS => [Less, Equal],
        operators::GREATER => [Greater, Greater],
        operators::GREATER_EQUALS => [Greater, Equal],
        _ => return None,
    };
    if is_turned {
        wanted = wanted.map(Ordering::reverse);
    }
    let wanted = Orders::of(&wanted);
    let test = match literal {
        Literal::Int(literal) => Test::IntOrder(literal, wanted),
        Literal::Float(literal) => Test::FloatOrder(literal, wanted),
        literal => Test::Order(literal, wanted),
    };
    Some((name, test))
}

fn equal(literal: Literal, is_wanted: bool) -> Test {
    match literal {
        Literal::Text(text) => Test::TextIs(text, is_wanted),
        literal => Test::Equal(literal, is_wanted),
    }
}

/// The name of the field that the node is.
fn field(node: &IdedExpr) -> Option<&str> {
    match &node.expr {
        Expr::Ident(name) => is_field(name).then_some(name),
        Expr::Select(select) if !select.test => member(&select.operand, &select.field),
        _ => None,
    }
}

fn member<'a>(operand: &IdedExpr, name: &'a str) -> Option<&'a str> {
    matches!(&operand.expr, Expr::Ident(root) if root == FIELD_ROOT).then_some(name)
}

/// The names of types have a value also where the event has no such field. Each event has a field `type`.
fn is_field(name: &str) -> bool {
    !TYPES.contains(&name)
}

fn text(node: &IdedExpr) -> Option<Box<str>> {
    match &node.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().into()),
        _ => None,
    }
}

fn literal(node: &IdedExpr) -> Option<Literal> {
    match &node.expr {
        Expr::Literal(value) => Some(match value {
            LiteralValue::Boolean(it) => Literal::Bool(*it.inner()),
            LiteralValue::Int(it) => Literal::Int(*it.inner()),
            LiteralValue::UInt(it) => Literal::Unsigned(*it.inner()),
            LiteralValue::Double(it) => Literal::Float(*it.inner()),
            LiteralValue::String(it) => Literal::Text(it.inner().into()),
            LiteralValue::Bytes(it) => Literal::Bytes(it.inner().into()),
            LiteralValue::Null => Literal::Null,
        }),
        Expr::Call(call) => match (&call.target, call.func_name.as_str(), call.args.as_slice()) {
            (None, "timestamp", [part]) if text(part).is_some() => {
                Expression::constant_time(node).map(|time| Literal::Time(time.into()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Left sides that may wait at once: bits of a word.
const WAITING_MAX: usize = 60;

const TYPES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "optional_type", "string", "uint"];

const NEVER_BOOLEAN: [&str; 13] = [
    operators::ADD,
    operators::SUBSTRACT,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::NEGATE,
    "size",
    "int",
    "uint",
    "double",
    "string",
    "timestamp",
    "duration",
];
