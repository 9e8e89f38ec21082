//! Tokens as a tree of nodes.

use std::iter::Peekable;
use std::vec::IntoIter;

use serde_json::Value;

use super::lex::Token;
use super::{Result, error};

/// How deep blocks and parentheses may nest.
const DEEPEST: usize = 64;

/// A part of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    /// Writes a pipeline's value, unless it only sets a variable.
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

/// A pipeline and the blocks that it decides between.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands of which each gets the value of the one before as its last argument.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// Variables that take the value; two for `range` take index and element.
    pub(super) variables: Vec<String>,
    /// Whether the variables are new.
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

#[derive(Debug)]
pub(super) enum Operand {
    Constant(Value),
    /// The data at this place.
    Dot,
    /// A variable's value; `$` is the whole data.
    Variable(String),
    Function(String),
    /// `.A.B` of an operand.
    Fields(Box<Operand>, Vec<String>),
    Nested(Pipeline),
}

/// Reads a whole template.
pub(super) fn template(tokens: Vec<Token>) -> Result<Vec<Node>> {
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        depth: 0,
        ranges: 0,
    };
    let (nodes, end) = parser.block()?;
    match end {
        None => Ok(nodes),
        Some(word) => error(format!("unexpected {{{{{word}}}}}")),
    }
}

/// Whether a field of the data is mentioned anywhere.
pub(super) fn mentions(nodes: &[Node], field: &str) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) | Node::Break | Node::Continue => false,
        Node::Action(pipeline) => in_pipeline(pipeline, field),
        Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
            in_pipeline(&branch.pipeline, field)
                || mentions(&branch.then, field)
                || mentions(&branch.otherwise, field)
        }
    })
}

fn in_pipeline(pipeline: &Pipeline, field: &str) -> bool {
    pipeline
        .commands
        .iter()
        .flatten()
        .any(|operand| in_operand(operand, field))
}

fn in_operand(operand: &Operand, field: &str) -> bool {
    match operand {
        Operand::Fields(of, names) => names.iter().any(|name| name == field) || in_operand(of, field),
        Operand::Nested(pipeline) => in_pipeline(pipeline, field),
        Operand::Constant(_) | Operand::Dot | Operand::Variable(_) | Operand::Function(_) => false,
    }
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
    depth: usize,
    ranges: usize,
}

