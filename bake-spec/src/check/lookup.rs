//! Looks up what a declaration says about a setting, or else its default.

use crate::settings::{Scope, Setting, find};
use crate::syntax::ast::{Assignment, Value};

/// The settings of one place, each once. What is missing is looked up in the enclosing place, then
/// in the table of settings.
pub(super) struct Settings<'a> {
    pub(super) scope: Scope,
    pub(super) given: Vec<&'a Assignment>,
    pub(super) around: Option<&'a Settings<'a>>,
    /// What is not looked up in the enclosing place.
    pub(super) own: &'static [&'static str],
}

impl<'a> Settings<'a> {
    pub(super) fn given(&self, name: &str) -> Option<&'a Assignment> {
        let here = self.given.iter().find(|assignment| assignment.setting.name == name);
        let around = self.around.filter(|_| !self.own.contains(&name));
        here.copied().or_else(|| around?.given(name))
    }

    /// Whether it is given here, and not around.
    pub(super) fn is_given_here(&self, name: &str) -> bool {
        self.given.iter().any(|assignment| assignment.setting.name == name)
    }

    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.given(name).map(|assignment| &assignment.value)
    }

    pub(super) fn setting(&self, name: &str) -> &'static Setting {
        find(self.scope, name)
            .unwrap_or_else(|| unreachable!("`{name}` is in the table of settings"))
    }

    pub(super) fn text(&self, name: &str) -> String {
        match self.value(name) {
            Some(Value::Text(text)) => text.value(),
            _ => self.setting(name).default.to_owned(),
        }
    }

    /// The given count, or else the default; none if there is neither. A count that the setting
    /// cannot have was reported in its place.
    pub(super) fn optional_count(&self, name: &str) -> Option<u64> {
        match self.value(name) {
            Some(Value::Count(count, _)) if self.setting(name).check_count(*count).is_ok() => {
                Some(*count)
            }
            _ => self.setting(name).default.parse().ok(),
        }
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.optional_count(name).unwrap_or_default().try_into().unwrap_or(usize::MAX)
    }

    /// How many questions a generator makes. A count that it cannot have was reported.
    pub(super) fn amount(&self, name: &str) -> Amount {
        let setting = self.setting(name);
        let count = match self.value(name) {
            Some(Value::Counted(None, ..)) => return Amount::Auto,
            Some(Value::Counted(Some(count), ..)) if setting.check_count(*count).is_ok() => *count,
            _ => return Amount::Undeclared,
        };
        match count {
            0 => Amount::None,
            count => Amount::Exactly(count.try_into().unwrap_or(usize::MAX)),
        }
    }

    pub(super) fn optional_number(&self, name: &str) -> Option<f64> {
        match self.value(name) {
            Some(Value::Number(number, _)) if self.setting(name).check_number(*number).is_ok() => {
                Some(*number)
            }
            _ => self.setting(name).default.parse().ok(),
        }
    }

    pub(super) fn number(&self, name: &str) -> f64 {
        self.optional_number(name).unwrap_or_default()
    }

    pub(super) fn word(&self, name: &str) -> String {
        match self.value(name) {
            Some(Value::Word(word) | Value::Call(word, ..)) => word.to_string(),
            _ => self.setting(name).default.to_owned(),
        }
    }

    /// The settings in a setting's own braces.
    pub(super) fn block(&self, name: &str, scope: Scope) -> Settings<'a> {
        match self.value(name) {
            Some(
                Value::Block(assignments)
                | Value::Counted(_, _, assignments)
                | Value::File(_, assignments),
            ) => Settings { scope, given: assignments.iter().collect(), around: None, own: &[] },
            _ => Settings { scope, given: Vec::new(), around: None, own: &[] },
        }
    }
}

/// How many questions a generator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// The declaration does not say.
    Undeclared,
    /// None: `0`.
    None,
    /// As many as the document calls for.
    Auto,
    /// So many.
    Exactly(usize),
}

impl Amount {
    /// The number of a generator that exists, where one that is not declared exists or not; none if
    /// it does not.
    pub(super) fn count(self, exists: bool) -> Option<Option<usize>> {
        match self {
            Self::Undeclared => exists.then_some(None),
            Self::None => None,
            Self::Auto => Some(None),
            Self::Exactly(count) => Some(Some(count)),
        }
    }
}
