//! Makes the flat program of a syntax tree.

use super::FilterError;
use super::library::{Expression, FIELD_ROOT};
use super::program::{Literal, Op, Program, Term, Test};
use cel::common::ast::operators;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

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
    let mut ops = Vec::new();
    push(whole, root, 0, &mut ops);
    Ok(Program::new(ops))
}

fn push(whole: &Expression, node: &IdedExpr, depth: usize, ops: &mut Vec<Op>) {
    if let Expr::Literal(LiteralValue::Boolean(value)) = &node.expr {
        return ops.push(Op::Always(*value.inner()));
    }
    if let Expr::Call(call) = &node.expr
        && call.target.is_none()
        && depth < WAITING_MAX
    {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, [inner]) => {
                push(whole, inner, depth, ops);
                return ops.push(Op::Not);
            }
            (operators::LOGICAL_AND, [left, right]) => {
                return both(whole, [left, right], depth, ops, |end| Op::And { end }, Op::AndEnd);
            }
            (operators::LOGICAL_OR, [left, right]) => {
                return both(whole, [left, right], depth, ops, |end| Op::Or { end }, Op::OrEnd);
            }
            _ => {}
        }
    }
    let position = whole.position(node);
    let (field, test) = match term(node) {
        Some((field, test)) => (field.into(), test),
        None => (Box::default(), Test::Library(Box::new(whole.part(node)))),
    };
    ops.push(Op::Term(Term { field, test, position }));
}

fn both(
    whole: &Expression,
    [left, right]: [&IdedExpr; 2],
    depth: usize,
    ops: &mut Vec<Op>,
    begin: impl Fn(u32) -> Op,
    end: Op,
) {
    push(whole, left, depth, ops);
    let place = ops.len();
    ops.push(begin(0));
    push(whole, right, depth + 1, ops);
    ops.push(end);
    ops[place] = begin(ops.len() as u32);
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
        operators::EQUALS => return Some((name, Test::Equal(literal))),
        operators::NOT_EQUALS => return Some((name, Test::NotEqual(literal))),
        operators::LESS => [true, false, false],
        operators::LESS_EQUALS => [true, true, false],
        operators::GREATER => [false, false, true],
        operators::GREATER_EQUALS => [false, true, true],
        _ => return None,
    };
    if is_turned {
        wanted.reverse();
    }
    Some((name, Test::Order(literal, wanted)))
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
                Expression::constant_time(node).map(Literal::Time)
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
