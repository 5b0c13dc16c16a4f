//! From a checked declaration to Rust.

#[path = "expand/constant.rs"]
mod constant;
#[path = "expand/salvage.rs"]
mod salvage;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bake_spec::check::{Declared, DeclaringPackage, Mode, check, states};
use bake_spec::diagnostics::{Code, Diagnostic};
use bake_spec::lock::{LOCK_FILE, Lock};
use bake_spec::recipe::{Recipe, Status, Target, variables};
use bake_spec::settings::Scope;
use bake_spec::store::ADAPTER_FILES;
use bake_spec::syntax::parse::parse;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;

/// The items of the declarations in `tokens`, whose package is in the folder `root`, and an error
/// for each mistake.
///
/// The items are there even when there are mistakes, so that the compiler reports nothing else, and
/// even when the macro itself fails. `variable` returns the value of an environment variable, in
/// which a build script says what it found.
pub(crate) fn expand(
    tokens: TokenStream,
    root: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> TokenStream {
    let whole = || expand_checked(tokens.clone(), root, &variable);
    catch_unwind(AssertUnwindSafe(whole)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        let message = format!(
            "`bake!` itself failed on this declaration: {said}; this is a bug in bake, please \
             report it with the declaration"
        );
        let items = || {
            let package = DeclaringPackage { root, lock: None };
            let declared = salvage::declarations(tokens.clone());
            declared.iter().map(|declared| items_of(declared, package, &variable)).collect()
        };
        // What failed may fail here too: then there is the message alone.
        let items: TokenStream = catch_unwind(AssertUnwindSafe(items)).unwrap_or_default();
        quote!(::core::compile_error! { #message } #items)
    })
}

fn expand_checked(
    tokens: TokenStream,
    root: &Path,
    variable: &impl Fn(&str) -> Option<String>,
) -> TokenStream {
    let (bakes, mut diagnostics) = parse(tokens);
    let lock = Lock::read(root).unwrap_or_else(|e| {
        diagnostics.push(Diagnostic::new(Code::Lock, Span::call_site(), e.to_string()));
        None
    });
    let package = DeclaringPackage { root, lock: lock.as_ref() };
    let declared = check(bakes, package, &mut diagnostics);
    let mode = variable(variables::MODE).as_deref().and_then(Mode::from_name);
    // A declaration with mistakes gets no warnings.
    match diagnostics.iter().any(|diagnostic| !diagnostic.warning) {
        true => diagnostics.retain(|diagnostic| !diagnostic.warning),
        false => diagnostics.extend(states(&declared, package, mode)),
    }
    let items = declared.iter().map(|declared| items_of(declared, package, variable));
    let said = diagnostics.iter().map(said);
    // Files that only the macro has read would not be watched: including their bytes makes the
    // compiler watch them, and they do not reach the program. The same goes for variables.
    let lock = root.join(LOCK_FILE).is_file().then_some(LOCK_FILE);
    let watched =
        declared.iter().flat_map(|declared| declared.files.iter().map(String::as_str)).chain(lock);
    let mode = variables::MODE;
    quote! {
        #(const _: &[::core::primitive::u8] = ::core::include_bytes!(
            ::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", #watched)
        );)*
        const _: ::core::option::Option<&::core::primitive::str> = ::core::option_env!(#mode);
        #(#said)*
        #(#items)*
    }
}

fn said(Diagnostic { code, span, message, warning }: &Diagnostic) -> TokenStream {
    let message = format!("{message} [{code}]");
    if !warning {
        return quote_spanned! { *span => ::core::compile_error! { #message } };
    }
    // Using something deprecated is the only way for a macro to warn. The compiler names what is
    // used before the message, and only macros are named without a path.
    let name = Ident::new(subject(*code), *span);
    quote_spanned! { *span =>
        const _: () = {
            #[deprecated(note = #message)]
            macro_rules! #name { () => {} }
            #name!();
        };
    }
}

/// The subject of a warning, as the compiler names it before the message.
fn subject(code: Code) -> &'static str {
    match code {
        Code::Stale => "stale_bake",
        Code::NotBaked => "missing_bake",
        _ => "declaration",
    }
}

fn items_of(
    declared: &Declared,
    package: DeclaringPackage<'_>,
    variable: &impl Fn(&str) -> Option<String>,
) -> TokenStream {
    let Declared {
        attributes,
        visibility,
        name,
        library,
        targets,
        keywords,
        recipe,
        files: _,
        embed: _,
        gate: _,
    } = declared;
    let bake = library.as_ref().map_or_else(|| quote!(::bake), ToTokens::to_token_stream);
    let private = quote!(#bake::__private);
    let target_name = format_ident!("{name}Target");
    let variants: Vec<_> = targets.iter().map(|target| &target.variant).collect();
    // The anchors, which come after the targets, have no names in Rust.
    let names: Vec<String> =
        targets.iter().map(|target| target.declared.unraw().to_string()).collect();
    let named = |name: &str| recipe.targets.iter().find(|target| target.name == name);
    let numbers = 0..variants.len();
    let descriptions: Vec<String> =
        names.iter().map(|name| named(name).map(describe).unwrap_or_default()).collect();
    let listed =
        std::iter::zip(&names, &descriptions).map(|(name, what)| format!("- `{name}`: {what}"));
    let opening =
        attributes.iter().all(|a| !a.path().is_ident("doc")).then(|| format!("The bake `{name}`."));
    let opening = opening.into_iter();
    let targets_doc = format!("The targets of [`{name}`].");
    let adapter = adapter(&name.unraw().to_string(), &private, variable);
    let status = constant::status(&status(recipe, package, variable), &private);
    let hovered = hovered(keywords, &private);
    let recipe = constant::recipe(recipe, &private);
    // Attributes that exclude a declaration from compiling must exclude everything that belongs to
    // it.
    let cfgs: Vec<_> = declared.cfgs().collect();
    quote! {
        #hovered

        #(#attributes)*
        #(#[doc = #opening])*
        #[doc = "\n# Targets\n"]
        #(#[doc = #listed])*
        #[allow(dead_code)]
        #visibility struct #name;

        #(#cfgs)*
        #[doc = #targets_doc]
        #[derive(
            ::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug,
            ::core::cmp::PartialEq, ::core::cmp::Eq, ::core::hash::Hash,
        )]
        #[allow(dead_code)]
        #visibility enum #target_name {
            #(#[doc = #descriptions] #variants,)*
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #private::TargetName for #target_name {
            const ALL: &'static [Self] = &[#(Self::#variants),*];

            fn index(self) -> ::core::primitive::usize {
                match self { #(Self::#variants => #numbers,)* }
            }

            fn name(self) -> &'static ::core::primitive::str {
                match self { #(Self::#variants => #names,)* }
            }
        }

        #(#cfgs)*
        #[automatically_derived]
        impl #private::Declaration for #name {
            type Target = #target_name;
            const RECIPE: &'static #private::Recipe = &#recipe;
            #adapter
            #status
        }

        #private::with_training! {
            #(#cfgs)*
            #[allow(dead_code)]
            impl #name {
                /// Bakes what is declared into an adapter and keeps it in the user's store, unless
                /// it is there already. Progress is shown on the standard error stream.
                ///
                /// # Errors
                /// When the model or a document cannot be read or does not fit, the store cannot be
                /// written, training diverges, or the work is interrupted.
                #visibility fn bake() -> #private::Result<#private::Bake> {
                    #private::bake::<Self>(&#private::BakeOptions::new())
                }

                /// Bakes what is declared, as the options say.
                ///
                /// # Errors
                /// Those of [`bake`](Self::bake).
                #visibility fn bake_with(
                    options: &#private::BakeOptions
                ) -> #private::Result<#private::Bake> {
                    #private::bake::<Self>(options)
                }
            }
        }

        #(#cfgs)*
        #[allow(dead_code)]
        impl #name {
            /// Loads the baked model: with the adapter that a build script has put into the
            /// program, or else from the user's store. The adapter is merged into the weights, so
            /// that a token costs as much as with the base model.
            ///
            /// Where the declaration has changed since it was baked, the adapter that `bake.lock`
            /// named when the program was built is loaded all the same; [`status`](Self::status)
            /// says so.
            ///
            /// # Errors
            /// When this declaration has not been baked, when it was baked into another model, and
            /// when model or adapter cannot be read.
            #visibility fn load() -> #private::Result<#private::Baked<Self>> {
                #private::load::<Self>()
            }

            /// Says how it is loaded: onto which device, with the adapter of which store or folder,
            /// and whether to be compared with the base and the prompted model.
            #visibility fn loader() -> #private::Loader<Self> {
                #private::Loader::new()
            }

            /// What it was baked from, and whether that is what is declared, as it was known when
            /// the program was built.
            #visibility fn status() -> &'static #private::Status {
                <Self as #private::Declaration>::STATUS
            }
        }
    }
}

