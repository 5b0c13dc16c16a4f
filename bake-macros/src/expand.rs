//! From a checked declaration to Rust.

use std::path::Path;

use bake_spec::check::{Declared, check};
use bake_spec::diagnostics::Diagnostic;
use bake_spec::parse::parse;
use bake_spec::recipe::{Answer, Ask, Divergence, Expect, Lora, ModelSource, Recipe, Rollout, Schedule, Stimuli, Target, Text, Train};
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};

/// The items of the declarations in `tokens`, whose documents are relative to `root`, and an error for each mistake.
///
/// The items are there even when there are mistakes, so that these are all that the compiler complains about.
pub(crate) fn expand(tokens: TokenStream, root: &Path) -> TokenStream {
    let (bakes, mut diagnostics) = parse(tokens);
    let declared = check(bakes, root, &mut diagnostics);
    let items = declared.iter().map(items);
    let errors = diagnostics.iter().map(error);
    quote! { #(#errors)* #(#items)* }
}

fn error(Diagnostic { code, span, message }: &Diagnostic) -> TokenStream {
    let message = format!("{message} [{code}]");
    quote_spanned! { *span => ::core::compile_error! { #message } }
}

fn items(declared: &Declared) -> TokenStream {
    let Declared { attributes, visibility, name, library, targets, files, recipe } = declared;
    let bake = library.as_ref().map_or_else(|| quote!(::bake), ToTokens::to_token_stream);
    let private = quote!(#bake::__private);
    let target_name = format_ident!("{name}Target");
    let variants: Vec<_> = targets.iter().map(|target| &target.variant).collect();
    let names: Vec<&str> = recipe.targets.iter().map(|target| &*target.name).collect();
    let numbers = 0..variants.len();
    let descriptions: Vec<String> = recipe.targets.iter().map(describe).collect();
    let listed = std::iter::zip(&names, &descriptions).map(|(name, what)| format!("- `{name}`: {what}"));
    let opening = attributes.iter().all(|a| !a.path().is_ident("doc")).then(|| format!("The bake `{name}`."));
    let opening = opening.into_iter();
    let targets_doc = format!("The targets of [`{name}`].");
    let recipe = self::recipe(recipe, &private);
    // What is not compiled is not compiled with all that belongs to it.
    let cfgs: Vec<_> = declared.cfgs().collect();
    // A file that only the macro has read would not be watched: including its bytes makes the compiler watch it, and they do not reach the binary.
    let watched = files.iter().map(|path| {
        quote!(
            const _: &[::core::primitive::u8] = ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", #path));
        )
    });
    quote! {
        #(#watched)*

        #(#attributes)*
        #(#[doc = #opening])*
        #[doc = "\n# Targets\n"]
        #(#[doc = #listed])*
        #[allow(dead_code)]
        #visibility struct #name;

        #(#cfgs)*
        #[doc = #targets_doc]
        #[derive(
            ::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug, ::core::cmp::PartialEq, ::core::cmp::Eq, ::core::hash::Hash,
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
        }

        #(#cfgs)*
        #[allow(dead_code)]
        impl #name {
            /// Bakes what is declared into an adapter and keeps it in the user's store, unless it is there already. Progress is shown on
            /// the standard error stream; Ctrl-C stops it.
            ///
            /// # Errors
            /// When the model or a document cannot be read or does not fit, the store cannot be written, training diverges, or the
            /// work is interrupted.
            #visibility fn bake() -> #private::Result<#private::Bake> {
                #private::bake::<Self>(&#private::BakeOptions::new())
            }

            /// Bakes what is declared, as the options say.
            ///
            /// # Errors
            /// Those of [`bake`](Self::bake).
            #visibility fn bake_with(options: &#private::BakeOptions) -> #private::Result<#private::Bake> {
                #private::bake::<Self>(options)
            }

            /// Loads the baked model. The adapter is folded into the weights, so that a token costs what it costs the base model.
            ///
            /// # Errors
            /// When this declaration has not been baked, or model or adapter cannot be read.
            #visibility fn load() -> #private::Result<#private::Baked<Self>> {
                #private::load::<Self>()
            }

            /// Loads the baked model with the adapter of a folder in the format of PEFT.
            ///
            /// # Errors
            /// When model or adapter cannot be read, or do not fit each other.
            #visibility fn load_from(
                folder: impl ::core::convert::AsRef<::std::path::Path>,
            ) -> #private::Result<#private::Baked<Self>> {
                #private::load_from::<Self>(::core::convert::AsRef::as_ref(&folder))
            }

            /// Loads base, prompted and baked model on one set of weights, to compare them.
            ///
            /// # Errors
            /// When this declaration has not been baked, or model or adapter cannot be read.
            #visibility fn load_switchable() -> #private::Result<#private::Switchable<Self>> {
                #private::load_switchable::<Self>()
            }
        }
    }
}

