//! Walks a syntax tree once, before anything is made of it: is everything in it available, and what can it cost?
//!
//! The cost of an evaluation is counted in steps: one per node, times the length of the lists around it, and one for each
//! field or literal that a value is put together from, so that neither loops nor doubling (`[a].map(x, x + x)...`) pass.

use super::library::{Expression, FIELD_ROOT};
use super::{FilterError, FilterLimits, Position};
use cel::common::ast::operators;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};

/// What an expression costs, weighs and, when it is a list written out, holds.
#[derive(Clone, Copy)]
struct Size {
    /// Steps to evaluate it.
    cost: u64,
    /// Fields and literals that its value can be made of.
    weight: u64,
    /// Elements, where known.
    count: Option<u64>,
}

/// The walk: what has been seen, and the variables of the comprehensions around.
pub(super) struct Walk<'a> {
    expression: &'a Expression,
    limits: &'a FilterLimits,
    nodes: usize,
    variables: Vec<(&'a str, Size)>,
    /// Bare names of fields.
    names: Vec<String>,
    /// Names that are asked of [`FIELD_ROOT`].
    members: Vec<String>,
}

/// The fields that an expression asks for.
#[derive(Default, Clone, Debug)]
pub(super) struct Names {
    /// By their bare names.
    pub bare: Vec<String>,
    /// As members of [`FIELD_ROOT`].
    pub members: Vec<String>,
}

/// Checks all of `expression`.
///
/// Errors: `TooDeep`, `TooManyNodes`, `TooCostly`, `Unbounded`, `NotAvailable`.
pub(super) fn check(expression: &Expression, limits: &FilterLimits) -> Result<Names, FilterError> {
    let (variables, names, members) = (Vec::new(), Vec::new(), Vec::new());
    let mut walk = Walk { expression, limits, nodes: 0, variables, names, members };
    let size = walk.size(expression.root(), 0)?;
    if size.cost > limits.cost_max {
        return Err(FilterError::TooCostly { cost: size.cost, max: limits.cost_max });
    }
    Ok(Names { bare: walk.names, members: walk.members })
}

