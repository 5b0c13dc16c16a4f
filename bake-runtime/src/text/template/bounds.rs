//! What keeps a template from using up memory or stack.
//!
//! The engine charges every step and every byte of text, but not lists that are joined, and values
//! can contain one another without an end: a list that is added to itself in a loop has `2^n`
//! items, a namespace that contains itself is printed for ever. So whatever gets a name (by `set`,
//! `with`, `for` or as an argument) and every term of a sum is copied first, item by item, each for
//! a step. What names mean are then trees, at most [`NESTING`] deep, that were paid for.

use minijinja::value::{Kwargs, Tuple, ValueKind};
use minijinja::{Environment, State, Value, filters};

use super::invalid;
use crate::error::{Error, ErrorKind, Result};
use crate::text::jinja::{self, Piece};

/// How deeply a value that has a name may be nested.
const NESTING: usize = 32;

/// The filter that copies, and its form where a namespace is refused, too.
const COPIED: &str = "bake_copied";
const WITHIN: &str = "bake_copied(true)";

/// The most digits of a number in a text that `format` fills in: it may be a width.
const WIDTH_DIGITS: usize = 4;

/// The stack on which templates are parsed and run. The engine goes 150 levels deep, each of which
/// takes kilobytes in a program that is not optimised.
const STACK: usize = 32 << 20;

/// Runs something on a stack that is deep enough for the engine.
pub(super) fn on_deep_stack<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run);
        let thread = thread.map_err(|e| {
            let message = "cannot start a thread for the chat template";
            Error::with_source(ErrorKind::Tokenizer, message, e)
        })?;
        thread.join().map_err(|_| {
            let message = "the template engine panicked on a chat template; use another template";
            Error::new(ErrorKind::Tokenizer, message)
        })
    })
}

/// Adds the filter that [`bounded`] uses, and bounds what the engine's own do.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter(COPIED, |state: &State<'_, '_>, value: Value, within: Option<bool>| {
        copied(state, &value, usize::from(within.unwrap_or(false)))
    });
    // Jinja2 has none, and this one contains what it is given.
    environment.remove_filter("chain");
    environment.add_filter("sum", sum);
    environment.set_unknown_method_callback(|state, value, method, args| {
        let wide = |text: &str| {
            text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > WIDTH_DIGITS)
        };
        if method == "format" && value.as_str().is_some_and(wide) {
            return Err(invalid("`format` with a number of more than four digits".to_owned()));
        }
        minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
    });
}

type JinjaResult<T = Value> = std::result::Result<T, minijinja::Error>;

/// The sum of numbers. The engine's also joins lists, which costs it nothing.
fn sum(
    state: &State<'_, '_>,
    values: Value,
    attribute: Option<&str>,
    start: Option<Value>,
    options: Kwargs,
) -> JinjaResult {
    let named = options.peek::<Option<Value>>("start").unwrap_or_default();
    if start.as_ref().or(named.as_ref()).is_some_and(|start| !start.is_number()) {
        return Err(invalid("`sum` adds numbers only".to_owned()));
    }
    filters::sum(state, values, attribute, start, options)
}

/// A copy that shares no list or map with anything else. A value at depth 0 may be a namespace,
/// which is not copied.
fn copied(state: &State<'_, '_>, value: &Value, depth: usize) -> JinjaResult {
    let is_namespace = value.as_object().is_some_and(|it| it.type_name().ends_with("::Namespace"));
    if is_namespace && depth > 0 {
        return Err(invalid("a namespace cannot be stored inside another value".to_owned()));
    }
    if depth > NESTING {
        return Err(invalid(format!("a value is nested more than {NESTING} deep")));
    }
    state.consume_fuel(1)?;
    let item = |item: Value| copied(state, &item, depth + 1);
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(item).collect::<JinjaResult<Vec<_>>>()?;
            Ok(match value.is_tuple() {
                true => Value::from(Tuple::new(items)),
                false => Value::from(items),
            })
        }
        ValueKind::Map if !is_namespace => {
            let pair = |key: Value| Ok((item(key.clone())?, item(value.get_item(&key)?)?));
            let pairs = value.try_iter()?.map(pair).collect::<JinjaResult<Vec<_>>>()?;
            Ok(Value::from_pairs(pairs))
        }
        _ => Ok(value.clone()),
    }
}

