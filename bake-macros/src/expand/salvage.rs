//! What can be found in declarations without parsing them, for when the macro itself fails: their
//! names and those of their targets, so that their items are generated beside the one error.

use bake_spec::Recipe;
use bake_spec::check::{Declared, Embed, Gate, Name};
use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::Visibility;

/// The declarations that the words `bake` and `target` suggest.
pub(super) fn declarations(tokens: TokenStream) -> Vec<Declared> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    for (i, window) in tokens.windows(3).enumerate() {
        if let [TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Group(body)] = window
            && keyword == "bake"
            && body.delimiter() == Delimiter::Brace
        {
            let items: Vec<TokenTree> = body.stream().into_iter().collect();
            found.push(declared(name.clone(), visibility(&tokens[..i]), &items));
        }
    }
    if found.is_empty() {
        let name = Ident::new("Bake", Span::call_site());
        found.push(declared(name, Visibility::Inherited, &tokens));
    }
    found
}

/// The visibility at the end of the tokens before a declaration.
fn visibility(before: &[TokenTree]) -> Visibility {
    let is_pub = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word == "pub");
    let start = match before {
        [.., last] if is_pub(last) => before.len() - 1,
        [.., last, TokenTree::Group(_)] if is_pub(last) => before.len() - 2,
        _ => return Visibility::Inherited,
    };
    let tokens = before[start..].iter().cloned().collect();
    syn::parse2(tokens).unwrap_or(Visibility::Inherited)
}

fn declared(name: Ident, visibility: Visibility, items: &[TokenTree]) -> Declared {
    let mut targets: Vec<Name> = Vec::new();
    for pair in items.windows(2) {
        if let [TokenTree::Ident(keyword), TokenTree::Ident(target)] = pair
            && keyword == "target"
            && let Some(target) = Name::new(target)
            && targets.iter().all(|other| other.variant != target.variant)
        {
            targets.push(target);
        }
    }
    Declared {
        attributes: Vec::new(),
        visibility,
        name,
        library: None,
        targets,
        files: Vec::new(),
        embed: Embed::Never,
        gate: Gate { expects: None, kl: None },
        keywords: Vec::new(),
        recipe: Recipe::STAND_IN,
    }
}
