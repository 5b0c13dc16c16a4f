//! Parts that cannot contain anything invalid.

/// A type around the plain fields of a part. Its field is private, so that every value has passed
/// the checks of the fields; reading goes through `Deref`, and there is no `DerefMut`.
///
/// The checks are constant functions: generated code makes its constants through `declared`, and a
/// value that is not allowed stops the compiler. What such functions cannot check comes `then`:
/// generated code, whose declaration was checked by the macro, does without it.
macro_rules! part {
    ($(#[$meta:meta])* $part:ident of $fields:ident $(, then $further:ident)?) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $part($fields);

        impl $part {
            /// The part, if its fields are valid.
            ///
            /// # Errors
            /// With the code and the message of `bake!` for the first mistake.
            pub fn new(fields: $fields) -> Result<Self, $crate::error::Error> {
                let checked = fields.check();
                $(let checked = checked.and_then(|()| fields.$further());)?
                match checked {
                    Ok(()) => Ok(Self(fields)),
                    Err(mistake) => Err(mistake.into()),
                }
            }

            /// A copy with some fields changed.
            ///
            /// # Errors
            /// Those of [`new`](Self::new).
            pub fn with(
                &self,
                change: impl FnOnce(&mut $fields),
            ) -> Result<Self, $crate::error::Error> {
                let mut fields = self.0.clone();
                change(&mut fields);
                Self::new(fields)
            }

            /// The part, in a constant that generated code writes.
            ///
            /// # Panics
            /// While the constant is evaluated, if a field is not valid.
            #[doc(hidden)]
            pub const fn declared(fields: $fields) -> Self {
                if let Err(mistake) = fields.check() {
                    mistake.stop();
                }
                Self(fields)
            }
        }

        impl $part {
            /// The fields, in constant functions.
            #[allow(dead_code, reason = "not every part is read in one")]
            pub(super) const fn fields(&self) -> &$fields {
                &self.0
            }
        }

        impl std::ops::Deref for $part {
            type Target = $fields;

            fn deref(&self) -> &$fields {
                &self.0
            }
        }
    };
}
pub(super) use part;

use std::borrow::Cow;

use super::{List, Mistake, Text};

/// The text, in constant functions.
pub(super) const fn str(text: &Text) -> &str {
    match text {
        Cow::Borrowed(text) => text,
        Cow::Owned(text) => text.as_str(),
    }
}

/// The list, in constant functions.
pub(super) const fn items<T: Clone>(list: &List<T>) -> &[T] {
    match list {
        Cow::Borrowed(items) => items,
        Cow::Owned(items) => items.as_slice(),
    }
}

/// Whether a text is nothing but white space, in constant functions.
pub(crate) const fn is_blank(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let (c, length) = character(bytes, i);
        if !c.is_whitespace() {
            return false;
        }
        i += length;
    }
    true
}

/// The character of a text that begins at byte `i`, and how many bytes it has, in constant
/// functions.
pub(super) const fn character(text: &[u8], i: usize) -> (char, usize) {
    let length = match text[i] {
        byte if byte < 0x80 => 1,
        byte if byte < 0xe0 => 2,
        byte if byte < 0xf0 => 3,
        _ => 4,
    };
    let mut code = if length == 1 { text[i] as u32 } else { text[i] as u32 & (0x7f >> length) };
    let mut next = 1;
    while next < length {
        code = code << 6 | text[i + next] as u32 & 0x3f;
        next += 1;
    }
    match char::from_u32(code) {
        Some(c) => (c, length),
        None => panic!("a text is in UTF-8"),
    }
}

/// Checks a question, or what an answer to one must be, which messages call `what`, in constant
/// functions. It has no NUL character, as a line of a file has none.
pub(crate) const fn check_words(text: &str, what: &'static str) -> Result<(), Mistake<'static>> {
    if is_blank(text) {
        return Err(Mistake::Blank(what));
    }
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == 0 {
            return Err(Mistake::Nul(what));
        }
        i += 1;
    }
    Ok(())
}

/// Checks the path of what messages call `what`, in constant functions: what no declaration can
/// name. Paths that leave the package are allowed where it says `documents anywhere`.
pub(crate) const fn check_path<'a>(path: &'a str, what: &'static str) -> Result<(), Mistake<'a>> {
    if is_blank(path) {
        return Err(Mistake::EmptyPath(what));
    }
    let bytes = path.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'\\' {
            return Err(Mistake::Backslashes { what, path });
        }
        i += 1;
    }
    // With a drive, a path is absolute on Windows alone.
    match bytes {
        [b'/', ..] => Err(Mistake::AbsolutePath { what, path }),
        [_, b':', ..] if cfg!(windows) => Err(Mistake::AbsolutePath { what, path }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_blank_if_trimming_leaves_nothing() {
        let texts =
            ["", " \t\n", "\u{a0}\u{85}", "\u{2003}\u{3000}", "a", " é", "漢", "🙂", "\u{200b}"];
        for text in texts {
            assert_eq!(is_blank(text), text.trim().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn characters_are_read_one_by_one() {
        let text = "a\u{80}é\u{7ff}\u{800}漢\u{ffff}\u{10000}🙂\u{10ffff}";
        for (i, c) in text.char_indices() {
            assert_eq!(character(text.as_bytes(), i), (c, c.len_utf8()));
        }
    }
}