/// The template with every value that gets a name, and every term of a sum, copied.
/// `{% generation %}`, with which transformers marks what the assistant says, becomes a block that
/// the engine has.
pub(super) fn bounded(source: &str) -> String {
    let mut out = String::with_capacity(source.len() * 2);
    for piece in jinja::pieces(source) {
        let (tag, is_block) = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Expression(tag) => (tag, false),
            Piece::Block(tag) => (tag, true),
        };
        let [open, code, close] = jinja::opened(tag);
        let code = match code.trim() {
            "generation" if is_block => " with ".to_owned(),
            "endgeneration" if is_block => " endwith ".to_owned(),
            _ => Tag::new(code, is_block).bounded(),
        };
        out.extend([open, &code, close]);
    }
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Name,
    /// A word that ends an expression.
    Keyword,
    Literal,
    Open,
    Close,
    Sign,
}

#[derive(Clone, Copy)]
struct Lexeme<'a> {
    kind: Kind,
    text: &'a str,
    /// Where it begins in the tag.
    at: usize,
}

impl Lexeme<'_> {
    /// Whether an operand may end here.
    fn is_operand(&self) -> bool {
        matches!(self.kind, Kind::Name | Kind::Literal | Kind::Close)
    }
}

/// One bracket, or the whole tag.
#[derive(Default)]
struct Level {
    /// The first token of the term that is being read.
    term: usize,
    /// Whether a `+` stands before it.
    added: bool,
    /// The first token of an argument or of a value that gets a name, and the filter for it.
    bound: Option<(usize, &'static str)>,
    /// The filter for further arguments, within the brackets of a call.
    arguments: Option<&'static str>,
}

/// The code of a tag, without its delimiters.
struct Tag<'a> {
    code: &'a str,
    tokens: Vec<Lexeme<'a>>,
    /// What is added, and where.
    added: Vec<(usize, String)>,
}

impl<'a> Tag<'a> {
    fn new(code: &'a str, is_block: bool) -> Self {
        let mut tokens: Vec<Lexeme<'a>> = Vec::new();
        let mut at = 0;
        while let Some(first) = code[at..].chars().next() {
            let rest = &code[at..];
            let in_word = |c: char| c.is_alphanumeric() || c == '_';
            let (kind, length) = match first {
                ' ' | '\t' | '\n' | '\r' => {
                    at += 1;
                    continue;
                }
                '"' | '\'' => (Kind::Literal, jinja::string(rest)),
                '0'..='9' => {
                    let digits = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
                    let fraction = rest[digits..].strip_prefix('.').map_or(0, |fraction| {
                        let digits = fraction.find(|c| !in_word(c)).unwrap_or(fraction.len());
                        if fraction.starts_with(|c: char| c.is_ascii_digit()) {
                            digits + 1
                        } else {
                            0
                        }
                    });
                    (Kind::Literal, digits + fraction)
                }
                '(' | '[' | '{' => (Kind::Open, 1),
                ')' | ']' | '}' => (Kind::Close, 1),
                c if in_word(c) => {
                    let length = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
                    let kind = match &rest[..length] {
                        _ if is_block && tokens.is_empty() => Kind::Keyword,
                        _ if tokens.last().is_some_and(|before| before.text == ".") => Kind::Name,
                        "and" | "or" | "not" | "if" | "else" | "in" | "is" | "recursive" => {
                            Kind::Keyword
                        }
                        _ => Kind::Name,
                    };
                    (kind, length)
                }
                c => {
                    let pair = ["==", "!=", "<=", ">=", "//", "**"].iter();
                    let is_pair = pair.into_iter().any(|pair| rest.starts_with(pair));
                    (Kind::Sign, if is_pair { 2 } else { c.len_utf8() })
                }
            };
            tokens.push(Lexeme { kind, text: &rest[..length], at });
            at += length;
        }
        Self { code, tokens, added: Vec::new() }
    }

