//! Mistakes in declarations, shown as the compiler shows its own.

use std::fmt;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use bake_spec::diagnostics::{Diagnostic, noun};
use bake_spec::file;
use bake_spec::sources::Source;
use serde::Serialize;

use crate::paths::from_here;
use crate::terminal::tell;

/// The mistakes in the declarations of a package.
#[derive(Debug)]
pub(crate) struct Mistakes {
    pub(crate) package: String,
    pub(crate) mistakes: Vec<ShownMistake>,
}

/// A mistake, or something to look at, and its place.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ShownMistake {
    pub(crate) severity: &'static str,
    pub(crate) code: String,
    pub(crate) message: String,
    /// Relative to the package.
    pub(crate) file: String,
    /// Relative to the folder where the command was run.
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// As people see it.
    #[serde(skip)]
    shown: String,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = || self.mistakes.iter().filter(|mistake| mistake.severity == "error");
        let count = errors().count();
        write!(f, "{count} {} in the declarations of `{}`", noun(count, "mistakes"), self.package)?;
        match errors().next() {
            Some(first) => write!(f, "; for details, run `cargo bake explain {}`", first.code),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Mistakes {}

impl Mistakes {
    /// Prints each with its line of the source.
    pub(crate) fn print(&self) {
        self.mistakes.iter().for_each(ShownMistake::print);
    }
}

impl ShownMistake {
    /// The mistakes of a source of the package in a folder.
    pub(crate) fn all_of(source: &Source, root: &Path) -> Vec<Self> {
        if source.diagnostics.is_empty() {
            return Vec::new();
        }
        let file = root.join(&source.file);
        let bytes = file::read(&file).unwrap_or_default();
        let (text, path) = (String::from_utf8_lossy(&bytes), from_here(&file));
        let of = |diagnostic| Self::of(diagnostic, &source.file, &path, &text);
        source.diagnostics.iter().map(of).collect()
    }

    fn of(diagnostic: &Diagnostic, file: &Path, path: &Path, text: &str) -> Self {
        let Diagnostic { code, span, message, warning } = diagnostic;
        let (start, end) = (span.start(), span.end());
        let path = path.display().to_string();
        let from = byte_of(text, start.line, start.column);
        let to = byte_of(text, end.line, end.column).max(from);
        let level = if *warning { Level::WARNING } else { Level::ERROR };
        let code = code.to_string();
        let shown = level.primary_title(message.as_str()).id(code.as_str()).element(
            Snippet::source(text)
                .path(path.as_str())
                .annotation(AnnotationKind::Primary.span(from..to)),
        );
        let shown = Renderer::styled().render(&[shown]);
        Self {
            severity: if *warning { "warning" } else { "error" },
            code,
            message: message.clone(),
            file: file.display().to_string(),
            path,
            line: start.line,
            column: start.column + 1,
            shown,
        }
    }

    /// Prints it with its line of the source.
    pub(crate) fn print(&self) {
        tell(format_args!("{}\n", self.shown));
    }
}

/// The byte of a place: lines count from 1, columns are characters and count from 0.
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let mut start = 0;
    for (i, content) in text.split_inclusive('\n').enumerate() {
        if i + 1 == line {
            return start + content.char_indices().nth(column).map_or(content.len(), |(at, _)| at);
        }
        start += content.len();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_bytes() {
        let text = "one\r\nzwölf ü\nend";
        assert_eq!(&text[byte_of(text, 2, 0)..byte_of(text, 2, 5)], "zwölf");
        assert_eq!(&text[byte_of(text, 2, 6)..byte_of(text, 2, 7)], "ü");
        assert_eq!(&text[byte_of(text, 3, 0)..], "end");
        assert_eq!(byte_of(text, 9, 9), text.len());
    }
}