/// A target in a line of documentation.
fn describe(target: &Target) -> String {
    let what = target.document.as_ref().map_or_else(|| "a prompt".to_owned(), |document| format!("`{}`", document.path));
    format!("{what}, weight {}", target.weight)
}

/// The recipe as a constant expression.
fn recipe(recipe: &Recipe, private: &TokenStream) -> TokenStream {
    let Recipe { name, root: _, model, student, targets, lora, train, expects } = recipe;
    let (name, student) = (text(name), text(student));
    let model = match model {
        ModelSource::Folder(folder) => {
            let folder = text(folder);
            quote!(ModelSource::Folder(#folder))
        }
        _ => quote!(ModelSource::Tiny),
    };
    let targets = list(&quote!(Target), targets.iter().map(target));
    let (lora, train) = (self::lora(lora), self::train(train));
    let expects = list(&quote!(Expect), expects.iter().map(expect));
    quote! {{
        use #private::recipe::*;
        Recipe {
            name: #name,
            root: Text::Borrowed(::core::env!("CARGO_MANIFEST_DIR")),
            model: #model,
            student: #student,
            targets: #targets,
            lora: #lora,
            train: #train,
            expects: #expects,
        }
    }}
}

fn target(target: &Target) -> TokenStream {
    let Target { name, weight, prompt, document, stimuli, rollout } = target;
    let (name, prompt) = (text(name), text(prompt));
    let document = option(document.as_ref().map(|document| {
        let (path, hash) = (text(&document.path), text(&document.hash));
        quote!(Document { path: #path, hash: #hash })
    }));
    let Stimuli { questions, ask } = stimuli;
    let questions = list(&quote!(Text), questions.iter().map(text));
    let ask = option(ask.as_ref().map(|Ask { count, temperature, template }| {
        let template = option(template.as_ref().map(text));
        quote!(Ask { count: #count, temperature: #temperature, template: #template })
    }));
    let Rollout { answers, max_tokens, temperature, top_p, top_k, seed } = rollout;
    let max_tokens = option(*max_tokens);
    quote! {
        Target {
            name: #name,
            weight: #weight,
            prompt: #prompt,
            document: #document,
            stimuli: Stimuli { questions: #questions, ask: #ask },
            rollout: Rollout {
                answers: #answers,
                max_tokens: #max_tokens,
                temperature: #temperature,
                top_p: #top_p,
                top_k: #top_k,
                seed: #seed,
            },
        }
    }
}

fn lora(Lora { rank, alpha, dropout, modules, layers }: &Lora) -> TokenStream {
    let modules = list(&quote!(Text), modules.iter().map(text));
    let layers = option(layers.map(|(start, end)| quote!((#start, #end))));
    quote!(Lora { rank: #rank, alpha: #alpha, dropout: #dropout, modules: #modules, layers: #layers })
}

fn train(train: &Train) -> TokenStream {
    let Train { epochs, lr, batch, accumulate, schedule, warmup, divergence, temperature, clip, weight_decay, seed } = train;
    let lr = option(*lr);
    let schedule = match schedule {
        Schedule::Constant => quote!(Schedule::Constant),
        Schedule::Cosine => quote!(Schedule::Cosine),
        _ => quote!(Schedule::Linear),
    };
    let divergence = match divergence {
        Divergence::ReverseKl => quote!(Divergence::ReverseKl),
        Divergence::Jsd(beta) => quote!(Divergence::Jsd(#beta)),
        _ => quote!(Divergence::ForwardKl),
    };
    quote! {
        Train {
            epochs: #epochs,
            lr: #lr,
            batch: #batch,
            accumulate: #accumulate,
            schedule: #schedule,
            warmup: #warmup,
            divergence: #divergence,
            temperature: #temperature,
            clip: #clip,
            weight_decay: #weight_decay,
            seed: #seed,
        }
    }
}

fn expect(Expect { target, question, answer }: &Expect) -> TokenStream {
    let (target, question) = (option(target.as_ref().map(text)), text(question));
    let answer = match answer {
        Answer::Contains(words) => {
            let words = text(words);
            quote!(Answer::Contains(#words))
        }
        Answer::Equals(words) => {
            let words = text(words);
            quote!(Answer::Equals(#words))
        }
        _ => quote!(Answer::Declines),
    };
    quote!(Expect { target: #target, question: #question, answer: #answer })
}

fn text(text: &Text) -> TokenStream {
    quote!(Text::Borrowed(#text))
}

/// A borrowed list. A constant of its own lives as long as the program, whatever its elements are.
fn list(element: &TokenStream, items: impl Iterator<Item = TokenStream>) -> TokenStream {
    quote! {{
        const ITEMS: &[#element] = &[#(#items),*];
        List::Borrowed(ITEMS)
    }}
}

fn option(value: Option<impl ToTokens>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}
