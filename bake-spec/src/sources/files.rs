//! The Rust files of a package.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::LitStr;

use super::is;
use crate::error::{Error, ErrorKind};
use crate::file;
use crate::syntax::tokens::check_nesting;
use crate::text::folder;

/// The keys of `Cargo.toml` that list targets which may have a `path`.
const LISTS: [&str; 4] = ["bin", "example", "test", "bench"];

/// The folders in which every file, and the `main.rs` of every subfolder, is a target.
const FOLDERS: [&str; 3] = ["benches", "examples", "tests"];

/// The Rust files of a package that may contain declarations, in the order of their names.
///
/// These are all files in `src` and its folders, the targets that cargo finds in `examples`,
/// `tests` and `benches` (`NAME.rs` and `NAME/main.rs`), those to which `Cargo.toml` gives a
/// `path`, and the modules of all of them, wherever they are, also by `#[path]`.
///
/// # Errors
/// When the folder contains no `Cargo.toml`, or that or a folder in it cannot be read.
pub fn files(package: &Path) -> Result<Vec<PathBuf>, Error> {
    let manifest = package.join("Cargo.toml");
    if !manifest.is_file() {
        let message =
            format!("{} contains no Cargo.toml; name the folder of a package", package.display());
        return Err(Error::new(ErrorKind::Source, message));
    }
    let mut files = SourceFiles { sources: package.join("src"), ..SourceFiles::default() };
    for path in declared_targets(&manifest)? {
        files.root(package.join(path));
    }
    for name in FOLDERS {
        let folder = package.join(name);
        if folder.is_dir() {
            files.targets(&folder)?;
        }
    }
    if files.sources.is_dir() {
        files.sources()?;
    }
    files.found.sort();
    Ok(files.found)
}

/// The paths of targets that `Cargo.toml` names.
fn declared_targets(manifest: &Path) -> Result<Vec<PathBuf>, Error> {
    let text = file::read_to_string(manifest).map_err(|e| unreadable(manifest, e))?;
    let table: toml::Table = text.parse().map_err(|e| {
        let message = format!("{} is not valid TOML; correct it", manifest.display());
        Error::with_source(ErrorKind::Source, message, e)
    })?;
    let lists = LISTS.iter().filter_map(|name| table.get(*name)?.as_array()).flatten();
    let paths = lists.chain(table.get("lib")).filter_map(|target| target.get("path")?.as_str());
    Ok(paths.map(PathBuf::from).collect())
}

fn unreadable(path: &Path, e: std::io::Error) -> Error {
    Error::io(ErrorKind::Source, format!("cannot read {}", path.display()), e)
}

#[derive(Default)]
struct SourceFiles {
    /// The folder `src`.
    sources: PathBuf,
    /// What was found already, with links resolved.
    seen: HashSet<PathBuf>,
    found: Vec<PathBuf>,
}

impl SourceFiles {
    /// The targets that cargo finds in a folder.
    fn targets(&mut self, folder: &Path) -> Result<(), Error> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
            paths.push(entry.map_err(|e| unreadable(folder, e))?.path());
        }
        paths.sort();
        for path in paths {
            match path.is_dir() {
                true => self.root(path.join("main.rs")),
                false if is_rust(&path) => self.root(path),
                false => {}
            }
        }
        Ok(())
    }

    /// All files in `src`.
    fn sources(&mut self) -> Result<(), Error> {
        let sources = self.sources.clone();
        let programs = sources.join("bin");
        let files = folder::files(&sources).map_err(|e| unreadable(&e.path, e.source))?;
        for file in files.into_iter().filter(|file| is_rust(file)) {
            let folder = file.parent().unwrap_or(&sources);
            let owns = ["lib.rs", "main.rs", "mod.rs"].iter().any(|name| file.ends_with(name));
            let modules = match owns || folder == programs {
                true => folder.to_owned(),
                false => file.with_extension(""),
            };
            self.module(file, &modules);
        }
        Ok(())
    }

    /// A file whose modules are beside it.
    fn root(&mut self, file: PathBuf) {
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        self.module(file, &folder);
    }

    /// Adds a file, if it exists, and its modules, which are in a folder.
    fn module(&mut self, file: PathBuf, folder: &Path) {
        let mut waiting = vec![(file, folder.to_owned())];
        while let Some((file, folder)) = waiting.pop() {
            let file = without_detours(&file);
            let seen = fs::canonicalize(&file).map_or(true, |real| !self.seen.insert(real));
            if seen || !file.is_file() {
                continue;
            }
            // If it cannot be read, the search for declarations reports that.
            let bytes = file::read(&file).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            // Most files declare no modules, and those of files in `src` are in `src`.
            let declares = text.contains("mod ")
                && (!file.starts_with(&self.sources) || text.contains("path"));
            if declares
                && let Ok(tokens) = TokenStream::from_str(&text)
                && check_nesting(&tokens).is_ok()
            {
                let beside = file.parent().map(Path::to_owned).unwrap_or_default();
                Modules { beside: &beside, found: &mut waiting }.collect(tokens, &folder, false);
            }
            self.found.push(file);
        }
    }
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// The path without `..`, as far as there are names before them.
fn without_detours(path: &Path) -> PathBuf {
    let mut short = PathBuf::new();
    for part in path.components() {
        match (part, short.components().next_back()) {
            (Component::ParentDir, Some(Component::Normal(_))) => {
                short.pop();
            }
            _ => short.push(part),
        }
    }
    short
}

