//! Typed access to the keys of a `config.json`.

use serde_json::Value;

use super::shape::LARGEST;
use crate::error::{Error, ErrorKind};

/// The keys of one JSON object, with the file's name for messages.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) value: &'a Value,
    pub(super) name: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|v| !v.is_null())
    }

    pub(super) fn size(&self, key: &str) -> Result<usize, Error> {
        let value = self.get(key).ok_or_else(|| self.error(format!("has no `{key}`")))?;
        value.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
            self.error(format!("has `{key}` {value}; expected a whole number from 1 to {LARGEST}"))
        })
    }

    pub(super) fn size_or(&self, key: &str, default: usize) -> Result<usize, Error> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    pub(super) fn number(&self, key: &str) -> Result<f64, Error> {
        let value = self
            .get(key)
            .ok_or_else(|| self.error(format!("has no `{key}` in its rope parameters")))?;
        value
            .as_f64()
            .ok_or_else(|| self.error(format!("has `{key}` {value}; expected a positive number")))
    }

    pub(super) fn number_or(&self, key: &str, default: f64) -> Result<f64, Error> {
        if self.get(key).is_some() { self.number(key) } else { Ok(default) }
    }

    pub(super) fn flag_or(&self, key: &str, default: bool) -> Result<bool, Error> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(b)) => Ok(*b),
            Some(other) => Err(self.error(format!("has `{key}` {other}; expected true or false"))),
        }
    }

    pub(super) fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Model, format!("{} {what}", self.name))
    }
}
