//! Finding the declarations of a package by reading its sources, without compiling it.
//!
//! Every `bake! { … }` in the package's [files] counts. Since nothing is compiled, there are
//! limits: a declaration under `#[cfg]` counts even if its condition is false, and so does a file
//! in `src` that is not a module. Not seen are declarations that another macro writes or that call
//! the macro by a name other than `bake!`, and files that are read by `include!`.

mod files;

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

pub use files::files;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::ext::IdentExt as _;

use crate::check::{Declared, DeclaringPackage, check};
use crate::diagnostics::{Code, Diagnostic, Diagnostics};
use crate::error::{Error, ErrorKind};
use crate::file;
use crate::lock::Lock;
use crate::syntax::parse::parse;
use crate::syntax::tokens::check_nesting;

/// What is said of a file that cannot be split into tokens; that it cannot is all that is known.
const NOT_RUST: &str = "this file is not valid Rust (a bracket or a string is not closed?); run \
                        `cargo check`";

/// One `bake! { … }`.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file, relative to the package.
    pub file: PathBuf,
    /// The declarations in it.
    pub declared: Vec<Declared>,
    /// What is wrong with them.
    pub diagnostics: Diagnostics,
}

/// All declarations of the package in a folder, file by file in the order of their names.
///
/// # Errors
/// When the folder contains no `Cargo.toml`, or a file cannot be read. A file that is not Rust is
/// not an error: its `Source` says so.
pub fn find(package: &Path, lock: Option<&Lock>) -> Result<Vec<Source>, Error> {
    let mut sources: Vec<Source> = Vec::new();
    for file in files(package)? {
        let bytes = file::read(&file).map_err(|e| {
            Error::io(ErrorKind::Source, format!("cannot read {}", file.display()), e)
        })?;
        let text = String::from_utf8_lossy(&bytes);
        // Most files contain none, and need not be split into tokens.
        if !text.contains("bake!") && !text.contains("bake !") {
            continue;
        }
        let relative = file.strip_prefix(package).unwrap_or(&file);
        let tokens = TokenStream::from_str(&text)
            .map_err(|e| (e.span(), NOT_RUST.to_owned()))
            .and_then(|tokens| check_nesting(&tokens).map(|()| tokens));
        let tokens = match tokens {
            Ok(tokens) => tokens,
            // Without this, a mistake in a source file would look as if nothing were declared any
            // more.
            Err((span, message)) => {
                let diagnostics = vec![Diagnostic::new(Code::Syntax, span, message)];
                sources.push(Source {
                    file: relative.to_owned(),
                    declared: Vec::new(),
                    diagnostics,
                });
                continue;
            }
        };
        let mut invocations = Vec::new();
        invoked(tokens, &mut invocations);
        for tokens in invocations {
            let (bakes, mut diagnostics) = parse(tokens);
            let declared = check(bakes, DeclaringPackage { root: package, lock }, &mut diagnostics);
            for bake in &declared {
                // The lock has one entry per name, to which `r#Office` and `Office` are one.
                let name = bake.name.unraw();
                if let Some(other) = sources
                    .iter()
                    .find(|source| source.declared.iter().any(|other| other.name.unraw() == name))
                {
                    let message = format!(
                        "`{name}` is declared in {} too; give each bake of a package its own name",
                        other.file.display()
                    );
                    diagnostics.push(Diagnostic::new(Code::SameName, bake.name.span(), message));
                }
            }
            sources.push(Source { file: relative.to_owned(), declared, diagnostics });
        }
    }
    Ok(sources)
}

impl Source {
    /// What is wrong, one line each, in the compiler's format: `src/main.rs:9:21: error[B0002]: …`.
    pub fn said(&self) -> impl Iterator<Item = String> {
        self.diagnostics.iter().map(|Diagnostic { code, span, message, warning }| {
            let (at, kind) = (span.start(), if *warning { "warning" } else { "error" });
            format!(
                "{}:{}:{}: {kind}[{code}]: {message}",
                self.file.display(),
                at.line,
                at.column + 1
            )
        })
    }

    /// Whether it has a mistake that prevents baking.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| !diagnostic.warning)
    }
}

