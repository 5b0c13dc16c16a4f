//! From a [declaration as written](crate::syntax::ast) back to tokens.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};

use crate::syntax::ast::{
    Assignment, Item, Value, WrittenAnswer, WrittenBake, WrittenExpect, WrittenModel, WrittenTarget,
};

/// The declarations as the tokens of `bake! { … }`. Parsing them gives the same declarations.
pub fn print(bakes: &[WrittenBake]) -> TokenStream {
    bakes.iter().map(ToTokens::to_token_stream).collect()
}

impl ToTokens for WrittenBake {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attributes, visibility, name, items, broken: _ } = self;
        tokens.extend(quote!(#(#attributes)* #visibility bake #name { #(#items)* }));
    }
}

impl ToTokens for Item {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(match self {
            Self::Crate { keyword, path } => quote!(#keyword = #path;),
            Self::Model { keyword, source } => quote!(#keyword #source;),
            Self::Target(target) => target.to_token_stream(),
            Self::Expect(expect) => quote!(#expect;),
            Self::Setting(assignment) => quote!(#assignment;),
        });
    }
}

impl ToTokens for WrittenModel {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(match self {
            Self::Tiny(word) | Self::Named(_, word) => word.to_token_stream(),
            Self::Path(path) => path.to_token_stream(),
            Self::Hub { keyword, name, revision: None } => quote!(#keyword #name),
            Self::Hub { keyword, name, revision: Some(revision) } => {
                quote!(#keyword #name revision #revision)
            }
        });
    }
}

impl ToTokens for WrittenTarget {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { keyword, name, head, body, broken: _ } = self;
        tokens.extend(quote!(#keyword #name #(#head)* { #(#body)* }));
    }
}

impl ToTokens for Assignment {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { keyword, setting: _, value } = self;
        tokens.extend(quote!(#keyword #value));
    }
}

impl ToTokens for Value {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let count = |count: &u64| Literal::u64_unsuffixed(*count);
        let block = |settings: &[Assignment]| match settings {
            [] => TokenStream::new(),
            settings => quote!({ #(#settings;)* }),
        };
        tokens.extend(match self {
            Self::Count(n, _) => count(n).to_token_stream(),
            Self::Number(x, _) => number(*x),
            Self::Text(text) => text.to_token_stream(),
            Self::Texts(texts) => quote!([#(#texts),*]),
            Self::FromFile(file) => quote!(from #file),
            Self::File(file, settings) => {
                let settings = block(settings);
                quote!(#file #settings)
            }
            Self::Word(word) => word.to_token_stream(),
            Self::Call(word, x, _) => {
                let x = number(*x);
                quote!(#word(#x))
            }
            Self::Words(words) => quote!([#(#words),*]),
            Self::Span(start, end, _) => {
                let (start, end) = (count(start), count(end));
                quote!(#start..#end)
            }
            Self::Block(settings) => quote!({ #(#settings;)* }),
            Self::Counted(n, _, settings) => {
                let (n, settings) = (n.as_ref().map(count), block(settings));
                quote!(#n #settings)
            }
        });
    }
}

impl ToTokens for WrittenExpect {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { keyword, target, question, answer } = self;
        let (arrow, what) = match answer {
            WrittenAnswer::Contains(words) => (quote!(=>), quote!(contains #words)),
            WrittenAnswer::ContainsAny(any) => (quote!(=>), quote!(contains [#(#any),*])),
            WrittenAnswer::StartsWith(words) => (quote!(=>), quote!(starts_with #words)),
            WrittenAnswer::EndsWith(words) => (quote!(=>), quote!(ends_with #words)),
            WrittenAnswer::Matches(pattern) => (quote!(=>), quote!(matches #pattern)),
            WrittenAnswer::Equals(words) => (quote!(=>), quote!(equals #words)),
            WrittenAnswer::Declines(word) => (quote!(=>), word.to_token_stream()),
            WrittenAnswer::FromFile(word) => {
                tokens.extend(quote!(#keyword #target #word #question));
                return;
            }
        };
        tokens.extend(quote!(#keyword #target #question #arrow #what));
    }
}

/// A number of a declaration, which may be negative or too large, since mistakes are printed too.
fn number(x: f64) -> TokenStream {
    let size = match x.is_finite() {
        true => Literal::f64_unsuffixed(x.abs()),
        false => Literal::f64_unsuffixed(f64::MAX),
    };
    if x.is_sign_negative() { quote!(-#size) } else { size.to_token_stream() }
}