/// The modules that a file declares, by the rules of the language's reference.
struct Modules<'a> {
    /// The folder of the file.
    beside: &'a Path,
    /// Files that may belong to them, with the folders of their own modules.
    found: &'a mut Vec<(PathBuf, PathBuf)>,
}

impl Modules<'_> {
    /// `folder` is where modules are looked for, `inline` whether they are in `mod name { … }`.
    fn collect(&mut self, tokens: TokenStream, folder: &Path, inline: bool) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        for (i, tree) in trees.iter().enumerate() {
            let before = |n: usize| i.checked_sub(n).and_then(|at| trees.get(at));
            match tree {
                TokenTree::Group(group) => {
                    let of_module = is(before(2), "mod");
                    let of_rules = is(before(2), "!") && is(before(3), "macro_rules");
                    if !of_module && !of_rules {
                        self.collect(group.stream(), folder, inline);
                    }
                }
                TokenTree::Ident(name) if is(before(1), "mod") => {
                    let from = if inline { folder } else { self.beside };
                    let paths = paths(&trees[..i - 1]).into_iter().map(|path| from.join(path));
                    let paths: Vec<PathBuf> = paths.collect();
                    let name = name.to_string();
                    let own = folder.join(name.trim_start_matches("r#"));
                    match trees.get(i + 1) {
                        Some(TokenTree::Group(group)) => {
                            let within = paths.first().unwrap_or(&own);
                            self.collect(group.stream(), within, true);
                        }
                        _ => self.declared(paths, own),
                    }
                }
                _ => {}
            }
        }
    }

    /// Records the files of `mod name;`, whose own modules are in the folder `own`.
    fn declared(&mut self, paths: Vec<PathBuf>, own: PathBuf) {
        for path in paths {
            let beside = path.parent().map(Path::to_owned).unwrap_or_default();
            self.found.push((path, beside));
        }
        self.found.push((own.with_extension("rs"), own.clone()));
        self.found.push((own.join("mod.rs"), own));
    }
}

/// The paths in the attributes at the end of these tokens, before what may be `pub(crate)`.
fn paths(mut trees: &[TokenTree]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some((last, rest)) = trees.split_last() {
        trees = match last {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                paths_in(group.stream(), &mut found);
                // Its `#`.
                rest.split_last().map_or(rest, |(_, rest)| rest)
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => rest,
            TokenTree::Ident(word) if word == "pub" || word == "unsafe" => rest,
            _ => break,
        };
    }
    found
}

