//! The keys and values of a GGUF file.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};

/// A value of the metadata. All integers are one type, and so are all floats.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum MetadataValue {
    Integer(i128),
    Float(f64),
    Flag(bool),
    Text(String),
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Flags(Vec<bool>),
    Texts(Vec<String>),
}

impl MetadataValue {
    fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Text(_) => "a string",
            Self::Integers(_) => "a list of whole numbers",
            Self::Floats(_) => "a list of numbers",
            Self::Flags(_) => "a list of booleans",
            Self::Texts(_) => "a list of strings",
        }
    }

    /// Whether this is 0, false, or nothing at all.
    pub(super) fn is_off(&self) -> bool {
        match self {
            Self::Integer(n) => *n == 0,
            Self::Float(x) => *x == 0.0,
            Self::Flag(flag) => !flag,
            Self::Text(text) => text.is_empty(),
            Self::Integers(all) => all.iter().all(|n| *n == 0),
            Self::Floats(all) => all.iter().all(|x| *x == 0.0),
            Self::Flags(all) => all.iter().all(|flag| !flag),
            Self::Texts(all) => all.is_empty(),
        }
    }
}

impl std::fmt::Display for MetadataValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Text(text) => write!(f, "`{}`", text.chars().take(40).collect::<String>()),
            list => f.write_str(list.kind()),
        }
    }
}

/// The metadata of a file.
#[derive(Debug)]
pub(super) struct Metadata {
    file: String,
    values: BTreeMap<String, MetadataValue>,
}

impl Metadata {
    /// `file` is for messages.
    pub(super) fn new(file: String, values: BTreeMap<String, MetadataValue>) -> Self {
        Self { file, values }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn get(&self, key: &str) -> Option<&MetadataValue> {
        self.values.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &MetadataValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, Error> {
        self.typed(key, "a string", |value| match value {
            MetadataValue::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", |value| match value {
            MetadataValue::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.typed(key, "a finite number", |value| match value {
            MetadataValue::Float(x) => Some(*x).filter(|x| x.is_finite()),
            MetadataValue::Integer(n) => Some(*n as f64),
            _ => None,
        })
    }

    /// A whole number that is not negative.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "a whole number", |value| match value {
            MetadataValue::Integer(n) => usize::try_from(*n).ok(),
            _ => None,
        })
    }

    /// A whole number, or one for each layer that is the same for all.
    pub(super) fn same_count(&self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "one whole number for all layers", |value| match value {
            MetadataValue::Integer(n) => usize::try_from(*n).ok(),
            MetadataValue::Integers(all) => {
                let first = all.first().filter(|first| all.iter().all(|n| n == *first))?;
                usize::try_from(*first).ok()
            }
            _ => None,
        })
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<&[String]>, Error> {
        self.typed(key, "a list of strings", |value| match value {
            MetadataValue::Texts(all) => Some(all.as_slice()),
            _ => None,
        })
    }

    pub(super) fn integers(&self, key: &str) -> Result<Option<&[i64]>, Error> {
        self.typed(key, "a list of whole numbers", |value| match value {
            MetadataValue::Integers(all) => Some(all.as_slice()),
            _ => None,
        })
    }

    pub(super) fn floats(&self, key: &str) -> Result<Option<&[f64]>, Error> {
        self.typed(key, "a list of numbers", |value| match value {
            MetadataValue::Floats(all) => Some(all.as_slice()),
            _ => None,
        })
    }

    /// A value that must be there.
    pub(super) fn needed<T>(&self, key: &str, value: Option<T>) -> Result<T, Error> {
        value.ok_or_else(|| {
            let what = format!("has no `{key}`; convert the model again");
            self.error(ErrorKind::Model, what)
        })
    }

    /// An error about the file.
    pub(super) fn error(&self, kind: ErrorKind, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("{} {what}", self.file))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a MetadataValue) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => {
                let what = format!("has `{key}` {value}; expected {expected}");
                Err(self.error(ErrorKind::Model, what))
            }
        }
    }
}