    /// The code with its copies.
    fn bounded(mut self) -> String {
        let statement = match self.tokens.first() {
            Some(Lexeme { kind: Kind::Keyword, text, .. }) => *text,
            _ => "",
        };
        // Their parameters look like arguments.
        if matches!(statement, "macro" | "raw") {
            return self.code.to_owned();
        }
        let mut levels = vec![Level::default()];
        for i in 0..self.tokens.len() {
            self.read(i, statement, &mut levels);
        }
        let end = self.tokens.len();
        while let Some(level) = levels.pop() {
            self.end_term(&level, end, false);
            self.end_bound(&level, end);
        }
        // Where several end in one place, the inner one was added first.
        let mut out = String::with_capacity(self.code.len() * 2);
        let mut at = 0;
        self.added.sort_by_key(|(at, _)| *at);
        for (place, text) in &self.added {
            out.push_str(&self.code[at..*place]);
            out.push_str(text);
            at = *place;
        }
        out.push_str(&self.code[at..]);
        out
    }

    fn read(&mut self, i: usize, statement: &str, levels: &mut Vec<Level>) {
        let token = self.tokens[i];
        let before = i.checked_sub(1).map(|before| self.tokens[before]);
        let outermost = levels.len() == 1;
        let Some(level) = levels.last_mut() else { return };
        match (token.kind, token.text) {
            (Kind::Open, bracket) => {
                let of_call = bracket == "("
                    && before.is_some_and(|it| matches!(it.kind, Kind::Name | Kind::Close));
                let arguments = of_call.then_some(match before {
                    Some(Lexeme { text: "namespace", .. }) => WITHIN,
                    _ => COPIED,
                });
                let bound = arguments.map(|filter| (i + 1, filter));
                levels.push(Level { term: i + 1, added: false, bound, arguments });
            }
            (Kind::Close, _) if !outermost => {
                if let Some(level) = levels.pop() {
                    self.end_term(&level, i, false);
                    self.end_bound(&level, i);
                }
            }
            (Kind::Sign, "+" | "-") if before.is_some_and(|before| before.is_operand()) => {
                let is_sum = token.text == "+";
                self.end_term(level, i, is_sum);
                (level.term, level.added) = (i + 1, is_sum);
            }
            (Kind::Sign, "=") => {
                (level.term, level.added) = (i + 1, false);
                if outermost && matches!(statement, "set" | "with") {
                    let of_namespace = self.tokens[..i].iter().any(|token| token.text == ".");
                    level.bound = Some((i + 1, if of_namespace { WITHIN } else { COPIED }));
                } else if let Some((begin, _)) = &mut level.bound {
                    *begin = i + 1;
                }
            }
            (Kind::Sign, ",") => {
                self.end_term(level, i, false);
                // Without brackets, `set` makes a tuple.
                if !(outermost && statement == "set") {
                    self.end_bound(level, i);
                    level.bound = level.arguments.map(|filter| (i + 1, filter));
                }
                (level.term, level.added) = (i + 1, false);
            }
            (Kind::Sign, "*" | "**") if level.bound.is_some_and(|(begin, _)| begin == i) => {
                level.bound = level.bound.map(|(begin, filter)| (begin + 1, filter));
                level.term = i + 1;
            }
            (Kind::Keyword, _) | (Kind::Sign, ":" | "==" | "!=" | "<" | ">" | "<=" | ">=") => {
                self.end_term(level, i, false);
                (level.term, level.added) = (i + 1, false);
                let is_first = self.tokens[..i].iter().all(|other| other.text != token.text);
                if outermost && statement == "for" {
                    match token.text {
                        "in" if is_first => level.bound = Some((i + 1, COPIED)),
                        "if" | "recursive" => {
                            self.end_bound(level, i);
                            level.bound = None;
                        }
                        _ => {}
                    }
                }
            }
            // The name of a test, as in `is divisibleby 3`.
            (Kind::Name, _) if before.is_some_and(|before| before.text == "is") => {
                level.term = i + 1;
            }
            _ => {}
        }
    }

