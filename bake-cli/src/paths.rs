//! Paths as people see them.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// A path as a terminal in the folder where the command was run can open it.
pub(crate) fn from_here(path: &Path) -> PathBuf {
    match std::env::current_dir() {
        Ok(here) if path.is_absolute() => relative(&here, path),
        _ => path.to_owned(),
    }
}

/// The path from one absolute folder to another: with `..` where they have more in common than the
/// root, and absolute otherwise.
pub(crate) fn relative(from: &Path, to: &Path) -> PathBuf {
    let from: Vec<&OsStr> = from.components().map(Component::as_os_str).collect();
    let to: Vec<&OsStr> = to.components().map(Component::as_os_str).collect();
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    if common < 2 {
        return to.iter().collect();
    }
    let up = from[common..].iter().map(|_| OsStr::new(".."));
    up.chain(to[common..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_beside_each_other_are_named_relative_to_each_other() {
        let path = |from: &str, to: &str| relative(Path::new(from), Path::new(to));
        assert_eq!(path("/code/me/hello", "/code/me/bake"), Path::new("../bake"));
        assert_eq!(path("/code/me/a/b", "/code/me"), Path::new("../.."));
        assert_eq!(path("/srv/hello", "/code/me/bake"), Path::new("/code/me/bake"));
        assert_eq!(path("/code/me", "/code/me/src/main.rs"), Path::new("src/main.rs"));
    }
}
