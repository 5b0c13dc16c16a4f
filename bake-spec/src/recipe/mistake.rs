//! Invalid values, wherever they come from: the macro, the builder, or a constant.

use std::fmt;

use super::{Role, Target, names};
use crate::diagnostics::{Code, did_you_mean};
use crate::error::{Error, ErrorKind};
use crate::model::config::Projection;
use crate::settings::{Kind, Range, Setting};

/// A value that a recipe cannot have. It is found in constant functions, which cannot write a
/// message; its code and its words are the same wherever it is reported.
#[derive(Clone, Copy, Debug)]
pub enum Mistake<'a> {
    /// A count outside the range of its setting.
    Count {
        /// The setting.
        name: &'static str,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// What it is.
        count: u64,
    },
    /// A number outside the range of its setting.
    Number {
        /// The setting.
        name: &'static str,
        /// What it may be.
        range: Range,
        /// What it is.
        number: f64,
    },
    /// A text without a word in it.
    Blank(&'static str),
    /// A text with a character that no text in a file may have.
    Nul(&'static str),
    /// A text that is not a regular expression.
    NotAPattern {
        /// The text.
        text: &'a str,
        /// Why it is not one.
        why: &'a str,
    },
    /// A template that cannot be read, or that fails on a passage.
    NotATemplate {
        /// What is wrong with it.
        why: &'a str,
    },
    /// A file or folder of this kind without a path.
    EmptyPath(&'static str),
    /// A path that only one system understands.
    Backslashes {
        /// What is there.
        what: &'static str,
        /// The path.
        path: &'a str,
    },
    /// A path that is right on one machine only.
    AbsolutePath {
        /// What is there.
        what: &'static str,
        /// The path.
        path: &'a str,
    },
    /// A dataset of this path, whose ending is that of no format.
    UnknownEnding(&'a str),
    /// A model without a path.
    EmptyModel,
    /// An empty range of blocks.
    NoLayers {
        /// The first.
        start: u64,
        /// The one after the last.
        end: u64,
    },
    /// A β at which the divergence vanishes, or beyond.
    Beta(f64),
    /// A linear layer that does not exist.
    UnknownModule(&'a str),
    /// A linear layer that is named twice.
    Repeated(&'a str),
    /// A generator that makes no questions.
    ForNone(&'static str),
    /// A generator that makes its questions from a document, where there is none.
    NeedsDocument {
        /// The target or anchor.
        name: &'a str,
        /// The generator.
        generator: &'static str,
    },
    /// A setting that says how a document is read, where there is none.
    NothingToRead {
        /// The target or anchor.
        name: &'a str,
        /// The setting.
        setting: &'static str,
    },
    /// A target or an anchor without questions.
    NoQuestions {
        /// Its name.
        name: &'a str,
        /// Whether it is an anchor.
        anchor: bool,
    },
    /// A target or an anchor of this name whose questions all must not be trained on.
    AllHeldOut(&'a str),
    /// A target or an anchor with questions in other words, and none in any.
    NothingToRephrase(&'a str),
    /// A target without document and prompt.
    NothingToLearn(&'a str),
    /// A turn of a prompt whose turn it is not.
    OutOfTurn {
        /// Whether it is the first after the system turn.
        first: bool,
        /// Who speaks.
        role: Role,
    },
    /// A prompt that ends with a user's turn.
    Unanswered,
    /// An anchor with a document.
    AnchorWithDocument(&'a str),
    /// A setting of targets in an anchor.
    NotForAnchors {
        /// The anchor.
        name: &'a str,
        /// The setting.
        setting: &'static str,
    },
    /// An anchor of this name whose prompt is not the student's.
    AnchorPrompt(&'a str),
    /// An anchor before a target of this name.
    AnchorFirst(&'a str),
    /// The name of a bake, a target or an anchor that cannot be one in Rust.
    NotAName {
        /// The name.
        name: &'a str,
        /// What has it.
        of: &'static str,
    },
    /// A bake without a target.
    NothingBaked,
    /// A setting that would change the parent too.
    NotWithParent(&'static str),
    /// A bake whose parent is the copy that `cargo bake` keeps of it.
    OnTopOfItself {
        /// Its name.
        name: &'a str,
        /// The folder of the copy.
        folder: &'a str,
    },
    /// Two targets with one name.
    SameTarget(&'a str),
    /// Two targets whose names are one in Rust.
    SameVariant {
        /// The first.
        other: &'a str,
        /// The second.
        name: &'a str,
    },
    /// An anchor with the name of a target or another anchor.
    SameAnchor(&'a str),
    /// An expectation of a target that does not exist.
    UnknownTarget {
        /// The name.
        name: &'a str,
        /// The targets and anchors that exist.
        targets: &'a [Target],
    },
}

impl<'a> Mistake<'a> {
    /// A target or an anchor with a name that another has.
    pub(crate) const fn same_name(name: &'a str, anchor: bool) -> Self {
        if anchor { Self::SameAnchor(name) } else { Self::SameTarget(name) }
    }

    /// Its kind.
    pub fn code(&self) -> Code {
        match self {
            Self::Count { .. }
            | Self::Number { .. }
            | Self::Blank(_)
            | Self::Nul(_)
            | Self::NoLayers { .. }
            | Self::Beta(_)
            | Self::ForNone(_)
            | Self::NeedsDocument { .. }
            | Self::NothingToRead { .. }
            | Self::AnchorWithDocument(_)
            | Self::NotForAnchors { .. }
            | Self::AnchorPrompt(_)
            | Self::AnchorFirst(_)
            | Self::NotAName { .. }
            | Self::NotWithParent(_) => Code::Value,
            Self::NotAPattern { .. } => Code::Pattern,
            Self::NotATemplate { .. } => Code::Template,
            Self::OutOfTurn { .. } | Self::Unanswered => Code::Prompt,
            Self::EmptyPath(what)
            | Self::Backslashes { what, .. }
            | Self::AbsolutePath { what, .. } => match *what {
                "prompt" => Code::Prompt,
                "dataset" | "file of expectations" | "file of examples" => Code::Dataset,
                "parent" => Code::Model,
                _ => Code::Document,
            },
            Self::UnknownEnding(_) => Code::Dataset,
            Self::EmptyModel | Self::OnTopOfItself { .. } => Code::Model,
            Self::UnknownModule(_) | Self::UnknownTarget { .. } => Code::UnknownName,
            Self::Repeated(_) => Code::Repeated,
            Self::NoQuestions { .. }
            | Self::AllHeldOut(_)
            | Self::NothingToRephrase(_)
            | Self::NothingToLearn(_)
            | Self::NothingBaked => Code::Missing,
            Self::SameTarget(_) | Self::SameVariant { .. } | Self::SameAnchor(_) => Code::SameName,
        }
    }

    /// Stops the evaluation of a constant.
    ///
    /// # Panics
    /// Always. The message names what is wrong, as far as a constant can.
    pub(crate) const fn stop(&self) -> ! {
        match self {
            Self::Count { name, .. } | Self::Number { name, .. } => panic!("{}", *name),
            Self::Blank(what) | Self::Nul(what) => panic!("{}", *what),
            Self::NotAPattern { text: name, .. } | Self::NotATemplate { why: name } => {
                panic!("{}", *name)
            }
            Self::EmptyPath(_) | Self::EmptyModel => panic!("a path is empty"),
            Self::Backslashes { path, .. } | Self::AbsolutePath { path, .. } => {
                panic!("{}", *path)
            }
            Self::UnknownEnding(path) => panic!("{}", *path),
            Self::NoLayers { .. } => panic!("`layers` contains no blocks"),
            Self::Beta(_) => panic!("`jsd` needs a β from 0.001 to 0.999"),
            Self::UnknownModule(name) | Self::Repeated(name) => panic!("{}", *name),
            Self::ForNone(name)
            | Self::NeedsDocument { generator: name, .. }
            | Self::NothingToRead { setting: name, .. }
            | Self::NotForAnchors { setting: name, .. } => panic!("{}", *name),
            Self::NoQuestions { .. } => panic!("a target or an anchor has no questions"),
            Self::AllHeldOut(name) => panic!("{}", *name),
            Self::NothingToRephrase(_) => panic!("there is no question to rephrase"),
            Self::NothingToLearn(_) => panic!("a target has neither a document nor a prompt"),
            Self::OutOfTurn { role, .. } => panic!("{}", role.name()),
            Self::Unanswered => panic!("a prompt ends with a user's turn"),
            Self::AnchorWithDocument(_) => panic!("an anchor has a document"),
            Self::AnchorPrompt(_) => panic!("an anchor's prompt is not the student's"),
            Self::AnchorFirst(_) => panic!("an anchor comes before a target"),
            Self::NothingBaked => panic!("there is nothing to bake"),
            Self::NotWithParent(name) => panic!("{}", *name),
            Self::OnTopOfItself { name, .. } => panic!("{}", *name),
            Self::NotAName { name, .. }
            | Self::SameTarget(name)
            | Self::SameVariant { name, .. }
            | Self::SameAnchor(name) => panic!("{}", *name),
            Self::UnknownTarget { name, .. } => panic!("{}", *name),
        }
    }
}

impl fmt::Display for Mistake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { name, min, max, count } => {
                write!(f, "`{name}` must be a whole number from {min} to {max}; this is {count}")
            }
            Self::Number { name, range, number } => {
                write!(f, "`{name}` must be {range}; this is {number}")
            }
            Self::Blank(what) => write!(f, "{what} cannot be empty"),
            Self::Nul(what) => write!(f, "{what} cannot contain a NUL character; remove it"),
            Self::NotAPattern { text, why } => {
                write!(f, "`{text}` is not a regular expression: {why}")
            }
            Self::NotATemplate { why } => write!(f, "the template cannot be used: {why}"),
            Self::EmptyPath(what) => write!(
                f,
                "the path of the {what} is empty; write it relative to the folder of Cargo.toml"
            ),
            Self::Backslashes { what, path } => write!(
                f,
                "the path of the {what} `{path}` has backslashes; write `{}`, which works on every \
                 system",
                path.replace('\\', "/")
            ),
            Self::AbsolutePath { what, path } => write!(
                f,
                "the {what} `{path}` is an absolute path; write it relative to the folder of \
                 Cargo.toml"
            ),
            Self::UnknownEnding(path) => write!(
                f,
                "the dataset `{path}` is neither .jsonl nor .csv; rename it, or use `questions \
                 from`"
            ),
            Self::EmptyModel => f.write_str("the path of the model is empty"),
            Self::NoLayers { start, end } => write!(
                f,
                "`{start}..{end}` contains no blocks; write the first block and the one after the \
                 last, as in `4..12`"
            ),
            Self::Beta(beta) => write!(
                f,
                "β must be from 0.001 to 0.999, as the divergence vanishes at 0 and 1; this is \
                 {beta}"
            ),
            Self::UnknownModule(name) => {
                let known = Projection::ALL.map(Projection::name);
                write!(f, "there is no linear layer `{name}`; {}", did_you_mean(name, &known))
            }
            Self::Repeated(name) => write!(f, "`{name}` is given twice; keep one of them"),
            Self::ForNone(name) => write!(f, "`{name}` must be at least 1 if it is set"),
            Self::NeedsDocument { name, generator } => write!(
                f,
                "`{generator}` makes its questions from a document, but `{name}` has none; leave \
                 it out, or use `ask`"
            ),
            Self::NothingToRead { name, setting: "examples" } => write!(
                f,
                "`examples` show how to answer from a document, but `{name}` has none; write them \
                 as turns of its `prompt`"
            ),
            Self::NothingToRead { name, setting } => write!(
                f,
                "`{setting}` applies only to targets with a document, but `{name}` has none; leave \
                 it out"
            ),
            Self::NoQuestions { name, anchor } => write!(
                f,
                "the {} `{name}` has no questions; add `questions [\"…\"]`, or remove a setting \
                 such as `ask 0`",
                if *anchor { "anchor" } else { "target" }
            ),
            Self::AllHeldOut(name) => write!(
                f,
                "all questions of the target `{name}` are asked by an `expect`, so none is left to \
                 train on; add other questions"
            ),
            Self::NothingToRephrase(name) => write!(
                f,
                "`rephrase` rewords questions, but `{name}` has none; add `questions [\"…\"]`, or \
                 let another generator such as `ask` make some"
            ),
            Self::NothingToLearn(name) => write!(
                f,
                "the target `{name}` has nothing to learn; give it a document, as in `from \
                 \"docs/name.md\"`, or a `prompt`"
            ),
            Self::OutOfTurn { role: Role::System, .. } => f.write_str(
                "`system` must be the first turn of a prompt, and there can be only one",
            ),
            Self::OutOfTurn { first: true, .. } => f.write_str(
                "the first turn after `system` must be the user's; add a `user` turn before this \
                 one",
            ),
            Self::OutOfTurn { role: Role::User, .. } => f.write_str(
                "a `user` turn follows another; write the `assistant` turn that answers it between \
                 them",
            ),
            Self::OutOfTurn { role: Role::Assistant, .. } => f.write_str(
                "an `assistant` turn follows another; write the `user` turn that it answers \
                 between them",
            ),
            Self::Unanswered => f.write_str(
                "the prompt ends with a `user` turn, but the question comes after it; write the \
                 `assistant` turn that answers it, or put it into `system`",
            ),
            Self::AnchorWithDocument(name) => {
                write!(f, "the anchor `{name}` has a document; make it a target")
            }
            Self::NotForAnchors { name, setting } => {
                write!(f, "`{setting}` is for targets, but `{name}` is an anchor; leave it out")
            }
            Self::AnchorPrompt(name) => write!(
                f,
                "the prompt of the anchor `{name}` is not that of the student, whose answers it \
                 keeps; give it the same"
            ),
            Self::NotAName { name, of } if *name != "_" && names::is_keyword(name) => write!(
                f,
                "`{name}` is a keyword of Rust and cannot be the name of {of}; choose another"
            ),
            Self::NotAName { name, of } => {
                let example = if *of == names::BAKE { "Support" } else { "iphone" };
                write!(f, "`{name}` cannot be the name of {of}; use letters, as in `{example}`")
            }
            Self::AnchorFirst(name) => {
                write!(f, "the target `{name}` comes after an anchor; anchors come last")
            }
            Self::NotWithParent(name) => write!(
                f,
                "`{name}` would also change what the `parent` learned; remove one of them"
            ),
            Self::OnTopOfItself { name, folder } => write!(
                f,
                "a bake cannot be its own `parent`, and `cargo bake` keeps `{name}` in `{folder}`; \
                 copy the folder, and use the copy"
            ),
            Self::NothingBaked => f.write_str(
                "there is nothing to bake; declare at least one target, as in `target name from \
                 \"docs/name.md\";`",
            ),
            Self::SameTarget(name) => {
                write!(f, "the target `{name}` is declared twice; give each target its own name")
            }
            Self::SameVariant { other, name } => write!(
                f,
                "the targets `{other}` and `{name}` are both `{}` in Rust; rename one of them",
                names::upper_camel(name)
            ),
            Self::SameAnchor(name) => {
                write!(f, "there is already a target or an anchor `{name}`; give each its own name")
            }
            Self::UnknownTarget { name, targets } => {
                let names = targets.iter().filter(|target| !target.anchor);
                let names: Vec<&str> = names.map(|target| &*target.name).collect();
                write!(f, "there is no target `{name}`; {}", did_you_mean(name, &names))
            }
        }
    }
}

impl From<Mistake<'_>> for Error {
    fn from(mistake: Mistake<'_>) -> Self {
        Self::new(ErrorKind::Recipe, format!("{mistake} [{}]", mistake.code()))
    }
}

impl Setting {
    /// Whether it can have this count.
    pub(crate) const fn check_count(&self, count: u64) -> Result<(), Mistake<'static>> {
        let (min, max) = match self.kind {
            Kind::Count { min, max } => (min, max),
            Kind::Counted { max, .. } => (0, max),
            _ => return Ok(()),
        };
        if min <= count && count <= max {
            Ok(())
        } else {
            Err(Mistake::Count { name: self.name, min, max, count })
        }
    }

    /// Whether it can have this number.
    pub(crate) const fn check_number(&self, number: f64) -> Result<(), Mistake<'static>> {
        match self.kind {
            Kind::Number(range) if !range.contains(number) => {
                Err(Mistake::Number { name: self.name, range, number })
            }
            _ => Ok(()),
        }
    }
}