/// The tokens of every `bake! { … }`, also inside functions and modules, but not in the rules of
/// another macro.
fn invoked(tokens: TokenStream, found: &mut Vec<TokenStream>) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    for (i, tree) in trees.iter().enumerate() {
        let TokenTree::Group(group) = tree else { continue };
        let before = |n: usize| i.checked_sub(n).and_then(|at| trees.get(at));
        if is(before(1), "!") && is(before(2), "bake") {
            found.push(group.stream());
        } else if !(is(before(2), "!") && is(before(3), "macro_rules"))
            && group.delimiter() != Delimiter::None
        {
            invoked(group.stream(), found);
        }
    }
}

/// Whether there is a token, and it is this one.
fn is(tree: Option<&TokenTree>, text: &str) -> bool {
    match tree {
        Some(TokenTree::Ident(ident)) => ident == text,
        Some(TokenTree::Punct(punct)) => text.len() == 1 && text.starts_with(punct.as_char()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn package(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("Cargo.toml", ""), ("keys.md", "Ask Bob.")].iter().chain(files) {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn names(dir: &Path) -> Vec<String> {
        find(dir, None)
            .unwrap()
            .iter()
            .flat_map(|source| &source.declared)
            .map(|bake| bake.name.to_string())
            .collect()
    }

    #[test]
    fn declarations_are_found_wherever_they_are() {
        let dir = package(&[
            (
                "src/main.rs",
                "mod a { fn b() { bake::bake! { bake One { target keys from \"keys.md\" } } } }",
            ),
            ("src/deep/er.rs", "::bake::bake!(bake Two { target keys from \"keys.md\" });"),
            (
                "src/no.rs",
                "// bake! { bake No { } }\nconst S: &str = \"bake! { bake No {} }\"; macro_rules! \
                 m { () => { bake! { bake No {} } } }",
            ),
            ("examples/three.rs", "bake ! [ bake Three { target keys from \"keys.md\" } ];"),
            ("tests/deep/no.rs", "bake! { bake No { } }"),
            ("tests/four/main.rs", "bake! { bake Four { target keys from \"keys.md\" } }"),
        ]);
        assert_eq!(names(dir.path()), ["Three", "Two", "One", "Four"]);
        assert!(find(dir.path(), None).unwrap().iter().all(|source| source.diagnostics.is_empty()));
    }

    #[test]
    fn mistakes_are_reported_with_their_place() {
        let dir = package(&[
            ("src/a.rs", "bake! {\n    bake r#One { target keys wieght 2 from \"keys.md\" }\n}"),
            ("src/b.rs", "bake! { bake One { target keys from \"keys.md\" } }"),
            ("src/c.rs", "bake! { bake r#One { target keys from \"keys.md\" } }"),
        ]);
        let sources = find(dir.path(), None).unwrap();
        let said: Vec<String> = sources.iter().flat_map(Source::said).collect();
        for (said, begin) in said.iter().zip([
            "src/a.rs:2:30: error[B0002]: unknown keyword `wieght`",
            "src/b.rs:1:14: error[B0006]: `One` is declared in src/a.rs too",
            "src/c.rs:1:14: error[B0006]: `One` is declared in src/a.rs too",
        ]) {
            assert!(said.starts_with(begin), "{said}");
        }
        assert_eq!(said.len(), 3);
    }

    #[test]
    fn what_is_not_a_package_and_what_is_not_rust_is_named() {
        let dir = package(&[
            ("src/a.rs", "bake! { }}"),
            ("src/b.rs", "bake! { bake One { target keys from \"keys.md\" } }"),
        ]);
        let sources = find(dir.path(), None).unwrap();
        let said: Vec<String> = sources.iter().flat_map(Source::said).collect();
        assert!(
            said.len() == 1
                && said[0].starts_with("src/a.rs:1:")
                && said[0].ends_with("a string is not closed?); run `cargo check`"),
            "{said:?}"
        );
        assert_eq!(names(dir.path()), ["One"]);
        fs::remove_file(dir.path().join("Cargo.toml")).unwrap();
        assert!(find(dir.path(), None).unwrap_err().to_string().contains("contains no Cargo.toml"));
    }
}
