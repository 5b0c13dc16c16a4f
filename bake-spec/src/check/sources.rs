//! Files that a declaration names: their paths, and what is said where they cannot be read.

use std::fmt::Display;
use std::path::{Component, Path, PathBuf};

use proc_macro2::Span;
use syn::LitStr;

use super::Checker;
use crate::diagnostics::{Code, similar};
use crate::recipe::parts::check_path;

/// The most wrong lines of a file that are reported.
const REPORTED: usize = 5;

impl Checker<'_> {
    /// Reports the lines of a file that are not what they should be.
    pub(super) fn wrong_lines(
        &mut self,
        path: &LitStr,
        declared: &str,
        wrong: Vec<(Code, usize, String)>,
    ) {
        let more = wrong.len().saturating_sub(REPORTED);
        for (i, (code, number, what)) in wrong.into_iter().take(REPORTED).enumerate() {
            let more = match more {
                more if more > 0 && i + 1 == REPORTED => format!(" (and {more} more such lines)"),
                _ => String::new(),
            };
            self.report(code, path.span(), format!("`{declared}`, line {number}: {what}{more}"));
        }
    }

    /// A file as it is declared, and where it is, unless that cannot be a path. It is among the
    /// files that were read if it exists.
    pub(super) fn file(
        &mut self,
        path: &LitStr,
        what: &'static str,
        anywhere: bool,
        files: &mut Vec<String>,
    ) -> Option<(String, PathBuf)> {
        let declared = self.path(path, what, anywhere)?;
        let file = self.package.root.join(&declared);
        if file.is_file() {
            files.push(declared.clone());
        }
        if !anywhere && !leaves(&declared) {
            self.follow_links(std::slice::from_ref(&file), what, path.span());
        }
        Some((declared, file))
    }

    /// The path of a file as declared, unless it cannot be a path.
    pub(super) fn path(
        &mut self,
        path: &LitStr,
        what: &'static str,
        anywhere: bool,
    ) -> Option<String> {
        let declared = path.value();
        if let Err(mistake) = check_path(&declared, what) {
            self.report_mistake(mistake, path.span());
            return None;
        }
        if !anywhere && leaves(&declared) {
            let message = format!(
                "the {what} `{declared}` is outside the package, so cargo does not include it; \
                 move it into the package, or allow it with `documents anywhere;`"
            );
            self.report(Code::Outside, path.span(), message);
        }
        Some(declared)
    }

    /// Reports the first of these files that a link leads out of the package.
    pub(super) fn follow_links(&mut self, files: &[PathBuf], what: &str, span: Span) {
        let Ok(root) = self.package.root.canonicalize() else { return };
        for file in files {
            let Ok(real) = file.canonicalize() else { continue };
            if !real.starts_with(&root) {
                let shown = file.strip_prefix(self.package.root).unwrap_or(file).display();
                let message = format!(
                    "the {what} `{shown}` is outside the package, so cargo does not include it: a \
                     link leads to {}; put a copy into the package, or allow it with `documents \
                     anywhere;`",
                    real.display()
                );
                return self.report(Code::Outside, span, message);
            }
        }
    }

    /// Reports why a file could not be read; where it does not exist, with a file of a similar name
    /// beside it.
    pub(super) fn unreadable<T>(
        &mut self,
        code: Code,
        span: Span,
        declared: &str,
        why: &dyn Display,
    ) -> Option<T> {
        let meant = self.neighbour(declared);
        let hint = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        self.report(code, span, format!("{why}{hint}"));
        None
    }

    /// A file with a similar name beside the one that does not exist.
    fn neighbour(&self, declared: &str) -> Option<String> {
        if self.package.root.join(declared).exists() {
            return None;
        }
        let (folder, name) =
            declared.rsplit_once('/').map_or(("", declared), |(folder, name)| (folder, name));
        let entries = std::fs::read_dir(self.package.root.join(folder)).ok()?;
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        let meant = similar(name, names.iter().map(String::as_str).filter(|other| *other != name))?;
        Some(if folder.is_empty() { meant.to_owned() } else { format!("{folder}/{meant}") })
    }
}

/// Whether a relative path leads out of its folder.
pub(super) fn leaves(path: &str) -> bool {
    let mut depth = 0;
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_are_seen() {
        for inside in ["a.md", "./a.md", "docs/../a.md", "a/b/../../c.md"] {
            assert!(!leaves(inside), "{inside}");
        }
        for outside in ["../a.md", "docs/../../a.md", "a/../../a/b.md"] {
            assert!(leaves(outside), "{outside}");
        }
    }
}