/// Where the adapter is, if a build script said so.
fn adapter(
    bake: &str,
    private: &TokenStream,
    variable: &impl Fn(&str) -> Option<String>,
) -> TokenStream {
    let (folder, hash, kind, model) = (
        variables::folder(bake),
        variables::hash(bake),
        variables::kind(bake),
        variables::model(bake),
    );
    let source = match variable(&kind).as_deref() {
        None => quote!(AdapterSource::Store),
        Some("embedded") => {
            let files = ADAPTER_FILES.iter().map(|file| {
                quote!((#file, {
                    const BYTES: &Aligned<[::core::primitive::u8]> = &Aligned(
                        *::core::include_bytes!(::core::concat!(::core::env!(#folder), "/", #file))
                    );
                    &BYTES.0
                }))
            });
            quote!(AdapterSource::Embedded {
                hash: ::core::env!(#hash),
                model: ::core::env!(#model),
                files: &[#(#files),*]
            })
        }
        Some("folder") => {
            quote!(AdapterSource::Folder {
                hash: ::core::env!(#hash),
                model: ::core::env!(#model),
                path: ::core::env!(#folder)
            })
        }
        Some(_) => quote!(AdapterSource::Missing(::core::env!(#kind))),
    };
    quote! {
        const ADAPTER: &'static #private::recipe::AdapterSource = {
            #[allow(unused_imports)]
            use #private::recipe::{AdapterSource, Aligned};
            // Variables from another build script are visible here, but must not be used.
            const _: ::core::option::Option<&::core::primitive::str> = ::core::option_env!(#kind);
            &#source
        };
    }
}

/// What the bake was made from, according to the lock and the build script.
fn status(
    recipe: &Recipe,
    package: DeclaringPackage<'_>,
    variable: &impl Fn(&str) -> Option<String>,
) -> Status {
    let status = Status::of(recipe, package.root, package.lock);
    match variable(&variables::kind(&recipe.name)) {
        Some(kind) if !["embedded", "folder"].contains(&&*kind) => status.without_adapter(kind),
        _ => status,
    }
}

/// Uses of the keywords' documentation, at the places of the keywords, for editors to show.
fn hovered(keywords: &[(Scope, Ident)], private: &TokenStream) -> TokenStream {
    let uses = keywords.iter().map(|(scope, keyword)| {
        let scope = format_ident!("{}", scope.word());
        quote!(let _ = #private::settings::#scope::#keyword;)
    });
    quote! {
        #[allow(unexpected_cfgs)]
        const _: () = {
            #[cfg(rust_analyzer)]
            const _: () = { #(#uses)* };
        };
    }
}

/// A target in a line of documentation.
fn describe(target: &Target) -> String {
    let what = target
        .document
        .as_ref()
        .map_or_else(|| "a prompt".to_owned(), |document| format!("`{}`", document.path));
    format!("{what}, weight {}", target.weight)
}
