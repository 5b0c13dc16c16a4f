//! The canonical form of the values from which addresses are made.
//!
//! It is JSON in which equal values have one form: no spaces, the names of a record in order, and
//! numbers in the shortest form that reads back to the same value. A value at its default is not
//! written, so that adding a setting later does not change the addresses of anything that does not
//! use it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Hash;

/// A value that determines a product.
pub trait Encode {
    /// Appends its canonical form.
    fn encode(&self, out: &mut String);

    /// Its canonical form.
    fn encoded(&self) -> String {
        let mut out = String::new();
        self.encode(&mut out);
        out
    }
}

/// Named values, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record(BTreeMap<String, String>);

impl Record {
    /// A record without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a value.
    #[must_use]
    pub fn field(mut self, name: &str, value: &(impl Encode + ?Sized)) -> Self {
        self.0.insert(name.to_owned(), value.encoded());
        self
    }

    /// With a value, unless it is the default.
    #[must_use]
    pub fn unless<T>(self, default: &T, name: &str, value: &T) -> Self
    where
        T: Encode + PartialEq + ?Sized,
    {
        if value == default { self } else { self.field(name, value) }
    }

    /// With the values of another record, their names prefixed.
    #[must_use]
    pub fn within(mut self, prefix: &str, other: Self) -> Self {
        self.0.extend(other.0.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
        self
    }

    /// Names and canonical forms.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Encode for Record {
    fn encode(&self, out: &mut String) {
        out.push('{');
        for (i, (name, value)) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            name.encode(out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
    }
}

impl Encode for str {
    fn encode(&self, out: &mut String) {
        out.push('"');
        for c in self.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if c < ' ' => *out += &format!("\\u{:04x}", c as u32),
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

impl Encode for String {
    fn encode(&self, out: &mut String) {
        self.as_str().encode(out);
    }
}

impl Encode for Hash {
    fn encode(&self, out: &mut String) {
        self.to_string().encode(out);
    }
}

impl Encode for bool {
    fn encode(&self, out: &mut String) {
        *out += if *self { "true" } else { "false" };
    }
}

impl Encode for f64 {
    fn encode(&self, out: &mut String) {
        match self {
            // The two zeros are one number.
            0.0 => out.push_str("0.0"),
            number => *out += &format!("{number:?}"),
        }
    }
}

macro_rules! whole {
    ($($number:ty)*) => {$(
        impl Encode for $number {
            fn encode(&self, out: &mut String) {
                *out += &self.to_string();
            }
        }
    )*};
}
whole!(u8 u16 u32 u64 usize i64);

impl<T: Encode> Encode for [T] {
    fn encode(&self, out: &mut String) {
        out.push('[');
        for (i, item) in self.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            item.encode(out);
        }
        out.push(']');
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut String) {
        self.as_slice().encode(out);
    }
}

impl<T: Encode, const N: usize> Encode for [T; N] {
    fn encode(&self, out: &mut String) {
        self.as_slice().encode(out);
    }
}

impl<A: Encode, B: Encode> Encode for (A, B) {
    fn encode(&self, out: &mut String) {
        out.push('[');
        self.0.encode(out);
        out.push(',');
        self.1.encode(out);
        out.push(']');
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut String) {
        match self {
            Some(value) => value.encode(out),
            None => out.push_str("null"),
        }
    }
}

impl<T: Encode + ToOwned + ?Sized> Encode for Cow<'_, T> {
    fn encode(&self, out: &mut String) {
        (**self).encode(out);
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, out: &mut String) {
        (**self).encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_form() {
        let values: [(&dyn Encode, &str); 9] = [
            (&0.0_f64, "0.0"),
            (&-0.0_f64, "0.0"),
            (&1e-5_f64, "1e-5"),
            (&u64::MAX, "18446744073709551615"),
            (&"a \"line\"\n\u{1}é", "\"a \\\"line\\\"\\n\\u0001é\""),
            (&[1_u32, 2], "[1,2]"),
            (&(0_usize, true), "[0,true]"),
            (&None::<u8>, "null"),
            (&Record::new().field("b", "x").field("a", &1_u8), r#"{"a":1,"b":"x"}"#),
        ];
        for (value, form) in values {
            assert_eq!(value.encoded(), form);
            if form != "1e-5" {
                let read: serde_json::Value = serde_json::from_str(form).unwrap();
                assert_eq!(read.to_string(), form);
            }
        }
    }

    #[test]
    fn a_value_at_its_default_leaves_no_trace() {
        let before = Record::new().field("rank", &8_u8);
        assert_eq!(before.clone().unless(&1_u8, "later", &1), before);
        assert_ne!(before.clone().unless(&1_u8, "later", &2), before);
    }
}
