//! A declaration as written.

use proc_macro2::{Ident, Span};
use syn::{Attribute, LitStr, Path, Visibility};

use crate::model::named::NamedModel;
use crate::settings::{Kind, Scope, Setting};

/// One `bake Name { … }`, or bare items.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenBake {
    /// Attributes and documentation before it.
    pub attributes: Vec<Attribute>,
    /// Its visibility.
    pub visibility: Visibility,
    /// Its name; `Bake` for bare items.
    pub name: Ident,
    /// What is declared.
    pub items: Vec<Item>,
    /// Whether a mistake hides some of it, so that what seems to be missing may exist.
    pub broken: bool,
}

impl WrittenBake {
    /// The keywords of all settings, and where they are.
    pub fn keywords(&self) -> Vec<(Scope, &Ident)> {
        let mut found = Vec::new();
        for item in &self.items {
            match item {
                Item::Setting(assignment) => assignment.keywords(Scope::Bake, &mut found),
                Item::Target(target) => {
                    let (head, body) = target.scopes();
                    target.head.iter().for_each(|assignment| assignment.keywords(head, &mut found));
                    for item in &target.body {
                        if let Item::Setting(assignment) = item {
                            assignment.keywords(body, &mut found);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }
}

impl Assignment {
    fn keywords<'a>(&'a self, scope: Scope, found: &mut Vec<(Scope, &'a Ident)>) {
        found.push((scope, &self.keyword));
        let (Kind::Block(scope)
        | Kind::Counted { scope: Some(scope), .. }
        | Kind::File(scope)
        | Kind::Prompt(scope)
        | Kind::Examples(scope)) = self.setting.kind
        else {
            return;
        };
        if let Value::Block(inner) | Value::Counted(_, _, inner) | Value::File(_, inner) =
            &self.value
        {
            inner.iter().for_each(|assignment| assignment.keywords(scope, found));
        }
    }
}

/// Something that is declared.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `crate = ::path;`
    Crate {
        /// The keyword.
        keyword: Ident,
        /// Where this library is found.
        path: Path,
    },
    /// `model tiny;`, `model smollm2;` or `model "path";`
    Model {
        /// The keyword.
        keyword: Ident,
        /// What follows it.
        source: WrittenModel,
    },
    /// `target name … { … }` or `anchor name … { … }`
    Target(WrittenTarget),
    /// `expect …`
    Expect(WrittenExpect),
    /// A setting and its value.
    Setting(Assignment),
}

/// Where a base model comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum WrittenModel {
    /// `tiny`
    Tiny(Ident),
    /// A model that has a name, and where that is.
    Named(&'static NamedModel, Ident),
    /// A folder or a file.
    Path(LitStr),
    /// `hub "name" revision "…"`
    Hub {
        /// The keyword.
        keyword: Ident,
        /// The model's name.
        name: LitStr,
        /// A revision of it.
        revision: Option<LitStr>,
    },
}

/// `target name weight 1.0 from "…" { … }`, or an anchor, which has no document and no prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenTarget {
    /// The keyword.
    pub keyword: Ident,
    /// Its name.
    pub name: Ident,
    /// What precedes the braces.
    pub head: Vec<Assignment>,
    /// What is in the braces: settings and expectations.
    pub body: Vec<Item>,
    /// Whether a mistake hides some of it, so that what seems to be missing may exist.
    pub broken: bool,
}

impl WrittenTarget {
    /// Whether it is an anchor.
    pub fn is_anchor(&self) -> bool {
        self.keyword == "anchor"
    }

    /// The scope of its clauses, and the items in its braces.
    pub fn scopes(&self) -> (Scope, Scope) {
        match self.is_anchor() {
            true => (Scope::AnchorHead, Scope::AnchorBody),
            false => (Scope::TargetHead, Scope::TargetBody),
        }
    }
}

/// A keyword of the [table](crate::settings) and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The keyword.
    pub keyword: Ident,
    /// What it is.
    pub setting: &'static Setting,
    /// The value.
    pub value: Value,
}

/// A place in the source. All places are equal, so that declarations that say the same are equal.
#[derive(Clone, Copy, Debug)]
pub struct At(pub Span);

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The value of a setting. Numbers carry their place in the source.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(u64, At),
    /// A number.
    Number(f64, At),
    /// A string.
    Text(LitStr),
    /// A list of strings.
    Texts(Vec<LitStr>),
    /// `from "…"`: the file that contains the string, or the strings.
    FromFile(LitStr),
    /// A file, and settings in braces.
    File(LitStr, Vec<Assignment>),
    /// A word.
    Word(Ident),
    /// A word with a number in parentheses, as `jsd(0.5)`.
    Call(Ident, f64, At),
    /// A list of words.
    Words(Vec<Ident>),
    /// From the first up to but not including the second.
    Span(u64, u64, At),
    /// Settings in braces.
    Block(Vec<Assignment>),
    /// A whole number or nothing, and settings in braces.
    Counted(Option<u64>, At, Vec<Assignment>),
}

/// `expect target "question" => contains "words"`
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenExpect {
    /// The keyword.
    pub keyword: Ident,
    /// The target whose document contains the answer.
    pub target: Option<Ident>,
    /// The question; of `expect from "…"`, the file that contains questions and answers.
    pub question: LitStr,
    /// What the answer must be.
    pub answer: WrittenAnswer,
}

/// What an answer must be.
#[derive(Clone, Debug, PartialEq)]
pub enum WrittenAnswer {
    /// `contains "…"`
    Contains(LitStr),
    /// `contains ["…", "…"]`: any of these.
    ContainsAny(Vec<LitStr>),
    /// `starts_with "…"`
    StartsWith(LitStr),
    /// `ends_with "…"`
    EndsWith(LitStr),
    /// `matches "…"`
    Matches(LitStr),
    /// `equals "…"`
    Equals(LitStr),
    /// `declines`
    Declines(Ident),
    /// `expect from "…"`: as a file says.
    FromFile(Ident),
}
