//! From tokens to a [declaration as written](crate::syntax::ast).
//!
//! Parsing never fails: it returns what it understood and every mistake. After a mistake it
//! continues after the next `;` or `}`.

mod meant;
mod values;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::parse::discouraged::Speculative as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, Lit, LitStr, Token, Visibility, token};

use super::tokens::{
    begins_named, begins_next_item, braces, brackets, check_nesting, found, parentheses, recover,
    recover_to, skip_to_clause,
};
use crate::diagnostics::{Code, Diagnostic, Diagnostics, did_you_mean, one_of, similar};
use crate::model::named::NamedModel;
use crate::settings::{CHECKS, Kind, Scope, find, keywords};
use crate::syntax::ast::{
    Assignment, At, Item, Value, WrittenAnswer, WrittenBake, WrittenExpect, WrittenModel,
    WrittenTarget,
};

/// The declarations in the tokens of `bake! { … }`, and what is wrong with their syntax.
pub fn parse(tokens: TokenStream) -> (Vec<WrittenBake>, Diagnostics) {
    if let Err((span, message)) = check_nesting(&tokens) {
        return (Vec::new(), vec![Diagnostic::new(Code::Syntax, span, message)]);
    }
    let mut parser = Parser { diagnostics: Vec::new() };
    let bakes = (|input: ParseStream<'_>| Ok(parser.file(input))).parse2(tokens);
    let bakes = bakes.unwrap_or_else(|e| {
        parser.diagnostics.push(Diagnostic::new(Code::Syntax, e.span(), e.to_string()));
        Vec::new()
    });
    (bakes, parser.diagnostics)
}

struct Parser {
    diagnostics: Diagnostics,
}

/// A mistake that was reported; what follows it is skipped.
struct Reported;

type Parsed<T> = Result<T, Reported>;

impl Parser {
    fn file(&mut self, input: ParseStream<'_>) -> Vec<WrittenBake> {
        if !begins_named(input) {
            let name = Ident::new("Bake", Span::call_site());
            let items = self.items(input, Scope::Bake);
            let broken = !self.diagnostics.is_empty();
            return vec![WrittenBake {
                attributes: Vec::new(),
                visibility: Visibility::Inherited,
                name,
                items,
                broken,
            }];
        }
        let mut bakes = Vec::new();
        while !input.is_empty() {
            if input.parse::<Option<Token![;]>>().is_ok_and(|t| t.is_some()) {
                continue;
            }
            match self.bake(input) {
                Ok(bake) => bakes.push(bake),
                Err(Reported) => recover_to(input, begins_named),
            }
        }
        bakes
    }

    fn bake(&mut self, input: ParseStream<'_>) -> Parsed<WrittenBake> {
        let attributes = self.syn(input.call(Attribute::parse_outer))?;
        let visibility = self.syn(input.parse())?;
        let keyword = self.word(input, "`bake`")?;
        if keyword != "bake" {
            let message = match similar(&keyword.to_string(), ["bake"]) {
                Some(_) => format!("unknown keyword `{keyword}`; did you mean `bake`?"),
                None => format!("expected `bake Name {{ … }}`, found `{keyword}`"),
            };
            return self.report(Code::Syntax, keyword.span(), message);
        }
        let quoted = self.unquoted(input, |_| true);
        let Ok(name) = quoted.map_or_else(|| input.parse::<Ident>(), Ok) else {
            return self.report(
                Code::Syntax,
                input.span(),
                format!("expected a name after `bake`, found {}", found(input)),
            );
        };
        if !input.peek(token::Brace) {
            return self.report(
                Code::Syntax,
                name.span(),
                format!("expected braces after `bake {name}`"),
            );
        }
        let content = self.syn(braces(input))?;
        let mistakes = self.diagnostics.len();
        let items = self.items(&content, Scope::Bake);
        let broken = self.diagnostics.len() > mistakes;
        Ok(WrittenBake { attributes, visibility, name, items, broken })
    }

    /// Everything up to the end of the stream.
    fn items(&mut self, input: ParseStream<'_>, scope: Scope) -> Vec<Item> {
        let mut items = Vec::new();
        while !input.is_empty() {
            if input.parse::<Option<Token![;]>>().is_ok_and(|t| t.is_some()) {
                continue;
            }
            match self.item(input, scope) {
                Ok((item, ends_in_brace)) => {
                    items.push(item);
                    self.end_of_item(input, scope, ends_in_brace);
                }
                Err(Reported) => recover(input),
            }
        }
        items
    }

    /// A `;`, which may be left out after a brace and at the end.
    fn end_of_item(&mut self, input: ParseStream<'_>, scope: Scope, ends_in_brace: bool) {
        if ends_in_brace || input.is_empty() || input.peek(Token![;]) {
            return;
        }
        let next = input.fork().call(Ident::parse_any).map(|word| word.to_string());
        if input.peek(Token![,]) {
            self.diagnostics.push(Diagnostic::new(
                Code::Syntax,
                input.span(),
                "expected `;`, found `,`",
            ));
            drop(input.parse::<Token![,]>());
            return;
        }
        self.diagnostics.push(Diagnostic::new(
            Code::Syntax,
            input.span(),
            "expected `;` before this",
        ));
        // If the next declaration begins here, only the semicolon is missing.
        if !next.is_ok_and(|word| keywords(scope).any(|keyword| keyword == word)) {
            recover(input);
        }
    }

    /// One item, and whether it ends in a brace.
    fn item(&mut self, input: ParseStream<'_>, scope: Scope) -> Parsed<(Item, bool)> {
        let keyword = self.word(input, "a keyword")?;
        match (keyword.to_string().as_str(), scope) {
            ("bake", Scope::Bake) => {
                let message = "`bake Name { … }` and bare items cannot be mixed; put all items, \
                               including `crate = …;`, into the braces of a bake";
                self.report(Code::Syntax, keyword.span(), message)
            }
            ("crate", Scope::Bake) => {
                self.syn(input.parse::<Token![=]>())?;
                let path = self.syn(input.call(syn::Path::parse_mod_style))?;
                Ok((Item::Crate { keyword, path }, false))
            }
            ("model", Scope::Bake) => {
                self.no_sign(input, &keyword, scope);
                Ok((Item::Model { keyword, source: self.model(input)? }, false))
            }
            ("target" | "anchor", Scope::Bake) => self.target(input, keyword),
            ("expect", Scope::Bake | Scope::TargetBody) => {
                Ok((Item::Expect(self.expect(input, keyword, scope)?), false))
            }
            _ => {
                let (assignment, ends_in_brace) = self.assignment(input, keyword, scope)?;
                Ok((Item::Setting(assignment), ends_in_brace))
            }
        }
    }

    fn model(&mut self, input: ParseStream<'_>) -> Parsed<WrittenModel> {
        if input.peek(LitStr) {
            return Ok(WrittenModel::Path(self.syn(input.parse())?));
        }
        let word = self.word(input, "the name of a model, or the path of a folder or file")?;
        match word.to_string().as_str() {
            "tiny" => Ok(WrittenModel::Tiny(word)),
            "hub" => {
                let name = self.text(input, "the model's name")?;
                let revision = match input.fork().call(Ident::parse_any) {
                    Ok(next) if next == "revision" => {
                        self.word(input, "`revision`")?;
                        Some(self.text(input, "the revision")?)
                    }
                    _ => None,
                };
                Ok(WrittenModel::Hub { keyword: word, name, revision })
            }
            other => {
                if let Some(model) = NamedModel::find(other) {
                    return Ok(WrittenModel::Named(model, word));
                }
                let names: Vec<&str> = NamedModel::names().collect();
                let known = names.iter().copied().chain(["hub"]);
                let message = match similar(other, known) {
                    Some(meant) => format!("unknown model `{other}`; did you mean `{meant}`?"),
                    None => format!(
                        "unknown model `{other}`; write `{}`, or the path of a model's folder or \
                         file in double quotes",
                        names.join("`, `")
                    ),
                };
                self.report(Code::UnknownKeyword, word.span(), message)
            }
        }
    }

    fn target(&mut self, input: ParseStream<'_>, keyword: Ident) -> Parsed<(Item, bool)> {
        let (clauses, inside, clause) = match keyword == "anchor" {
            true => (Scope::AnchorHead, Scope::AnchorBody, "`weight`, `{` or `;`"),
            false => {
                (Scope::TargetHead, Scope::TargetBody, "`weight`, `from`, `prompt`, `{` or `;`")
            }
        };
        let name = match self.unquoted(input, |_| true) {
            Some(name) => name,
            None => self.word(input, &format!("the {keyword}'s name"))?,
        };
        self.not_the_anchor_none(&keyword, &name)?;
        let (mut head, mut ends_in_brace) = (Vec::new(), false);
        let mut broken = clauses == Scope::TargetHead && self.path_without_from(input, &name);
        while !input.is_empty() && !input.peek(Token![;]) && !input.peek(token::Brace) {
            if begins_next_item(input, clauses) {
                break;
            }
            let Ok(keyword) = self.word(input, clause) else {
                broken = true;
                drop(input.parse::<TokenTree>());
                skip_to_clause(input, clauses);
                continue;
            };
            let mistakes = self.diagnostics.len();
            match self.assignment(input, keyword, clauses) {
                Ok((assignment, in_brace)) => {
                    head.push(assignment);
                    ends_in_brace = in_brace;
                    // Some of the turns in the braces may be missing.
                    broken |= in_brace && self.diagnostics.len() > mistakes;
                }
                // The rest of the clause is lost, but the target's name is known, and so is the
                // beginning of its next clause.
                Err(Reported) => {
                    broken = true;
                    skip_to_clause(input, clauses);
                }
            }
        }
        let braced = input.peek(token::Brace);
        let mut body = Vec::new();
        if braced {
            let content = self.syn(braces(input))?;
            body = self.items(&content, inside);
        }
        // After a mistake, a missing semicolon is not a separate mistake.
        let ends = braced || broken || ends_in_brace;
        Ok((Item::Target(WrittenTarget { keyword, name, head, body, broken }), ends))
    }

    fn expect(
        &mut self,
        input: ParseStream<'_>,
        keyword: Ident,
        scope: Scope,
    ) -> Parsed<WrittenExpect> {
        // `from` is not the name of a target here, unless a second word or a question's arrow says
        // so.
        let from = |input: ParseStream<'_>| {
            let ahead = input.fork();
            ahead.call(Ident::parse_any).is_ok_and(|word| word == "from")
                && ahead.parse::<LitStr>().is_ok()
                && !ahead.peek(Token![=>])
        };
        let named = scope == Scope::Bake && !input.peek(LitStr) && !from(input);
        let target =
            if named { Some(self.word(input, "a target's name or a question")?) } else { None };
        if from(input) {
            let word = self.word(input, "`from`")?;
            let question = self.text(input, "the path of a file")?;
            return Ok(WrittenExpect {
                keyword,
                target,
                question,
                answer: WrittenAnswer::FromFile(word),
            });
        }
        let question = self.text(input, "the question")?;
        self.not_without_arrow(input, &question)?;
        self.syn(input.parse::<Token![=>]>())?;
        let what = "a check such as `contains`, `equals` or `declines`";
        let what = self.choice(input, &CHECKS, what)?;
        let answer = match what.to_string().as_str() {
            "contains" if input.peek(token::Bracket) => {
                let words = "words that the answer may contain";
                WrittenAnswer::ContainsAny(
                    self.list(input, |parser, input| parser.text(input, words))?,
                )
            }
            "contains" => {
                WrittenAnswer::Contains(self.text(input, "the words that the answer must contain")?)
            }
            "starts_with" => WrittenAnswer::StartsWith(
                self.text(input, "the words that the answer must begin with")?,
            ),
            "ends_with" => WrittenAnswer::EndsWith(
                self.text(input, "the words that the answer must end with")?,
            ),
            "matches" => {
                let what = "the regular expression that the answer must match";
                WrittenAnswer::Matches(self.text(input, what)?)
            }
            "equals" => WrittenAnswer::Equals(self.text(input, "the answer")?),
            "declines" => WrittenAnswer::Declines(what),
            other => {
                let message = format!("unknown check `{other}`; {}", did_you_mean(other, &CHECKS));
                return self.report(Code::UnknownKeyword, what.span(), message);
            }
        };
        Ok(WrittenExpect { keyword, target, question, answer })
    }

    fn assignment(
        &mut self,
        input: ParseStream<'_>,
        keyword: Ident,
        scope: Scope,
    ) -> Parsed<(Assignment, bool)> {
        self.not_hyphenated(input, &keyword, scope)?;
        self.not_a_document(input, &keyword, scope)?;
        let Some(setting) = find(scope, &keyword.to_string()) else {
            return self.unknown(&keyword, scope);
        };
        self.no_sign(input, &keyword, scope);
        let (value, ends_in_brace) = match setting.kind {
            Kind::Count { .. } => (self.count(input, setting.kind)?, false),
            Kind::Number(_) => (self.number(input)?, false),
            Kind::Text => (Value::Text(self.text(input, "a string")?), false),
            Kind::Texts if input.peek(Ident::peek_any) => {
                (self.path_of_file(input, "a list in brackets")?, false)
            }
            Kind::Prompt(scope) | Kind::Examples(scope) if input.peek(token::Brace) => {
                (Value::Block(self.block(input, scope)?), true)
            }
            Kind::Examples(_) => (self.path_of_file(input, "worked examples in braces")?, false),
            Kind::Words | Kind::Prompt(_) if input.peek(Ident::peek_any) => {
                (self.path_of_file(input, "a string")?, false)
            }
            Kind::Words | Kind::Prompt(_) => (Value::Text(self.text(input, "a string")?), false),
            Kind::File(scope) => {
                let file = self.text(input, "the path of a file")?;
                let braced = input.peek(token::Brace);
                let settings = if braced { self.block(input, scope)? } else { Vec::new() };
                (Value::File(file, settings), braced)
            }
            Kind::Texts => (
                Value::Texts(self.list(input, |parser, input| parser.text(input, "a string"))?),
                false,
            ),
            Kind::Word(words) => (Value::Word(self.choice(input, words, &one_of(words))?), false),
            Kind::Divergence => (self.call(input)?, false),
            Kind::Modules if input.peek(token::Bracket) => (
                Value::Words(self.list(input, |parser, input| {
                    let names = setting.kind.words();
                    parser.choice(input, &names, "the name of a linear layer")
                })?),
                false,
            ),
            Kind::Modules => {
                let all = self.choice(input, &["all"], "`all` or a list of names")?;
                (Value::Word(all), false)
            }
            Kind::Layers => (self.layers(input)?, false),
            Kind::Block(scope) => (Value::Block(self.block(input, scope)?), true),
            Kind::Counted { .. } => self.counted(input, setting.kind, &keyword)?,
        };
        Ok((Assignment { keyword, setting, value }, ends_in_brace))
    }

    fn block(&mut self, input: ParseStream<'_>, scope: Scope) -> Parsed<Vec<Assignment>> {
        if !input.peek(token::Brace) {
            return self.report(
                Code::Syntax,
                input.span(),
                format!("expected the settings of {} in braces", scope.name()),
            );
        }
        let content = self.syn(braces(input))?;
        let assignments = self.items(&content, scope).into_iter().filter_map(|item| match item {
            Item::Setting(assignment) => Some(assignment),
            _ => None,
        });
        Ok(assignments.collect())
    }

    fn syn<T>(&mut self, result: syn::Result<T>) -> Parsed<T> {
        result.map_err(|e| {
            self.diagnostics.push(Diagnostic::new(Code::Syntax, e.span(), e.to_string()));
            Reported
        })
    }

    fn report<T>(&mut self, code: Code, span: Span, message: impl Into<String>) -> Parsed<T> {
        self.diagnostics.push(Diagnostic::new(code, span, message));
        Err(Reported)
    }
}
