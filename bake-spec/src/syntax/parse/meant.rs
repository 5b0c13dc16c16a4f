//! What is probably meant by words and signs that are not part of a declaration: those of other
//! tools and languages, and those that are missing.

use proc_macro2::{Ident, TokenTree};
use syn::parse::ParseStream;
use syn::{LitStr, Token};

use super::{Parsed, Parser};
use crate::diagnostics::{Code, Diagnostic, called_here, did_you_mean, similar, very_similar};
use crate::settings::{Scope, find, keywords};
use crate::syntax::tokens::{hyphenated, written_value};

impl Parser {
    /// Whether a path follows a target's name at once, which is reported; the path is skipped.
    pub(super) fn path_without_from(&mut self, input: ParseStream<'_>, name: &Ident) -> bool {
        let Ok(path) = input.fork().parse::<LitStr>() else { return false };
        let (span, what, form) = match name == "from" {
            true => (name.span(), "expected the target's name before `from`", "name".to_owned()),
            false => (path.span(), "write `from` before the path", name.to_string()),
        };
        let message = format!("{what}, as in `target {form} from {}`", path.token());
        self.diagnostics.push(Diagnostic::new(Code::Syntax, span, message));
        drop(input.parse::<LitStr>());
        true
    }

    /// A question without `=>` after it: it may be a path, or a target's name in quotes.
    pub(super) fn not_without_arrow(
        &mut self,
        input: ParseStream<'_>,
        question: &LitStr,
    ) -> Parsed<()> {
        if input.peek(Token![=>]) {
            return Ok(());
        }
        let text = question.value();
        let (span, message) = if text.ends_with(".jsonl") {
            (question.span(), "write `from` before the path".to_owned())
        } else if input.peek(LitStr) && syn::parse_str::<Ident>(&text).is_ok() {
            (question.span(), format!("write `{text}` without quotes"))
        } else {
            let message =
                "expected `=>` after the question, as in `expect \"…\" => contains \"…\";`";
            (input.span(), message.to_owned())
        };
        self.report(Code::Syntax, span, message)
    }

    /// `anchor none` would be an anchor of that name, with its share of the loss.
    pub(super) fn not_the_anchor_none(&mut self, keyword: &Ident, name: &Ident) -> Parsed<()> {
        if keyword != "anchor" || name != "none" {
            return Ok(());
        }
        let message = "this declares an anchor of that name; write `anchors none;`";
        self.report(Code::Syntax, name.span(), message)
    }

    /// `ask = 40` and `ask: 40`, as other languages write it: the sign is reported, and the value
    /// after it is read.
    pub(super) fn no_sign(&mut self, input: ParseStream<'_>, keyword: &Ident, scope: Scope) {
        if !input.peek(Token![=]) && !input.peek(Token![:]) {
            return;
        }
        let span = input.span();
        let Ok(sign) = input.parse::<TokenTree>() else { return };
        let value = written_value(&input.fork(), scope);
        let value = value.trim_end_matches([',', ' ']);
        let end = match scope {
            Scope::TargetHead | Scope::AnchorHead => "",
            _ if value.ends_with('}') => "",
            _ => ";",
        };
        let message =
            format!("settings are written without `{sign}`; write `{keyword} {value}{end}`");
        self.diagnostics.push(Diagnostic::new(Code::Syntax, span, message));
    }

    /// `top-p`, as the settings of other tools are written: a keyword with `_` is meant.
    pub(super) fn not_hyphenated(
        &mut self,
        input: ParseStream<'_>,
        keyword: &Ident,
        scope: Scope,
    ) -> Parsed<()> {
        let Some(written) = hyphenated(input, keyword) else { return Ok(()) };
        let joined = written.replace('-', "_");
        let known = everywhere().map(|(known, _)| known).find(|known| *known == joined);
        let Some(meant) = called_here(&joined).or(known) else { return Ok(()) };
        let message = format!("unknown keyword `{written}`; {}", meant_in(meant, scope));
        self.report(Code::UnknownKeyword, keyword.span(), message)
    }

    /// `document "…"` in a bake: documents are those of its targets.
    pub(super) fn not_a_document(
        &mut self,
        input: ParseStream<'_>,
        keyword: &Ident,
        scope: Scope,
    ) -> Parsed<()> {
        let (Some(setting), Ok(path)) = (find(scope, "documents"), input.fork().parse::<LitStr>())
        else {
            return Ok(());
        };
        let is_word = setting.kind.words().contains(&path.value().as_str());
        if is_word || keyword != "document" && keyword != "documents" {
            return Ok(());
        }
        let message =
            format!("a document is that of a target; write `target NAME from {};`", path.token());
        self.report(Code::UnknownKeyword, keyword.span(), message)
    }

    pub(super) fn unknown<T>(&mut self, keyword: &Ident, scope: Scope) -> Parsed<T> {
        let word = keyword.to_string();
        let known: Vec<&str> = keywords(scope).collect();
        let places: Vec<&str> = everywhere()
            .filter(|(keyword, _)| *keyword == word)
            .map(|(_, scope)| scope.name())
            .collect();
        let meant = || {
            called_here(&word)
                .or_else(|| similar(&word, known.iter().copied()))
                .or_else(|| very_similar(&word, everywhere().map(|(keyword, _)| keyword)))
        };
        let here = || very_similar(&word, known.iter().copied());
        let message = if let (false, Some(here)) = (places.is_empty(), here()) {
            format!("`{word}` is not allowed in {}; did you mean `{here}`?", scope.name())
        } else if !places.is_empty() {
            format!(
                "`{word}` is not allowed in {}; it belongs in {}",
                scope.name(),
                places.join(" or ")
            )
        } else if ["optimizer", "optimiser", "optim"].contains(&word.as_str()) {
            format!("`{word}` cannot be chosen: bake always trains with Muon; leave it out")
        } else if let Some(meant) = meant() {
            format!("unknown keyword `{word}`; {}", meant_in(meant, scope))
        } else {
            format!("unknown keyword `{word}`; {}", did_you_mean(&word, &known))
        };
        self.report(Code::UnknownKeyword, keyword.span(), message)
    }
}

/// Every keyword, with each place in which it is allowed.
fn everywhere() -> impl Iterator<Item = (&'static str, Scope)> {
    let inside = |scope| keywords(scope).map(move |keyword| (keyword, scope));
    Scope::ALL.into_iter().flat_map(inside)
}

/// What is said in a place where another keyword is meant, which may belong elsewhere.
fn meant_in(meant: &str, scope: Scope) -> String {
    let places = || everywhere().filter(|(keyword, _)| *keyword == meant);
    match places().next() {
        Some((_, other)) if !places().any(|(_, place)| place == scope) => {
            format!("did you mean `{meant}`, which belongs in {}?", other.name())
        }
        _ => format!("did you mean `{meant}`?"),
    }
}
