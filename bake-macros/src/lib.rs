//! The macro `bake!`: a thin shim over the grammar and the checks of `bake-spec`.
//!
//! It reads the files that a declaration names, those of its model that are not weights, and
//! `bake.lock`, and nothing else.

mod expand;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Declares what a model must know or how it must behave.
///
/// See the documentation of the crate `bake`, which re-exports this macro.
#[proc_macro]
pub fn bake(tokens: TokenStream) -> TokenStream {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    expand::expand(tokens.into(), root.as_ref(), |name| std::env::var(name).ok()).into()
}
