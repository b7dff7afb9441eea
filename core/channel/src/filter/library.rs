//! The library `cel`: it parses, and it evaluates what we have no term for.

use super::bound::{self, Names};
use super::{FilterError, FilterLimits, Position, Reason};
use crate::value::{Fields, Value};
use cel::common::ast::{IdedExpr, SourceInfo};
use cel::common::types::{CelBool, CelBytes, CelDouble, CelInt, CelMap, CelMapKey, CelString, CelTimestamp};
use cel::common::value::Val;
use cel::{Context, Env};
use chrono::DateTime;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

/// The name under which all fields stand: `event.subject` is the field `subject`.
pub(super) const FIELD_ROOT: &str = "event";

/// A syntax tree, and what its evaluation needs.
pub(super) struct Expression {
    root: IdedExpr,
    info: Arc<SourceInfo>,
    names: Names,
}

impl Expression {
    /// Parses and checks `source`. Descends deeply: call it with a stack of some MiB.
    pub(super) fn parse(source: &str, limits: &FilterLimits) -> Result<Expression, FilterError> {
        let levels = u16::try_from(limits.depth_max.max(limits.nesting_max) * 2).unwrap_or(u16::MAX);
        let parser = ENVIRONMENT.parser().enable_optional_syntax(false).max_recursion_depth(levels);
        let parser = parser.enable_ident_escape_syntax(false).error_recovery_limit(4);
        let (root, info) = parser.parse_with_source_info(source).map_err(|errors| syntax_error(&errors))?;
        let mut expression = Expression { root, info: Arc::new(info), names: Names::default() };
        expression.names = bound::check(&expression, limits)?;
        Ok(expression)
    }

    /// A part of the same source.
    pub(super) fn part(&self, root: &IdedExpr) -> Expression {
        // All the names of the whole: a part asks for no more of them.
        let names = Names {
            bare: self.names.bare.iter().filter(|name| mentions(root, name)).cloned().collect(),
            members: self.names.members.iter().filter(|name| mentions(root, name)).cloned().collect(),
        };
        Expression { root: root.clone(), info: self.info.clone(), names }
    }

    pub(super) fn root(&self) -> &IdedExpr {
        &self.root
    }

    /// Where a node stands in the source.
    pub(super) fn position(&self, node: &IdedExpr) -> Position {
        let start = self.info.offset_for(node.id).map_or(0, |(start, _)| start as usize);
        Position::of_character(&self.info.source, start)
    }

    /// The value for `event`, which must be a boolean.
    pub(super) fn evaluate<F: Fields + ?Sized>(&self, event: &F) -> Result<bool, Reason> {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        for name in &self.names.bare {
            if let Some(value) = event.field(name) {
                context.add_variable_as_val(name.as_str(), boxed(value)?);
            }
        }
        if !self.names.members.is_empty() {
            let mut members: HashMap<CelMapKey<'_>, Box<dyn Val + '_>> = HashMap::new();
            for name in &self.names.members {
                if let Some(value) = event.field(name) {
                    members.insert(CelMapKey::from(name.as_str()), boxed(value)?);
                }
            }
            context.add_variable_as_val(FIELD_ROOT, Box::new(CelMap::from(members)));
        }
        // The library may have a panic left for an input that nobody has thought of: it costs one answer, no process.
        let value = catch_unwind(AssertUnwindSafe(|| {
            let value = cel::Value::resolve_val(&self.root, &context).map_err(|_| Reason::Library)?;
            value.downcast_ref::<CelBool>().map(|it| *it.inner()).ok_or(Reason::Mismatch)
        }));
        value.unwrap_or(Err(Reason::Library))
    }

    /// The value of an expression without fields, such as `timestamp("2026-01-01T00:00:00Z")`, when it is a moment:
    /// nanoseconds since 1970.
    pub(super) fn constant_time(root: &IdedExpr) -> Option<i128> {
        let context = Context::with_env(ENVIRONMENT.clone());
        let value = cel::Value::resolve_val(root, &context).ok()?;
        let time = value.downcast_ref::<CelTimestamp>()?.inner();
        Some(i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos()))
    }
}

fn boxed<'a>(value: Value<'a>) -> Result<Box<dyn Val + 'a>, Reason> {
    Ok(match value {
        Value::Bool(it) => Box::new(CelBool::from(it)),
        Value::Int(it) => Box::new(CelInt::from(it)),
        Value::Float(it) => Box::new(CelDouble::from(it)),
        Value::Text(it) => Box::new(CelString::from(it)),
        Value::Bytes(it) => Box::new(CelBytes::from(it)),
        Value::Time(it) => {
            let (seconds, nanos) = (it.as_nanos() / 1_000_000_000, it.as_nanos() % 1_000_000_000);
            let time = DateTime::from_timestamp(seconds as i64, nanos as u32).ok_or(Reason::Library)?;
            Box::new(CelTimestamp::from(time.fixed_offset()))
        }
    })
}

/// Whether `name` occurs in the tree as a name, a member, or the text of a literal.
fn mentions(root: &IdedExpr, name: &str) -> bool {
    use cel::common::ast::{EntryExpr, Expr, LiteralValue};
    let mut waiting = vec![root];
    while let Some(node) = waiting.pop() {
        match &node.expr {
            Expr::Ident(it) if it == name => return true,
            Expr::Literal(LiteralValue::String(it)) if it.inner() == name => return true,
            Expr::Select(select) => {
                if select.field == name {
                    return true;
                }
                waiting.push(&select.operand);
            }
            Expr::Call(call) => waiting.extend(call.target.as_deref().into_iter().chain(&call.args)),
            Expr::List(list) => waiting.extend(&list.elements),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        waiting.extend([&entry.key, &entry.value]);
                    }
                }
            }
            Expr::Comprehension(it) => {
                waiting.extend([&it.iter_range, &it.accu_init, &it.loop_cond, &it.loop_step, &it.result]);
            }
            _ => {}
        }
    }
    false
}

fn syntax_error(errors: &cel::ParseErrors) -> FilterError {
    let Some(first) = errors.errors.first() else { return FilterError::Library };
    let number = |it: isize| u32::try_from(it).unwrap_or(1).max(1);
    let position = Position { line: number(first.pos.0), column: number(first.pos.1) };
    FilterError::Syntax { position, message: first.msg.chars().take(200).collect() }
}

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