impl<'a> Walk<'a> {
    fn size(&mut self, node: &'a IdedExpr, depth: usize) -> Result<Size, FilterError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes_max {
            return Err(FilterError::TooManyNodes { max: self.limits.nodes_max });
        }
        if depth > self.limits.depth_max {
            return Err(FilterError::TooDeep { position: self.at(node), max: self.limits.depth_max });
        }
        match &node.expr {
            Expr::Literal(literal) => Ok(Size { cost: 1, weight: literal_weight(literal), count: None }),
            Expr::Ident(name) => self.ident(node, name),
            Expr::Select(select) => self.select(node, select, depth),
            Expr::Call(call) => self.call(node, call, depth),
            Expr::List(list) => {
                let mut whole = Size { cost: 1, weight: 1, count: Some(list.elements.len() as u64) };
                for element in &list.elements {
                    whole = whole.and(self.size(element, depth + 1)?);
                }
                Ok(whole)
            }
            Expr::Map(map) => {
                let mut whole = Size { cost: 1, weight: 1, count: Some(map.entries.len() as u64) };
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(self.not_available(node, "structs"));
                    };
                    whole = whole.and(self.size(&entry.key, depth + 1)?);
                    whole = whole.and(self.size(&entry.value, depth + 1)?);
                }
                Ok(whole)
            }
            Expr::Comprehension(comprehension) => self.comprehension(node, comprehension, depth),
            Expr::Struct(_) => Err(self.not_available(node, "structs")),
            Expr::Unspecified => Err(self.not_available(node, "empty expressions")),
        }
    }

    fn ident(&mut self, node: &IdedExpr, name: &str) -> Result<Size, FilterError> {
        if let Some((_, size)) = self.variables.iter().rev().find(|(variable, _)| *variable == name) {
            return Ok(Size { cost: 1, ..*size });
        }
        let bare = name.strip_prefix('.').unwrap_or(name);
        if bare == FIELD_ROOT {
            let what = format!("{FIELD_ROOT} as a whole: name a field, {FIELD_ROOT}.NAME");
            return Err(self.not_available(node, &what));
        }
        if bare != name {
            return Err(self.not_available(node, "names with a leading dot"));
        }
        note(&mut self.names, name);
        Ok(FIELD)
    }

    fn select(
        &mut self,
        node: &'a IdedExpr,
        select: &'a SelectExpr,
        depth: usize,
    ) -> Result<Size, FilterError> {
        if let Expr::Ident(name) = &select.operand.expr
            && !self.variables.iter().any(|(variable, _)| variable == name)
        {
            if name != FIELD_ROOT {
                let name: String = name.chars().take(20).collect();
                return Err(self.not_available(node, &format!("parts of a field ({name} has none)")));
            }
            self.nodes += 1;
            note(&mut self.members, &select.field);
            return Ok(FIELD);
        }
        let operand = self.size(&select.operand, depth + 1)?;
        Ok(Size { cost: operand.cost.saturating_add(1), count: None, ..operand })
    }

    fn call(&mut self, node: &'a IdedExpr, call: &'a CallExpr, depth: usize) -> Result<Size, FilterError> {
        let name = call.func_name.as_str();
        if !FUNCTIONS.contains(&name) {
            return Err(self.not_available(node, &format!("function {name}")));
        }
        if let (operators::INDEX, [operand, index]) = (name, call.args.as_slice())
            && matches!(&operand.expr, Expr::Ident(root) if root == FIELD_ROOT)
        {
            let Expr::Literal(LiteralValue::String(member)) = &index.expr else {
                return Err(self.not_available(node, "computed names of fields"));
            };
            self.nodes += 2;
            note(&mut self.members, member.inner());
            return Ok(FIELD);
        }
        let mut whole = Size { cost: 1, weight: 1, count: None };
        let mut counts = Vec::new();
        for part in call.target.as_deref().into_iter().chain(&call.args) {
            let size = self.size(part, depth + 1)?;
            whole = whole.and(size);
            counts.push(size.count);
        }
        whole.count = match (name, counts.as_slice()) {
            (operators::ADD, [Some(left), Some(right)]) => Some(left.saturating_add(*right)),
            (operators::CONDITIONAL, [_, Some(left), Some(right)]) => Some(*left.max(right)),
            _ => None,
        };
        // What it is given is read once.
        whole.cost = whole.cost.saturating_add(whole.weight);
        Ok(whole)
    }

    fn comprehension(
        &mut self,
        node: &'a IdedExpr,
        comprehension: &'a ComprehensionExpr,
        depth: usize,
    ) -> Result<Size, FilterError> {
        let range = self.size(&comprehension.iter_range, depth + 1)?;
        let Some(count) = range.count.filter(|_| comprehension.iter_var2.is_none()) else {
            return Err(FilterError::Unbounded { position: self.at(node) });
        };
        let start = self.size(&comprehension.accu_init, depth + 1)?;
        let around = self.variables.len();
        self.variables.push((&comprehension.accu_var, start));
        self.variables.push((&comprehension.iter_var, Size { cost: 1, weight: range.weight, count: None }));
        let condition = self.size(&comprehension.loop_cond, depth + 1)?;
        let step = self.size(&comprehension.loop_step, depth + 1)?;
        self.variables.truncate(around);
        let end = Size {
            cost: 1,
            weight: start.weight.saturating_add(count.saturating_mul(step.weight)),
            count: step.count.map(|each| each.saturating_mul(count)),
        };
        self.variables.push((&comprehension.accu_var, end));
        let result = self.size(&comprehension.result, depth + 1)?;
        self.variables.truncate(around);
        let turn = condition.cost.saturating_add(step.cost);
        let cost = range.cost.saturating_add(start.cost).saturating_add(count.saturating_mul(turn));
        let cost = cost.saturating_add(end.weight).saturating_add(result.cost);
        Ok(Size { cost, weight: end.weight, count: result.count })
    }

    fn at(&self, node: &IdedExpr) -> Position {
        self.expression.position(node)
    }

    fn not_available(&self, node: &IdedExpr, what: &str) -> FilterError {
        FilterError::NotAvailable { position: self.at(node), what: what.chars().take(60).collect() }
    }
}

impl Size {
    /// Both together; the count stays.
    fn and(self, part: Size) -> Size {
        Size {
            cost: self.cost.saturating_add(part.cost),
            weight: self.weight.saturating_add(part.weight),
            count: self.count,
        }
    }
}

fn note(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.into());
    }
}

fn literal_weight(literal: &LiteralValue) -> u64 {
    match literal {
        LiteralValue::String(text) => 1 + text.inner().len() as u64 / 256,
        LiteralValue::Bytes(bytes) => 1 + bytes.inner().len() as u64 / 256,
        _ => 1,
    }
}

const FIELD: Size = Size { cost: 1, weight: 1, count: None };

/// What may be called. `matches` is missing: the library would compile its pattern for each event.
const FUNCTIONS: [&str; 45] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "int",
    "max",
    "min",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
];
