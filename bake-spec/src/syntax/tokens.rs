//! Groups of tokens, and where to continue after a mistake.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::parse::{ParseBuffer, ParseStream};
use syn::{Attribute, Token, Visibility, braced, bracketed, parenthesized, token};

use crate::settings::{Scope, find, keywords};

/// How many brackets may be open at once. Whoever reads tokens does so recursively.
pub(super) const NESTING: usize = 200;

/// The first bracket that is nested more than [`NESTING`] deep, and what to say of it.
pub(crate) fn check_nesting(tokens: &TokenStream) -> Result<(), (Span, String)> {
    match below(tokens, NESTING) {
        Some(span) => Err((span, format!("brackets are nested more than {NESTING} deep"))),
        None => Ok(()),
    }
}

fn below(tokens: &TokenStream, levels: usize) -> Option<Span> {
    tokens.clone().into_iter().find_map(|tree| match tree {
        TokenTree::Group(group) if levels == 0 => Some(group.span_open()),
        TokenTree::Group(group) => below(&group.stream(), levels - 1),
        _ => None,
    })
}

pub(super) fn braces<'a>(input: ParseStream<'a>) -> syn::Result<ParseBuffer<'a>> {
    let content;
    braced!(content in input);
    Ok(content)
}

pub(super) fn brackets<'a>(input: ParseStream<'a>) -> syn::Result<ParseBuffer<'a>> {
    let content;
    bracketed!(content in input);
    Ok(content)
}

pub(super) fn parentheses<'a>(input: ParseStream<'a>) -> syn::Result<ParseBuffer<'a>> {
    let content;
    parenthesized!(content in input);
    Ok(content)
}

/// Whether the tokens are `bake Name`, with or without attributes and a visibility before it.
pub(super) fn begins_named(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    ahead.call(Attribute::parse_outer).is_ok_and(|attributes| {
        ahead.parse::<Visibility>().is_ok_and(|visibility| {
            let word =
                ahead.call(Ident::parse_any).map(|word| word.to_string()).unwrap_or_default();
            // `bak Name { … }` is a typo, unless the word is a keyword of bare items.
            let like_named = ahead.call(Ident::parse_any).is_ok() && ahead.peek(token::Brace);
            let named = word == "bake"
                || like_named && !keywords(Scope::Bake).any(|keyword| keyword == word);
            named || !attributes.is_empty() || !matches!(visibility, Visibility::Inherited)
        })
    })
}

/// Skips the rest of a declaration: everything up to and including the next `;` or braces.
pub(super) fn recover(input: ParseStream<'_>) {
    recover_to(input, |_| false);
}

/// The same, but stops where `begins` says that the next declaration begins.
pub(super) fn recover_to(input: ParseStream<'_>, begins: impl Fn(ParseStream<'_>) -> bool) {
    while !input.is_empty() && !begins(input) {
        match input.parse::<TokenTree>() {
            Ok(TokenTree::Punct(punct)) if punct.as_char() == ';' => return,
            Ok(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => return,
            _ => {}
        }
    }
}

/// Whether there is a keyword of the declaration here that is not one of a target's clauses: the
/// semicolon before it is missing.
pub(super) fn begins_next_item(input: ParseStream<'_>, clauses: Scope) -> bool {
    let next = input.fork().call(Ident::parse_any).map(|word| word.to_string());
    next.is_ok_and(|word| {
        find(clauses, &word).is_none() && keywords(Scope::Bake).any(|keyword| keyword == word)
    })
}

/// A keyword with the words that follow it after hyphens, as in `top-p`; none without such words.
pub(super) fn hyphenated(input: ParseStream<'_>, keyword: &Ident) -> Option<String> {
    let (ahead, mut written) = (input.fork(), keyword.to_string());
    while ahead.parse::<Token![-]>().is_ok()
        && let Ok(word) = ahead.call(Ident::parse_any)
    {
        written += &format!("-{word}");
    }
    written.contains('-').then_some(written)
}

/// Skips the rest of a target's clause: everything before its next clause, braces, or `;`.
pub(super) fn skip_to_clause(input: ParseStream<'_>, clauses: Scope) {
    while !input.is_empty() && !input.peek(Token![;]) && !input.peek(token::Brace) {
        let next = input.fork().call(Ident::parse_any).map(|word| word.to_string());
        if next.is_ok_and(|word| {
            find(clauses, &word).is_some() || keywords(Scope::Bake).any(|keyword| keyword == word)
        }) {
            return;
        }
        drop(input.parse::<TokenTree>());
    }
}

/// The next token, for messages.
pub(super) fn found(input: ParseStream<'_>) -> String {
    match input.fork().parse::<TokenTree>() {
        Ok(TokenTree::Group(group)) => match group.delimiter() {
            Delimiter::Brace => "`{`".into(),
            Delimiter::Bracket => "`[`".into(),
            Delimiter::Parenthesis => "`(`".into(),
            Delimiter::None => format!("`{}`", group.stream()),
        },
        Ok(tree) => format!("`{tree}`"),
        Err(_) => "the end".into(),
    }
}

/// The value that comes next, for a message: `{ … }` for what is in braces, and `…` if there is
/// none.
pub(super) fn written_value(input: ParseStream<'_>, scope: Scope) -> String {
    let ends_here = |input: ParseStream<'_>| {
        let next = input.fork().call(Ident::parse_any).map(|word| word.to_string());
        let is_keyword = |word: String| {
            find(scope, &word).is_some() || keywords(Scope::Bake).any(|other| other == word)
        };
        input.peek(token::Brace) || next.is_ok_and(is_keyword)
    };
    let mut text = String::new();
    while !input.peek(Token![;]) && (text.is_empty() || !ends_here(input)) {
        let Ok(token) = input.parse::<TokenTree>() else { break };
        write_token(&token, &mut text);
        if text.ends_with('}') {
            break;
        }
    }
    if text.is_empty() { "…".to_owned() } else { text }
}

fn write_token(token: &TokenTree, text: &mut String) {
    let TokenTree::Group(group) = token else {
        let apart = text.ends_with(|last: char| last.is_alphanumeric() || "\"_,".contains(last));
        if apart && !matches!(token, TokenTree::Punct(_)) {
            text.push(' ');
        }
        text.push_str(&token.to_string());
        return;
    };
    let (open, close) = match group.delimiter() {
        Delimiter::Brace => return text.push_str("{ … }"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::None => ("", ""),
    };
    text.push_str(open);
    group.stream().into_iter().for_each(|token| write_token(&token, text));
    text.push_str(close);
}
