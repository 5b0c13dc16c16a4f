//! A recipe as a constant expression. Its constant functions check the values and stop the
//! compiler, so that nobody can write an invalid recipe by hand.

use bake_spec::Hash;
use bake_spec::recipe::{
    Answer, AskFields, Dataset, DatasetFields, Divergence, EverydayFields, Expect, ExpectFields,
    Format, Freshness, GeneralFields, Generator, Lora, LoraFields, ModelSource, OutlineFields,
    PersonaFields, Prompt, PromptFields, Recipe, RecipeFields, RephraseFields, Role, RolloutFields,
    Schedule, Status, StimuliFields, Target, TargetFields, TeacherContext, Text, Train,
    TrainFields, Turn, UnanswerableFields, WorkedExample,
};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

/// The recipe as a constant expression.
pub(super) fn recipe(recipe: &Recipe, private: &TokenStream) -> TokenStream {
    let RecipeFields { name, root: _, model, parent, student, targets, lora, train, expects } =
        &**recipe;
    let (name, student) = (text(name), prompt(student));
    let model = match model {
        ModelSource::Folder(folder) => {
            let folder = text(folder);
            quote!(ModelSource::Folder(#folder))
        }
        ModelSource::Gguf(file) => {
            let file = text(file);
            quote!(ModelSource::Gguf(#file))
        }
        ModelSource::Named(model) => {
            let name = model.name();
            quote!(ModelSource::Named(NamedModel::declared(#name)))
        }
        _ => quote!(ModelSource::Tiny),
    };
    let parent = option(parent.as_ref().map(|parent| {
        let (path, hash) = (text(&parent.path), hash(&parent.hash));
        quote!(Parent::declared(ParentFields { path: #path, hash: #hash }))
    }));
    let targets = list(&quote!(Target), targets.iter().map(target));
    let (lora, train) = (self::lora(lora), self::train(train));
    let expects = list(&quote!(Expect), expects.iter().map(expect));
    quote! {{
        use #private::recipe::*;
        Recipe::declared(RecipeFields {
            name: #name,
            root: Text::Borrowed(::core::env!("CARGO_MANIFEST_DIR")),
            model: #model,
            parent: #parent,
            student: #student,
            targets: #targets,
            lora: #lora,
            train: #train,
            expects: #expects,
        })
    }}
}

fn target(target: &Target) -> TokenStream {
    let TargetFields {
        name,
        anchor,
        weight,
        prompt,
        document,
        context,
        examples,
        stimuli,
        rollout,
    } = &**target;
    let (name, prompt) = (text(name), self::prompt(prompt));
    let document = option(document.as_ref().map(|document| {
        let (path, hash) = (text(&document.path), hash(&document.hash));
        quote!(Document::declared(DocumentFields { path: #path, hash: #hash }))
    }));
    let context = option(context.map(|context| match context {
        TeacherContext::Passage => quote!(TeacherContext::Passage),
        TeacherContext::Document => quote!(TeacherContext::Document),
        TeacherContext::Retrieved => quote!(TeacherContext::Retrieved),
    }));
    let examples = list(&quote!(WorkedExample), examples.iter().map(example));
    let StimuliFields { generators } = &**stimuli;
    let generators = list(&quote!(Generator), generators.iter().map(generator));
    let RolloutFields { answers, max_tokens, temperature, top_p, top_k, seed, on_policy } =
        &**rollout;
    let max_tokens = option(*max_tokens);
    quote! {
        Target::declared(TargetFields {
            name: #name,
            anchor: #anchor,
            weight: #weight,
            prompt: #prompt,
            document: #document,
            context: #context,
            examples: #examples,
            stimuli: Stimuli::declared(StimuliFields { generators: #generators }),
            rollout: Rollout::declared(RolloutFields {
                answers: #answers,
                max_tokens: #max_tokens,
                temperature: #temperature,
                top_p: #top_p,
                top_k: #top_k,
                seed: #seed,
                on_policy: #on_policy,
            }),
        })
    }
}

fn example(example: &WorkedExample) -> TokenStream {
    let WorkedExample { passage, question, answer } = example;
    let passage = option(passage.as_ref().map(text));
    let (question, answer) = (text(question), text(answer));
    quote!(WorkedExample { passage: #passage, question: #question, answer: #answer })
}

fn prompt(prompt: &Prompt) -> TokenStream {
    let PromptFields { system, turns } = &**prompt;
    let turns = turns.iter().map(|Turn { role, text: words }| {
        let words = text(words);
        let role = match role {
            Role::System => quote!(Role::System),
            Role::User => quote!(Role::User),
            Role::Assistant => quote!(Role::Assistant),
        };
        quote!(Turn { role: #role, text: #words })
    });
    let (system, turns) = (text(system), list(&quote!(Turn), turns));
    quote!(Prompt::declared(PromptFields { system: #system, turns: #turns }))
}

fn generator(generator: &Generator) -> TokenStream {
    match generator {
        Generator::Questions(questions) => {
            let questions = list(&quote!(Text), questions.iter().map(text));
            quote!(Generator::Questions(#questions))
        }
        Generator::Dataset(dataset) => {
            let dataset = self::dataset(dataset);
            quote!(Generator::Dataset(#dataset))
        }
        Generator::Outline(outline) => {
            let OutlineFields { count } = &**outline;
            let count = option(*count);
            quote!(Generator::Outline(Outline::declared(OutlineFields { count: #count })))
        }
        Generator::Template(template) => {
            let template: &str = template;
            quote!(Generator::Template(Template::declared(Text::Borrowed(#template))))
        }
        Generator::Ask(ask) => {
            let AskFields { count, temperature, template } = &**ask;
            let (count, template) = (option(*count), option(template.as_ref().map(text)));
            quote!(Generator::Ask(Ask::declared(AskFields {
                count: #count,
                temperature: #temperature,
                template: #template,
            })))
        }
        Generator::Persona(persona) => {
            let PersonaFields { count, temperature, people } = &**persona;
            let count = option(*count);
            let people = list(&quote!(Text), people.iter().map(text));
            quote!(Generator::Persona(Persona::declared(PersonaFields {
                count: #count,
                temperature: #temperature,
                people: #people,
            })))
        }
        Generator::Rephrase(rephrase) => {
            let RephraseFields { count, temperature } = &**rephrase;
            let count = option(*count);
            quote!(Generator::Rephrase(Rephrase::declared(RephraseFields {
                count: #count,
                temperature: #temperature,
            })))
        }
        Generator::Unanswerable(unanswerable) => {
            let UnanswerableFields { count, decline } = &**unanswerable;
            let (count, decline) = (option(*count), option(decline.as_ref().map(text)));
            quote!(Generator::Unanswerable(Unanswerable::declared(UnanswerableFields {
                count: #count,
                decline: #decline,
            })))
        }
        Generator::Everyday(everyday) => {
            let EverydayFields { count } = &**everyday;
            let count = option(*count);
            quote!(Generator::Everyday(Everyday::declared(EverydayFields { count: #count })))
        }
        Generator::General(general) => {
            let GeneralFields { count } = &**general;
            let count = option(*count);
            quote!(Generator::General(General::declared(GeneralFields { count: #count })))
        }
        // Only a later version of the recipe has others.
        _ => quote!(::core::compile_error!("this generator cannot be written as a constant")),
    }
}

fn dataset(dataset: &Dataset) -> TokenStream {
    let DatasetFields { path, hash, format, field, take } = &**dataset;
    let (path, hash, field, take) = (text(path), self::hash(hash), text(field), option(*take));
    let format = match format {
        Format::JsonLines => quote!(Format::JsonLines),
        Format::Csv => quote!(Format::Csv),
        _ => quote!(Format::Lines),
    };
    quote! {
        Dataset::declared(DatasetFields {
            path: #path,
            hash: #hash,
            format: #format,
            field: #field,
            take: #take,
        })
    }
}

fn lora(lora: &Lora) -> TokenStream {
    let LoraFields { rank, alpha, dropout, modules, layers } = &**lora;
    let modules = list(&quote!(Text), modules.iter().map(text));
    let layers = option(layers.map(|(start, end)| quote!((#start, #end))));
    quote! {
        Lora::declared(LoraFields {
            rank: #rank,
            alpha: #alpha,
            dropout: #dropout,
            modules: #modules,
            layers: #layers,
        })
    }
}

fn train(train: &Train) -> TokenStream {
    let TrainFields {
        epochs,
        lr,
        batch,
        accumulate,
        schedule,
        warmup,
        divergence,
        temperature,
        clip,
        weight_decay,
        seed,
        held_out,
        patience,
        rehearse,
        stop_at_kl,
        until_covered,
        checkpoint_every,
        keep_every,
        teacher_anyway,
    } = &**train;
    let stop_at_kl = option(*stop_at_kl);
    let until_covered = option(*until_covered);
    let checkpoint_every = option(*checkpoint_every);
    let keep_every = option(*keep_every);
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
        Train::declared(TrainFields {
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
            held_out: #held_out,
            patience: #patience,
            rehearse: #rehearse,
            stop_at_kl: #stop_at_kl,
            until_covered: #until_covered,
            checkpoint_every: #checkpoint_every,
            keep_every: #keep_every,
            teacher_anyway: #teacher_anyway,
        })
    }
}

fn expect(expect: &Expect) -> TokenStream {
    let ExpectFields { target, question, answer } = &**expect;
    let (target, question) = (option(target.as_ref().map(text)), text(question));
    let answer = match answer {
        Answer::Contains(words) => {
            let words = text(words);
            quote!(Answer::Contains(#words))
        }
        Answer::ContainsAny(words) => {
            let words = list(&quote!(Text), words.iter().map(text));
            quote!(Answer::ContainsAny(#words))
        }
        Answer::StartsWith(words) => {
            let words = text(words);
            quote!(Answer::StartsWith(#words))
        }
        Answer::EndsWith(words) => {
            let words = text(words);
            quote!(Answer::EndsWith(#words))
        }
        Answer::Matches(pattern) => {
            let pattern = &**pattern;
            quote!(Answer::Matches(Pattern::declared(Text::Borrowed(#pattern))))
        }
        Answer::Equals(words) => {
            let words = text(words);
            quote!(Answer::Equals(#words))
        }
        _ => quote!(Answer::Declines),
    };
    quote! {
        Expect::declared(ExpectFields { target: #target, question: #question, answer: #answer })
    }
}

fn hash(hash: &Hash) -> TokenStream {
    let digits = hash.to_string();
    quote!(Hash::declared(#digits))
}

/// What is known of a bake, as a constant of its declaration.
pub(super) fn status(status: &Status, private: &TokenStream) -> TokenStream {
    let freshness = match status.freshness() {
        Freshness::Fresh => quote!(Freshness::Fresh),
        Freshness::Stale => quote!(Freshness::Stale),
        Freshness::Missing => quote!(Freshness::Missing),
        _ => quote!(Freshness::Unknown),
    };
    let why = status.why();
    let baked = option(status.baked().map(|baked| {
        let documents = baked.documents().iter().map(|document| {
            let (target, path, hash) = (document.target(), document.path(), document.hash());
            quote!(BakedDocument::new(
                Text::Borrowed(#target), Text::Borrowed(#path), Text::Borrowed(#hash)
            ))
        });
        let documents = list(&quote!(BakedDocument), documents);
        let (adapter, model, hash) = (baked.adapter(), baked.model(), baked.model_hash());
        let (before, after) = (baked.kl_before(), baked.kl_after());
        quote!(BakedFrom::new(
            Text::Borrowed(#adapter),
            Text::Borrowed(#model),
            Text::Borrowed(#hash),
            #documents,
            (#before, #after),
        ))
    }));
    quote! {
        const STATUS: &'static #private::Status = {
            #[allow(unused_imports)]
            use #private::recipe::*;
            &Status::new(#freshness, Text::Borrowed(#why), #baked)
        };
    }
}

fn text(text: &Text) -> TokenStream {
    quote!(Text::Borrowed(#text))
}

/// A borrowed list. As a separate constant it lives as long as the program, whatever its elements
/// are.
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