    /// Copies the term before a token, if it is one of a sum.
    fn end_term(&mut self, level: &Level, end: usize, followed: bool) {
        if level.added || followed {
            self.copy(level.term, end, COPIED);
        }
    }

    /// Copies the value before a token, if it gets a name.
    fn end_bound(&mut self, level: &Level, end: usize) {
        if let Some((begin, filter)) = level.bound {
            self.copy(begin, end, filter);
        }
    }

    fn copy(&mut self, begin: usize, end: usize, filter: &str) {
        let Some(tokens @ [first, ..]) = self.tokens.get(begin..end) else { return };
        if let [Lexeme { kind: Kind::Literal, .. }] = tokens {
            return;
        }
        let last = tokens[tokens.len() - 1];
        let (from, to) = (first.at, last.at + last.text.len());
        self.added.push((from, "(".to_owned()));
        self.added.push((to, format!(")|{filter}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is copied stands between `<` and `>`, or `!>` where a namespace is refused.
    #[test]
    fn names_and_the_terms_of_sums_are_copied() {
        for marked in [
            "text {# a + b #} {{ a }} {{- a.b[0](1) | f('x') -}} {% if a is not defined %}",
            "{% for %}{% endfor %}{% raw %}{{ a + b }}{% endraw %}{% macro m(a, b=[c]) %}",
            "{{ 1 + 2 - <-1> + 'a' }}{{ + a }}{% set a %}{% set a = 'b' %}{% call(a) m() %}",
            "{{ {'a': {}} }}{{ -a * b ~ c }}{% include 'a' %}{{ (a) }}{{ [a, b][1:] }}{{ a + b",
            "{{ <a> + <b> }}{{- <a.b * c(1)> + <'x' ~ d> -}}{{ a['+'] - b }}",
            "{{ <x.if ~ b> + <c | f> == <d> + 1 if <(a - b)> + <e> else <f> + <g> }}",
            "{% set a = <b> %}{% set a, b = <1, c> %}{% set a = <b if c else [d, e]> %}",
            "{% set a = <(<b> + <c>)> %}{% set n.a = <<n.a> + 1!> -%}",
            "{% set n = <namespace(a=<b!>, c='d', e=<[f]!>)> %}{% set a = <f(<(<b> + <c>)>)> %}",
            "{% with a = <b>, c = <[d]> %}{% with %}{% set a | trim %}",
            "{% for a, b in <c.items()> %}{% for a in <b[1:]> if a in c recursive %}",
            "{{ loop(<a.b>) }}{{ m(<a>, b=<c>, d='e', *<f>) }}{{ a | f(<b>, 1) is g(<c>) }}",
            "{% filter join(<a>) %}{% call(a) m(<b>) %}{{ a(<b>)(<c>) }}{{ {'a': <b> + <c>} }}",
            "{% if not (a or b) and a is divisibleby 2 %}{% elif (a) in (b) %}",
        ] {
            let plain = marked.replace(['<', '>'], "").replace('!', "");
            let refused = marked.replace("!>", &format!(")|{WITHIN}"));
            let copied = refused.replace('<', "(").replace('>', &format!(")|{COPIED}"));
            assert_eq!(bounded(&plain), copied, "{marked}");
        }
        let of_transformers = "{%- generation %}said{% endgeneration -%}";
        assert_eq!(bounded(of_transformers), "{%- with %}said{% endwith -%}");
    }
}