impl Parser {
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= DEEPEST {
            return error(format!("nested deeper than {DEEPEST}"));
        }
        self.depth = self.depth.saturating_add(1);
        let value = read(self);
        self.depth = self.depth.saturating_sub(1);
        value
    }

    fn spaces(&mut self) {
        while self.tokens.next_if(|token| *token == Token::Space).is_some() {}
    }

    fn close(&mut self) -> Result<()> {
        self.spaces();
        match self.tokens.next() {
            Some(Token::Close) => Ok(()),
            other => error(format!("unexpected {} in action", described(other.as_ref()))),
        }
    }

    /// Nodes until `end` or `else`, whose word is returned with its action still open.
    fn block(&mut self) -> Result<(Vec<Node>, Option<String>)> {
        let mut nodes = Vec::new();
        loop {
            match self.tokens.next() {
                None => return Ok((nodes, None)),
                Some(Token::Text(text)) => nodes.push(Node::Text(text)),
                Some(Token::Open) => {
                    self.spaces();
                    let word = match self.tokens.peek() {
                        Some(Token::Word(word)) => word.clone(),
                        _ => String::new(),
                    };
                    match word.as_str() {
                        "end" | "else" => {
                            self.tokens.next();
                            return Ok((nodes, Some(word)));
                        }
                        "if" | "with" | "range" => {
                            self.tokens.next();
                            nodes.push(self.deeper(|parser| parser.branch(&word))?);
                        }
                        "break" | "continue" => {
                            self.tokens.next();
                            if self.ranges == 0 {
                                return error(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                            }
                            self.close()?;
                            nodes.push(if word == "break" {
                                Node::Break
                            } else {
                                Node::Continue
                            });
                        }
                        "define" | "template" | "block" => {
                            return error(format!("{{{{{word}}}}} is not supported in a format"));
                        }
                        _ => {
                            let pipeline = self.pipeline()?;
                            self.close()?;
                            nodes.push(Node::Action(pipeline));
                        }
                    }
                }
                other => return error(format!("unexpected {}", described(other.as_ref()))),
            }
        }
    }

    fn branch(&mut self, word: &str) -> Result<Node> {
        let pipeline = self.pipeline()?;
        self.close()?;
        let in_range = usize::from(word == "range");
        self.ranges = self.ranges.saturating_add(in_range);
        let (then, mut end) = self.block()?;
        self.ranges = self.ranges.saturating_sub(in_range);
        let mut otherwise = Vec::new();
        if end.as_deref() == Some("else") {
            self.spaces();
            let chained = self
                .tokens
                .next_if(|token| *token == Token::Word(word.to_owned()));
            if chained.is_some() && word != "range" {
                otherwise.push(self.deeper(|parser| parser.branch(word))?);
                return Ok(node(
                    word,
                    Branch {
                        pipeline,
                        then,
                        otherwise,
                    },
                ));
            }
            self.close()?;
            (otherwise, end) = self.block()?;
        }
        match end.as_deref() {
            Some("end") => self.close()?,
            Some(other) => return error(format!("unexpected {{{{{other}}}}}")),
            None => return error("unexpected EOF"),
        }
        Ok(node(
            word,
            Branch {
                pipeline,
                then,
                otherwise,
            },
        ))
    }

    fn pipeline(&mut self) -> Result<Pipeline> {
        let (variables, declares) = self.variables()?;
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            if command.is_empty() {
                return error("missing value for command");
            }
            commands.push(command);
            self.spaces();
            if self.tokens.next_if(|token| *token == Token::Pipe).is_none() {
                return Ok(Pipeline {
                    variables,
                    declares,
                    commands,
                });
            }
        }
    }

    /// `$a :=`, `$a =` or `$a, $b :=`, if the pipeline begins with one.
    fn variables(&mut self) -> Result<(Vec<String>, bool)> {
        let mut ahead = self.tokens.clone();
        let mut variables = Vec::new();
        loop {
            while ahead.next_if(|token| *token == Token::Space).is_some() {}
            match ahead.next() {
                Some(Token::Variable(name)) if variables.len() < 2 => variables.push(name),
                _ => return Ok((Vec::new(), false)),
            }
            while ahead.next_if(|token| *token == Token::Space).is_some() {}
            let declares = match ahead.next() {
                Some(Token::Comma) => continue,
                Some(Token::Declare) => true,
                Some(Token::Assign) => false,
                _ => return Ok((Vec::new(), false)),
            };
            self.tokens = ahead;
            return Ok((variables, declares));
        }
    }

    fn command(&mut self) -> Result<Vec<Operand>> {
        let mut operands = Vec::new();
        loop {
            self.spaces();
            let operand = match self.tokens.peek() {
                None | Some(Token::Close | Token::Pipe | Token::RightParen) => return Ok(operands),
                Some(Token::Field(_)) => Operand::Dot,
                _ => self.operand()?,
            };
            operands.push(self.fields(operand));
        }
    }

    fn operand(&mut self) -> Result<Operand> {
        Ok(match self.tokens.next() {
            Some(Token::Quoted(text)) => Operand::Constant(Value::from(text)),
            Some(Token::Integer(number)) => Operand::Constant(Value::from(number)),
            Some(Token::Float(number)) => Operand::Constant(Value::from(number)),
            Some(Token::Dot) => Operand::Dot,
            Some(Token::Variable(name)) => Operand::Variable(name),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Operand::Constant(Value::Bool(true)),
                "false" => Operand::Constant(Value::Bool(false)),
                "nil" => Operand::Constant(Value::Null),
                _ if super::functions::exists(&word) => Operand::Function(word),
                _ => return error(format!("function {word:?} not defined")),
            },
            Some(Token::LeftParen) => {
                let pipeline = self.deeper(Self::pipeline)?;
                self.spaces();
                match self.tokens.next() {
                    Some(Token::RightParen) => Operand::Nested(pipeline),
                    _ => return error("unclosed left paren"),
                }
            }
            other => return error(format!("unexpected {} in operand", described(other.as_ref()))),
        })
    }

    /// The fields that follow an operand without a space.
    fn fields(&mut self, operand: Operand) -> Operand {
        let mut names = Vec::new();
        while let Some(Token::Field(name)) = self.tokens.next_if(|token| matches!(token, Token::Field(_))) {
            names.push(name);
        }
        if names.is_empty() {
            operand
        } else {
            Operand::Fields(Box::new(operand), names)
        }
    }
}

fn node(word: &str, branch: Branch) -> Node {
    match word {
        "if" => Node::If(branch),
        "with" => Node::With(branch),
        _ => Node::Range(branch),
    }
}

fn described(token: Option<&Token>) -> String {
    match token {
        None => "EOF".to_owned(),
        Some(Token::Close) => "\"}}\"".to_owned(),
        Some(Token::Word(word)) => format!("<{word}>"),
        Some(token) => format!("{token:?}"),
    }
}
