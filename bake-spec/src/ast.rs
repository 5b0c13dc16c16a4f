//! A declaration as it is written.

use proc_macro2::{Ident, Span};
use syn::{Attribute, LitStr, Path, Visibility};

use crate::settings::Setting;

/// One `bake Name { … }`, or bare items.
#[derive(Clone, Debug)]
pub struct Bake {
    /// Attributes and documentation before it.
    pub attributes: Vec<Attribute>,
    /// Its visibility.
    pub visibility: Visibility,
    /// Its name; `Bake` for bare items.
    pub name: Ident,
    /// What is declared.
    pub items: Vec<Item>,
    /// Whether a mistake hides some of it, so that what seems to be missing may be there.
    pub broken: bool,
}

/// Something that is declared.
#[derive(Clone, Debug)]
pub enum Item {
    /// `crate = ::path;`
    Crate {
        /// The keyword.
        keyword: Ident,
        /// Where this library is found.
        path: Path,
    },
    /// `model tiny;` or `model "folder";`
    Model {
        /// The keyword.
        keyword: Ident,
        /// What stands behind it.
        source: ModelSource,
    },
    /// `target name … { … }`
    Target(Target),
    /// `expect …`
    Expect(Expect),
    /// A setting and its value.
    Setting(Assignment),
}

/// Where a base model comes from.
#[derive(Clone, Debug)]
pub enum ModelSource {
    /// `tiny`
    Tiny(Ident),
    /// A folder.
    Folder(LitStr),
}

/// `target name weight 1.0 from "…" { … }`
#[derive(Clone, Debug)]
pub struct Target {
    /// The keyword.
    pub keyword: Ident,
    /// Its name.
    pub name: Ident,
    /// What stands before the braces.
    pub head: Vec<Assignment>,
    /// What stands in the braces: settings and expectations.
    pub body: Vec<Item>,
    /// Whether a mistake hides some of it, so that what seems to be missing may be there.
    pub broken: bool,
}

/// A keyword of the [table](crate::settings) and its value.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The keyword.
    pub keyword: Ident,
    /// What it is.
    pub setting: &'static Setting,
    /// The value.
    pub value: Value,
}

/// The value of a setting. Numbers carry the place where they stand.
#[derive(Clone, Debug)]
pub enum Value {
    /// A whole number.
    Count(u64, Span),
    /// A number.
    Number(f64, Span),
    /// A string.
    Text(LitStr),
    /// A list of strings.
    Texts(Vec<LitStr>),
    /// A word.
    Word(Ident),
    /// A word with a number in parentheses, as `jsd(0.5)`.
    Call(Ident, f64, Span),
    /// A list of words.
    Words(Vec<Ident>),
    /// From the first to before the second.
    Span(u64, u64, Span),
    /// Settings in braces.
    Block(Vec<Assignment>),
    /// A whole number, and settings in braces.
    Counted(u64, Span, Vec<Assignment>),
}

/// `expect target "question" => contains "words"`
#[derive(Clone, Debug)]
pub struct Expect {
    /// The keyword.
    pub keyword: Ident,
    /// The target whose document holds the answer.
    pub target: Option<Ident>,
    /// The question.
    pub question: LitStr,
    /// What the answer must be.
    pub answer: Answer,
}

/// What an answer must be.
#[derive(Clone, Debug)]
pub enum Answer {
    /// `contains "…"`
    Contains(LitStr),
    /// `equals "…"`
    Equals(LitStr),
    /// `declines`
    Declines(Ident),
}
