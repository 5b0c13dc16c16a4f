//! A template with its copies: whatever gets a name (by `set`, `with`, `for` or as an argument) and
//! every term of a sum becomes what a filter makes of it (see [`bounds`](super::bounds)).

use super::bounds::{COPIED, WITHIN};
use bake_spec::text::jinja::{self, Piece};

/// The template with every value that gets a name, and every term of a sum, copied.
/// `{% generation %}`, with which transformers marks what the assistant says, becomes a block that
/// the engine has.
///
/// # Errors
/// What is wrong with a template that makes namespaces in another way than by calling `namespace`.
pub(super) fn with_copies(source: &str) -> Result<String, String> {
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
            _ => Tag::new(code, is_block).with_copies()?,
        };
        out.extend([open, &code, close]);
    }
    Ok(out)
}

#[derive(Clone, Copy, PartialEq)]
enum TermKind {
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
    kind: TermKind,
    text: &'a str,
    /// Where it begins in the tag.
    at: usize,
}

impl Lexeme<'_> {
    /// Whether an operand may end here.
    fn is_operand(&self) -> bool {
        matches!(self.kind, TermKind::Name | TermKind::Literal | TermKind::Close)
    }
}

/// One bracket, or the whole tag.
#[derive(Default)]
struct Level {
    /// The first token of the term that is being read.
    term: usize,
    /// Whether it is copied: a `+` stands before it, or a `*` in it.
    copied: bool,
    /// The first token of an argument or of a value that gets a name, and the filter for it.
    bound: Option<(usize, &'static str)>,
    /// The filter for further arguments, within the brackets of a call.
    arguments: Option<&'static str>,
    /// Whether these are the brackets of parameters.
    parameters: bool,
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
                space if space.is_whitespace() => {
                    at += space.len_utf8();
                    continue;
                }
                '"' | '\'' => (TermKind::Literal, jinja::string(rest)),
                '0'..='9' => {
                    let mut digits = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
                    // An exponent may have a sign.
                    let exponent = rest[digits..].strip_prefix(['+', '-']);
                    if rest[..digits].ends_with(['e', 'E'])
                        && exponent
                            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
                    {
                        let after = &rest[digits + 1..];
                        digits += 1 + after.find(|c| !in_word(c)).unwrap_or(after.len());
                    }
                    let fraction = rest[digits..].strip_prefix('.').map_or(0, |fraction| {
                        let digits = fraction.find(|c| !in_word(c)).unwrap_or(fraction.len());
                        if fraction.starts_with(|c: char| c.is_ascii_digit()) {
                            digits + 1
                        } else {
                            0
                        }
                    });
                    (TermKind::Literal, digits + fraction)
                }
                '(' | '[' | '{' => (TermKind::Open, 1),
                ')' | ']' | '}' => (TermKind::Close, 1),
                c if in_word(c) => {
                    let length = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
                    let kind = match &rest[..length] {
                        _ if is_block && tokens.is_empty() => TermKind::Keyword,
                        _ if tokens.last().is_some_and(|before| before.text == ".") => {
                            TermKind::Name
                        }
                        // Tests bind more tightly than all signs.
                        "is" if tokens.last().is_some_and(Lexeme::is_operand) => TermKind::Sign,
                        "not" if tokens.last().is_some_and(|before| before.text == "is") => {
                            TermKind::Sign
                        }
                        "not" => TermKind::Keyword,
                        "in" if tokens.last().is_some_and(|before| before.text == "not") => {
                            TermKind::Keyword
                        }
                        // Where a value is expected, they are names.
                        "and" | "or" | "if" | "else" | "in" | "recursive"
                            if tokens.last().is_some_and(Lexeme::is_operand) =>
                        {
                            TermKind::Keyword
                        }
                        _ => TermKind::Name,
                    };
                    (kind, length)
                }
                c => {
                    let pair = ["==", "!=", "<=", ">=", "//", "**"].iter();
                    let is_pair = pair.into_iter().any(|pair| rest.starts_with(pair));
                    (TermKind::Sign, if is_pair { 2 } else { c.len_utf8() })
                }
            };
            tokens.push(Lexeme { kind, text: &rest[..length], at });
            at += length;
        }
        Self { code, tokens, added: Vec::new() }
    }

    /// The code with its copies.
    fn with_copies(mut self) -> Result<String, String> {
        for (i, token) in self.tokens.iter().enumerate() {
            let called = self.tokens.get(i + 1).is_some_and(|next| next.text == "(");
            let attribute = i > 0 && self.tokens[i - 1].text == ".";
            if token.text == "namespace" && !called && !attribute {
                return Err("uses `namespace` without calling it".to_owned());
            }
        }
        let statement = match self.tokens.first() {
            Some(Lexeme { kind: TermKind::Keyword, text, .. }) => *text,
            _ => "",
        };
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
        Ok(out)
    }

    fn read(&mut self, i: usize, statement: &str, levels: &mut Vec<Level>) {
        let token = self.tokens[i];
        let before = i.checked_sub(1).map(|before| self.tokens[before]);
        let outermost = levels.len() == 1;
        let Some(level) = levels.last_mut() else { return };
        match (token.kind, token.text) {
            (TermKind::Open, bracket) => {
                let of_call = bracket == "("
                    && before.is_some_and(|it| matches!(it.kind, TermKind::Name | TermKind::Close));
                let arguments = of_call.then_some(match before {
                    Some(Lexeme { text: "namespace", .. }) => WITHIN,
                    _ => COPIED,
                });
                // Those of a `macro` and of a `call` are parameters, with or without a default.
                let parameters =
                    outermost && (statement == "macro" && i == 2 || statement == "call" && i == 1);
                let arguments = arguments.filter(|_| !parameters);
                let bound = arguments.map(|filter| (i + 1, filter));
                levels.push(Level {
                    term: i + 1,
                    bound,
                    arguments,
                    parameters,
                    ..Level::default()
                });
            }
            (TermKind::Close, _) if !outermost => {
                // The engine divides by the number of values, which Jinja2 requires, too.
                if i >= 2 && ["cycle", "("] == [self.tokens[i - 2].text, self.tokens[i - 1].text] {
                    let raised = "raise_exception('no items for cycling given')";
                    self.added.push((token.at, raised.to_owned()));
                }
                if let Some(level) = levels.pop() {
                    self.end_term(&level, i, false);
                    self.end_bound(&level, i);
                }
            }
            (TermKind::Sign, "+" | "-") if before.is_some_and(|before| before.is_operand()) => {
                let is_sum = token.text == "+";
                self.end_term(level, i, is_sum);
                (level.term, level.copied) = (i + 1, is_sum);
            }
            (TermKind::Sign, "=") => {
                (level.term, level.copied) = (i + 1, false);
                if level.parameters {
                    level.bound = Some((i + 1, COPIED));
                } else if outermost && matches!(statement, "set" | "with") {
                    let of_namespace = self.tokens[..i].iter().any(|token| token.text == ".");
                    level.bound = Some((i + 1, if of_namespace { WITHIN } else { COPIED }));
                } else if let Some((begin, _)) = &mut level.bound {
                    *begin = i + 1;
                }
            }
            (TermKind::Sign, ",") => {
                self.end_term(level, i, false);
                // Without brackets, `set` makes a tuple.
                if !(outermost && statement == "set") {
                    self.end_bound(level, i);
                    level.bound = level.arguments.map(|filter| (i + 1, filter));
                }
                (level.term, level.copied) = (i + 1, false);
            }
            (TermKind::Sign, "*" | "**") if level.bound.is_some_and(|(begin, _)| begin == i) => {
                level.bound = level.bound.map(|(begin, filter)| (begin + 1, filter));
                level.term = i + 1;
            }
            // A repeated list is as long as it says, and takes no step.
            (TermKind::Sign, "*") if before.is_some_and(|before| before.is_operand()) => {
                level.copied = true;
            }
            (TermKind::Keyword, _)
            | (TermKind::Sign, ":" | "==" | "!=" | "<" | ">" | "<=" | ">=") => {
                self.end_term(level, i, false);
                (level.term, level.copied) = (i + 1, false);
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
            _ => {}
        }
    }

    /// Copies the term before a token, if it is one of a sum.
    fn end_term(&mut self, level: &Level, end: usize, followed: bool) {
        if level.copied || followed {
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
        let (first, last) = match self.tokens.get(begin..end) {
            Some([first, .., last]) => (first, last),
            Some([one]) if one.kind != TermKind::Literal => (one, one),
            _ => return,
        };
        // What is not a value is an error of the template.
        if !last.is_operand() {
            return;
        }
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
            "{% for %}{% endfor %}{% raw %}{{ a + b }}{% endraw %}{% macro m(a, b='c') %}",
            "{% macro m(a, b=<[c]>, d='e') %}{% call(a, b=<c>) m(<d>) %}{{ <is(<[a]>)> + 1 }}",
            "{{ 1 + 2 - <-1> + 'a' }}{{ + a }}{% set a %}{% set a = 'b' %}{% call(a) m() %}",
            "{{ {'a': {}} }}{{ <-a * b ~ c> }}{{ <2 * a.b[<c * d>]> - 'e' }}{% include 'a' %}",
            "{{ (a) }}{{ [a, b][1:] }}{{ 1e+3 + 2.5e-3 }}{{ a + b",
            "{%\u{c}set a = <b> %}{{ if(<a>) if in not in or else 1 }}{{ <a> + <b> }}",
            "{{- <a.b * c(1)> + <'x' ~ d> -}}{{ a['+'] - b }}",
            "{{ <x.if ~ b> + <c | f> == <d> + 1 if <(a - b)> + <e> else <f> + <g> }}",
            "{% set a = <b> %}{% set a, b = <1, c> %}{% set a = <b if c else [d, e]> %}",
            "{% set a = <(<b> + <c>)> %}{% set n.a = <<n.a> + 1!> -%}",
            "{% set n = <namespace(a=<b!>, c='d', e=<[f]!>)> %}{% set a = <f(<(<b> + <c>)>)> %}",
            "{% with a = <b>, c = <[d]> %}{% with %}{% set a | trim %}",
            "{% for a, b in <c.items()> %}{% for a in <b[1:]> if a in c recursive %}",
            "{{ loop(<a.b>) }}{{ m(<a>, b=<c>, d='e', *<f>) }}{{ a | f(<b>, 1) is g(<c>) }}",
            "{% filter join(<a>) %}{% call(a) m(<b>) %}{{ a(<b>)(<c>) }}{{ {'a': <b> + <c>} }}",
            "{% if not (a or b) and a is divisibleby 2 %}{% elif (a) in (b) %}",
            "{{ <a is defined ~ 'b'> + 'c' }}{{ <a is not b 2> + <c is d> }}{{ not <a> + 1 }}",
        ] {
            let plain = marked.replace(['<', '>'], "").replace('!', "");
            let refused = marked.replace("!>", &format!(")|{WITHIN}"));
            let copied = refused.replace('<', "(").replace('>', &format!(")|{COPIED}"));
            assert_eq!(with_copies(&plain).unwrap(), copied, "{marked}");
        }
        assert!(with_copies("{{ loop.cycle() }}").unwrap().contains("no items for cycling given"));
        let of_transformers = "{%- generation %}said{% endgeneration -%}";
        assert_eq!(with_copies(of_transformers).unwrap(), "{%- with %}said{% endwith -%}");
        assert!(with_copies("{% set a = (namespace)(b=a) %}").unwrap_err().contains("`namespace`"));
    }
}
