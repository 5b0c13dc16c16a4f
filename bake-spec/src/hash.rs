//! Addresses: the blake3 hash of everything that determines a thing.

mod encode;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::file;
pub use encode::{Encode, Record};

/// A blake3 hash of 32 bytes, written as 64 hexadecimal digits.
///
/// ```
/// # extern crate bake_spec as bake;
/// use bake::recipe::Hash;
///
/// let hash = Hash::of(b"a document");
/// assert_eq!(hash.to_string().parse::<Hash>()?, hash);
/// # Ok::<(), &'static str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The hash of 64 hexadecimal digits, in a constant that generated code writes.
    ///
    /// # Panics
    /// When the text is anything else.
    #[doc(hidden)]
    pub const fn declared(text: &str) -> Self {
        const fn digit(byte: u8) -> u8 {
            match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => panic!("a hash has 64 hexadecimal digits"),
            }
        }
        let text = text.as_bytes();
        assert!(text.len() == 64, "a hash has 64 hexadecimal digits");
        let mut bytes = [0; 32];
        let mut i = 0;
        while i < 32 {
            bytes[i] = digit(text[2 * i]) << 4 | digit(text[2 * i + 1]);
            i += 1;
        }
        Self(bytes)
    }

    /// The bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash of a file's bytes, without keeping them in memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of_file(path: &std::path::Path) -> std::io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file::open(path)?)?;
        Ok(Self(*hasher.finalize().as_bytes()))
    }

    /// The first eight digits, enough for a person to tell two hashes apart.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match blake3::Hash::from_hex(text) {
            Ok(hash) => Ok(Self(*hash.as_bytes())),
            Err(_) => Err("not a hash of 64 hexadecimal digits"),
        }
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Gathers named fields into a [`Hash`](struct@Hash).
///
/// Fields are framed by their lengths and hashed in the order in which they come, so that no two
/// different sequences of fields give the same bytes. The domain and the version keep the keys of
/// different things, and of different ways to make a thing, apart.
///
/// ```
/// use bake_spec::KeyHasher;
/// let key = |seed: u64| KeyHasher::new("rollouts", 1).field("seed", &seed).finish();
/// assert_eq!(key(1), key(1));
/// assert_ne!(key(1), key(2));
/// ```
pub struct KeyHasher(blake3::Hasher);

impl KeyHasher {
    /// A hasher for keys of one kind of thing, made in one way.
    pub fn new(domain: &str, version: u32) -> Self {
        let mut hasher = Self(blake3::Hasher::new());
        hasher.frame(domain.as_bytes());
        hasher.frame(&version.to_le_bytes());
        hasher
    }

    /// Adds a field, in its canonical form.
    #[must_use]
    pub fn field(self, name: &str, value: &(impl Encode + ?Sized)) -> Self {
        self.raw(name, &value.encoded())
    }

    /// Adds a field that is already in canonical form.
    pub(crate) fn raw(mut self, name: &str, value: &str) -> Self {
        self.frame(name.as_bytes());
        self.frame(value.as_bytes());
        self
    }

    /// The hash of all fields.
    pub fn finish(self) -> Hash {
        Hash(*self.0.finalize().as_bytes())
    }

    fn frame(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_fields_apart() {
        let key = |a: &str, b: &str| KeyHasher::new("test", 1).field("a", a).field("b", b).finish();
        assert_ne!(key("xy", ""), key("x", "y"));
        assert_ne!(KeyHasher::new("test", 1).finish(), KeyHasher::new("test", 2).finish());
        assert_ne!(KeyHasher::new("test", 1).finish(), KeyHasher::new("other", 1).finish());
    }

    #[test]
    fn a_constant_is_the_hash_that_its_text_parses_to() {
        let hash = Hash::of(b"a document");
        assert_eq!(Hash::declared(&hash.to_string()), hash);
    }

    #[test]
    fn text_that_is_not_a_hash_is_refused() {
        for text in ["", "12", "zz", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
            assert!(text.parse::<Hash>().is_err(), "{text:?}");
        }
        assert!(serde_json::from_str::<Hash>("\"12\"").is_err());
    }
}
