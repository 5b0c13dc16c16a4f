//! Values: numbers, words, texts, lists.

use super::*;

impl Parser {
    /// A whole number; one that cannot be any is reported with those that it may be.
    pub(super) fn count(&mut self, input: ParseStream<'_>, kind: Kind) -> Parsed<Value> {
        let allowed = match kind {
            Kind::Counted { max, .. } => Kind::Count { min: 0, max },
            Kind::Count { .. } => kind,
            _ => Kind::Count { min: 0, max: u64::MAX },
        };
        let ahead = input.fork();
        let Ok(Lit::Int(literal)) = ahead.parse::<Lit>() else {
            let quoted = quoted(input).filter(|text| text.parse::<u64>().is_ok());
            let message = match quoted {
                Some(number) => format!("write `{number}` without quotes"),
                None => format!("expected a whole number, found {}", found(input)),
            };
            return self.report(Code::Syntax, input.span(), message);
        };
        let negative = input.peek(Token![-]);
        input.advance_to(&ahead);
        if negative {
            return self.report(
                Code::Value,
                literal.span(),
                format!("`{literal}` is negative; write {allowed}"),
            );
        }
        self.no_suffix(literal.suffix(), literal.base10_digits(), literal.span())?;
        match literal.base10_parse() {
            Ok(count) => Ok(Value::Count(count, At(literal.span()))),
            Err(_) => {
                let message = format!("`{literal}` is too large; write {allowed}");
                self.report(Code::Value, literal.span(), message)
            }
        }
    }

    /// A whole number, settings in braces, both, or neither; and whether it ends in a brace.
    pub(super) fn counted(
        &mut self,
        input: ParseStream<'_>,
        kind: Kind,
        keyword: &Ident,
    ) -> Parsed<(Value, bool)> {
        let scope = if let Kind::Counted { scope, .. } = kind { scope } else { None };
        let ends = input.is_empty() || input.peek(Token![;]) || input.peek(token::Brace);
        let (count, at) = match ends {
            true => (None, At(keyword.span())),
            false => match self.count(input, kind)? {
                Value::Count(count, at) => (Some(count), at),
                _ => return Err(Reported),
            },
        };
        let braced = input.peek(token::Brace);
        let settings = match scope {
            Some(scope) if braced => self.block(input, scope)?,
            None if braced => {
                let message = format!("`{keyword}` has no settings; write a number or nothing");
                return self.report(Code::Syntax, input.span(), message);
            }
            _ => Vec::new(),
        };
        Ok((Value::Counted(count, at, settings), braced))
    }

    /// `from "…"`, where `otherwise` is the other form of the value.
    pub(super) fn path_of_file(
        &mut self,
        input: ParseStream<'_>,
        otherwise: &str,
    ) -> Parsed<Value> {
        let word = self.word(input, "`from`")?;
        if word != "from" {
            let message =
                format!("expected {otherwise}, or `from` and the path of a file, found `{word}`");
            return self.report(Code::Syntax, word.span(), message);
        }
        Ok(Value::FromFile(self.text(input, "the path of a file")?))
    }

    pub(super) fn number(&mut self, input: ParseStream<'_>) -> Parsed<Value> {
        let span = input.span();
        let ahead = input.fork();
        let negative = ahead.parse::<Option<Token![-]>>().is_ok_and(|minus| minus.is_some());
        let (digits, suffix, literal_span) = match ahead.parse::<Lit>() {
            Ok(Lit::Int(literal)) => {
                (literal.base10_digits().to_owned(), literal.suffix().to_owned(), literal.span())
            }
            Ok(Lit::Float(literal)) => {
                (literal.base10_digits().to_owned(), literal.suffix().to_owned(), literal.span())
            }
            _ => {
                let quoted = quoted(input).filter(|text| text.parse().is_ok_and(f64::is_finite));
                let message = match quoted {
                    Some(number) => format!("write `{number}` without quotes"),
                    None => format!("expected a number, found {}", found(input)),
                };
                return self.report(Code::Syntax, span, message);
            }
        };
        input.advance_to(&ahead);
        let span = if negative { span } else { literal_span };
        self.no_suffix(&suffix, &digits, literal_span)?;
        match digits.parse::<f64>() {
            Ok(number) => Ok(Value::Number(if negative { -number } else { number }, At(span))),
            Err(_) => self.report(Code::Value, span, format!("`{digits}` is not a number")),
        }
    }

    /// A suffix, as in `10K` or `3percent`, is not part of a number.
    pub(super) fn no_suffix(&mut self, suffix: &str, digits: &str, span: Span) -> Parsed<()> {
        match suffix {
            "" => Ok(()),
            _ => self.report(
                Code::Value,
                span,
                format!(
                    "`{digits}{suffix}` is not a number; write `{digits}`, or the number in full"
                ),
            ),
        }
    }