/// The values of `path = "…"`, also within `cfg_attr(…)`.
fn paths_in(tokens: TokenStream, found: &mut Vec<String>) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    for (i, tree) in trees.iter().enumerate() {
        if let TokenTree::Group(group) = tree {
            paths_in(group.stream(), found);
        } else if is(Some(tree), "path")
            && is(trees.get(i + 1), "=")
            && let Some(literal @ TokenTree::Literal(_)) = trees.get(i + 2)
            && let Ok(path) = syn::parse2::<LitStr>(literal.clone().into())
        {
            found.push(path.value());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn names(package: &Path) -> Vec<String> {
        let name = |file: PathBuf| {
            let parts = file.strip_prefix(package).unwrap().iter();
            parts.map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("/")
        };
        files(package).unwrap().into_iter().map(name).collect()
    }

    #[test]
    fn targets_lie_where_cargo_finds_them() {
        let dir = package(&[
            ("Cargo.toml", ""),
            ("src/bin/tool/main.rs", ""),
            ("src/deep/er/any.rs", ""),
            ("examples/demo/main.rs", "mod part; mod gone;"),
            ("examples/demo/part.rs", ""),
            ("examples/demo/unused.rs", ""),
            ("examples/flat.rs", ""),
            ("tests/one.rs", "mod common;"),
            ("tests/common/mod.rs", "pub(crate) mod deep;"),
            ("tests/common/deep.rs", ""),
            ("tests/ui/fails.rs", ""),
            ("benches/speed/main.rs", ""),
            ("other/main.rs", ""),
        ]);
        assert_eq!(
            names(dir.path()),
            [
                "benches/speed/main.rs",
                "examples/demo/main.rs",
                "examples/demo/part.rs",
                "examples/flat.rs",
                "src/bin/tool/main.rs",
                "src/deep/er/any.rs",
                "tests/common/deep.rs",
                "tests/common/mod.rs",
                "tests/one.rs",
            ]
        );
    }

    #[test]
    fn targets_lie_where_the_manifest_says() {
        let manifest = "[lib]\npath = \"source/library.rs\"\n\n[[bin]]\nname = \"a\"\n\n\
            [[example]]\nname = \"b\"\npath = \"demos/b.rs\"\n";
        let dir = package(&[
            ("Cargo.toml", manifest),
            ("source/library.rs", "#[cfg(unix)]\npub mod part { mod deep; }"),
            ("source/part/deep.rs", ""),
            ("source/other.rs", ""),
            ("demos/b.rs", ""),
        ]);
        assert_eq!(names(dir.path()), ["demos/b.rs", "source/library.rs", "source/part/deep.rs"]);
        fs::write(dir.path().join("Cargo.toml"), "[[bin]").unwrap();
        let error = files(dir.path()).unwrap_err();
        assert!(error.to_string().contains("Cargo.toml is not valid TOML"), "{error}");
        assert!(error.get_ref().unwrap().is::<toml::de::Error>(), "{error}");
    }

    #[test]
    fn modules_lie_where_their_paths_say() {
        let dir = package(&[
            ("Cargo.toml", ""),
            (
                "src/lib.rs",
                "/// Has `path = \"no\"`.\n#[path = r\"../shared/one.rs\"]\npub(crate) mod a;\n\
                 #[cfg_attr(windows, path = \"../windows.rs\")] mod b;\n\
                 mod inline { #[path = \"../../two.rs\"] mod c; }\n\
                 macro_rules! m { () => { #[path = \"../none.rs\"] mod d; } }",
            ),
            ("shared/one.rs", "mod below;"),
            ("shared/below.rs", "mod further;"),
            ("shared/below/further.rs", ""),
            ("shared/one/below.rs", ""),
            ("two.rs", ""),
            ("windows.rs", ""),
            ("none.rs", ""),
        ]);
        assert_eq!(
            names(dir.path()),
            [
                "shared/below/further.rs",
                "shared/below.rs",
                "shared/one.rs",
                "src/lib.rs",
                "two.rs",
                "windows.rs",
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_end() {
        use std::os::unix::fs::symlink;
        let dir = package(&[("Cargo.toml", ""), ("src/lib.rs", ""), ("generated/code.rs", "")]);
        symlink("../generated", dir.path().join("src/generated")).unwrap();
        symlink("..", dir.path().join("generated/up")).unwrap();
        symlink(".", dir.path().join("src/again")).unwrap();
        symlink("nowhere.rs", dir.path().join("src/gone.rs")).unwrap();
        assert_eq!(names(dir.path()), ["src/generated/code.rs", "src/lib.rs"]);
    }

    #[test]
    fn modules_that_declare_each_other_end() {
        let dir = package(&[
            ("Cargo.toml", ""),
            ("examples/a.rs", "#[path = \"../b.rs\"] mod b;"),
            ("b.rs", "#[path = \"examples/a.rs\"] mod a;"),
        ]);
        assert_eq!(names(dir.path()), ["b.rs", "examples/a.rs"]);
    }
}
