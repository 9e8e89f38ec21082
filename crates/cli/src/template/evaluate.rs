//! Filling a template in.

use serde_json::Value;

use super::parse::{Branch, Node, Operand, Pipeline};
use super::{Result, TemplateError, error, functions, print};

/// Nodes and commands that one rendering may take.
const MOST_STEPS: u64 = 5_000_000;
/// Bytes that one rendering may write.
const MOST_OUTPUT: usize = 64 << 20;

/// What stops a block before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// One rendering.
#[derive(Debug)]
pub(super) struct Evaluation<'a> {
    data: &'a Value,
    /// Whether a missing member of the data is an error.
    strict: bool,
    output: String,
    steps: u64,
    variables: Vec<(String, Value)>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(data: &'a Value, strict: bool) -> Self {
        Self {
            data,
            strict,
            output: String::new(),
            steps: 0,
            variables: Vec::new(),
        }
    }

    pub(super) fn run(mut self, nodes: &[Node]) -> Result<String> {
        self.nodes(nodes, self.data)?;
        Ok(self.output)
    }

    fn step(&mut self) -> Result<()> {
        self.steps = self.steps.saturating_add(1);
        if self.steps > MOST_STEPS {
            error("it runs for too long")
        } else {
            Ok(())
        }
    }

    fn write(&mut self, text: &str) -> Result<()> {
        if self.output.len().saturating_add(text.len()) > MOST_OUTPUT {
            return error("it writes too much");
        }
        self.output.push_str(text);
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow> {
        let scope = self.variables.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::On {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow> {
        self.step()?;
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    let text = print::value(&value);
                    self.write(&text)?;
                } else {
                    self.set(pipeline, value)?;
                }
            }
            Node::If(branch) => return self.scoped(|run| run.choose(branch, dot, false)),
            Node::With(branch) => return self.scoped(|run| run.choose(branch, dot, true)),
            Node::Range(branch) => return self.scoped(|run| run.range(branch, dot)),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// Forgets the variables that a branch's pipeline declared.
    fn scoped(&mut self, branch: impl FnOnce(&mut Self) -> Result<Flow>) -> Result<Flow> {
        let scope = self.variables.len();
        let flow = branch(self);
        self.variables.truncate(scope);
        flow
    }

    fn set(&mut self, pipeline: &Pipeline, value: Value) -> Result<()> {
        let [name] = pipeline.variables.as_slice() else {
            return error("too many declarations in pipeline");
        };
        if pipeline.declares {
            self.variables.push((name.clone(), value));
            return Ok(());
        }
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => return error(format!("undefined variable: ${name}")),
        }
        Ok(())
    }

    fn choose(&mut self, branch: &Branch, dot: &Value, becomes_dot: bool) -> Result<Flow> {
        let value = self.pipeline(&branch.pipeline, dot)?;
        let holds = print::is_true(&value);
        let inner = if becomes_dot { value.clone() } else { Value::Null };
        if !branch.pipeline.variables.is_empty() {
            self.set(&branch.pipeline, value)?;
        }
        match (holds, becomes_dot) {
            (true, true) => self.nodes(&branch.then, &inner),
            (true, false) => self.nodes(&branch.then, dot),
            (false, _) => self.nodes(&branch.otherwise, dot),
        }
    }

    fn range(&mut self, branch: &Branch, dot: &Value) -> Result<Flow> {
        let value = self.pipeline(&branch.pipeline, dot)?;
        let items: Vec<(Value, Value)> = match value {
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| (Value::from(index), item))
                .collect(),
            Value::Object(members) => members
                .into_iter()
                .map(|(name, item)| (Value::from(name), item))
                .collect(),
            Value::Null => Vec::new(),
            other => return error(format!("range can't iterate over {}", print::value(&other))),
        };
        if items.is_empty() {
            return self.nodes(&branch.otherwise, dot);
        }
        for (index, item) in items {
            let scope = self.variables.len();
            match branch.pipeline.variables.as_slice() {
                [] => {}
                [element] => self.variables.push((element.clone(), item.clone())),
                [first, second, ..] => {
                    self.variables.push((first.clone(), index));
                    self.variables.push((second.clone(), item.clone()));
                }
            }
            let flow = self.nodes(&branch.then, &item);
            self.variables.truncate(scope);
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value> {
        let mut value = None;
        for command in &pipeline.commands {
            self.step()?;
            value = Some(self.command(command, dot, value)?);
        }
        value.ok_or_else(|| TemplateError("missing value for command".to_owned()))
    }

    fn command(&mut self, command: &[Operand], dot: &Value, piped: Option<Value>) -> Result<Value> {
        let Some((first, rest)) = command.split_first() else {
            return error("missing value for command");
        };
        let Operand::Function(name) = first else {
            if let (Operand::Fields(of, names), [label], None) = (first, rest, &piped)
                && names.last().is_some_and(|name| name == "Label")
            {
                return self.label(of, names, label, dot);
            }
            if !rest.is_empty() || piped.is_some() {
                return error("can't give argument to non-function");
            }
            return self.operand(first, dot);
        };
        // As in Go, the rest is not looked at once the outcome is known.
        if let ("and" | "or", None) = (name.as_str(), &piped) {
            let mut value = Value::Null;
            for operand in rest {
                value = self.operand(operand, dot)?;
                if print::is_true(&value) == (name == "or") {
                    break;
                }
            }
            return Ok(value);
        }
        let mut arguments = Vec::with_capacity(rest.len().saturating_add(1));
        for operand in rest {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(piped);
        functions::call(name, &arguments)
    }

    /// `.Label "name"` of a list's row, whose labels are one text.
    fn label(&mut self, of: &Operand, names: &[String], label: &Operand, dot: &Value) -> Result<Value> {
        let row = self.operand(of, dot)?;
        let before = names.len().saturating_sub(1);
        let row = self.member(row, names.get(..before).unwrap_or_default())?;
        let wanted = print::value(&self.operand(label, dot)?);
        let labels = row.get("Labels").and_then(Value::as_str).unwrap_or_default();
        let found = labels
            .split(',')
            .find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == wanted));
        Ok(Value::from(found.map_or("", |(_, value)| value)))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value> {
        self.step()?;
        Ok(match operand {
            Operand::Constant(value) => value.clone(),
            Operand::Dot => dot.clone(),
            Operand::Variable(name) if name.is_empty() => self.data.clone(),
            Operand::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                match known {
                    Some((_, value)) => value.clone(),
                    None => return error(format!("undefined variable: ${name}")),
                }
            }
            Operand::Function(name) => functions::call(name, &[])?,
            Operand::Fields(of, names) => match &**of {
                // The common case, without a copy of the whole.
                Operand::Dot => self.member_of(dot, names)?,
                of => {
                    let value = self.operand(of, dot)?;
                    self.member_of(&value, names)?
                }
            },
            Operand::Nested(pipeline) => self.pipeline(pipeline, dot)?,
        })
    }

    fn member(&self, value: Value, names: &[String]) -> Result<Value> {
        self.member_of(&value, names)
    }

    fn member_of(&self, value: &Value, names: &[String]) -> Result<Value> {
        let mut value = value;
        for name in names {
            let found = match value {
                Value::Object(members) => members.get(name).or_else(|| {
                    // JSON's `Id` is Go's `ID`.
                    members
                        .iter()
                        .find(|(known, _)| known.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value)
                }),
                Value::Null => None,
                other => {
                    let of = print::value(other);
                    return error(format!("can't evaluate field {name} in {of:?}"));
                }
            };
            match found {
                Some(found) => value = found,
                None if self.strict => return error(format!("can't evaluate field {name}")),
                None => return Ok(Value::Null),
            }
        }
        Ok(value.clone())
    }
}