    /// A word, or a word with a number in parentheses.
    pub(super) fn call(&mut self, input: ParseStream<'_>) -> Parsed<Value> {
        let words = Kind::Divergence.words();
        let word = self.choice(input, &words, &one_of(&words))?;
        if !input.peek(token::Paren) {
            return Ok(Value::Word(word));
        }
        let content = self.syn(parentheses(input))?;
        let number = self.number(&content);
        let too_much = !content.is_empty();
        // What is left unread would be reported again.
        let span = content.span();
        drop(content.parse::<TokenStream>());
        match number? {
            Value::Number(..) if too_much => {
                self.report(Code::Syntax, span, "expected one number in the parentheses")
            }
            Value::Number(number, span) => Ok(Value::Call(word, number, span)),
            _ => Err(Reported),
        }
    }

    pub(super) fn layers(&mut self, input: ParseStream<'_>) -> Parsed<Value> {
        let Value::Count(start, span) = self.count(input, Kind::Layers)? else {
            return Err(Reported);
        };
        if input.peek(Token![..=]) {
            return self.report(
                Code::Syntax,
                input.span(),
                "write the block after the last one: `4..7` for the blocks 4, 5 and 6",
            );
        }
        if !input.peek(Token![..]) {
            let end = start.saturating_add(1);
            let message = format!("expected a range of blocks, as in `{start}..{end}`");
            return self.report(Code::Syntax, span.0, message);
        }
        self.syn(input.parse::<Token![..]>())?;
        let Value::Count(end, _) = self.count(input, Kind::Layers)? else { return Err(Reported) };
        Ok(Value::Span(start, end, span))
    }

    pub(super) fn list<T>(
        &mut self,
        input: ParseStream<'_>,
        element: impl Fn(&mut Self, ParseStream<'_>) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        if !input.peek(token::Bracket) {
            return self.report(
                Code::Syntax,
                input.span(),
                format!("expected a list in brackets, found {}", found(input)),
            );
        }
        let content = self.syn(brackets(input))?;
        let mut list = Vec::new();
        while !content.is_empty() {
            match element(self, &content) {
                Ok(value) => list.push(value),
                // The list's end is known: only the element is lost.
                Err(Reported) => {
                    while !content.is_empty() && !content.peek(Token![,]) {
                        drop(content.parse::<TokenTree>());
                    }
                }
            }
            if content.peek(Token![;]) {
                let message = "entries are separated by commas, not by `;`";
                let _ = self.report::<()>(Code::Syntax, content.span(), message);
                drop(content.parse::<Token![;]>());
            } else if !content.is_empty() && content.parse::<Token![,]>().is_err() {
                // Only the comma is missing: this is the next element.
                let _ = self.report::<()>(Code::Syntax, content.span(), "expected `,` before this");
            }
        }
        Ok(list)
    }

    pub(super) fn text(&mut self, input: ParseStream<'_>, what: &str) -> Parsed<LitStr> {
        if !input.peek(LitStr) {
            let message = format!("expected {what} in double quotes, found {}", found(input));
            return self.report(Code::Syntax, input.span(), message);
        }
        self.syn(input.parse())
    }

    /// One of some words. That it is another is reported where its meaning is known.
    pub(super) fn choice(
        &mut self,
        input: ParseStream<'_>,
        words: &[&str],
        what: &str,
    ) -> Parsed<Ident> {
        match self.unquoted(input, |text| words.contains(&text)) {
            Some(word) => Ok(word),
            None => self.word(input, what),
        }
    }

    /// A word in quotes where one without belongs: the quotes are reported, and the word is read.
    pub(super) fn unquoted(
        &mut self,
        input: ParseStream<'_>,
        is_meant: impl Fn(&str) -> bool,
    ) -> Option<Ident> {
        let text = quoted(input).filter(|text| is_meant(text))?;
        // Only a word: whatever else is in the quotes is never split into tokens.
        if !text.chars().all(|letter| letter.is_alphanumeric() || letter == '_') {
            return None;
        }
        let mut word = Ident::parse_any.parse_str(&text).ok()?;
        word.set_span(input.span());
        let message = format!("write `{word}` without quotes");
        self.diagnostics.push(Diagnostic::new(Code::Syntax, input.span(), message));
        drop(input.parse::<LitStr>());
        Some(word)
    }

    /// Any word, including Rust's keywords.
    pub(super) fn word(&mut self, input: ParseStream<'_>, what: &str) -> Parsed<Ident> {
        match input.call(Ident::parse_any) {
            Ok(word) => Ok(word),
            Err(_) => self.report(
                Code::Syntax,
                input.span(),
                format!("expected {what}, found {}", found(input)),
            ),
        }
    }
}

/// What is in the double quotes that come next.
fn quoted(input: ParseStream<'_>) -> Option<String> {
    input.fork().parse::<LitStr>().ok().map(|text| text.value())
}
