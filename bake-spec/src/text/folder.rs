//! The files of a folder.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::file;

/// A path that cannot be read.
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// The files of a folder and its subfolders, in the order of their paths, compared part by part,
/// which is the same on all platforms.
///
/// Links are followed. A file or a folder that can be reached by several paths appears once, by the
/// first of them, so circular links end. Broken links are among the files. Hidden files are left
/// out, as are those that disappear while the folder is read.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, Unreadable> {
    let mut walk = Walk { seen: HashSet::new(), found: Vec::new() };
    walk.folder(folder)?;
    Ok(walk.found)
}

struct Walk {
    /// What was found already, with links resolved.
    seen: HashSet<PathBuf>,
    found: Vec<PathBuf>,
}

impl Walk {
    fn folder(&mut self, folder: &Path) -> Result<(), Unreadable> {
        let unreadable = |source| Unreadable { path: folder.to_owned(), source };
        if !self.seen.insert(fs::canonicalize(folder).map_err(unreadable)?) {
            return Ok(());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            names.push(entry.map_err(unreadable)?.file_name());
        }
        names.sort();
        for name in names.iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")) {
            let path = folder.join(name);
            if path.is_dir() {
                self.folder(&path)?;
            } else if fs::canonicalize(&path).map_or(path.is_symlink(), |to| self.seen.insert(to)) {
                self.found.push(path);
            }
        }
        Ok(())
    }
}

/// Where a link leads that git has checked out as a text file, as it does where `core.symlinks` is
/// off: such a file contains nothing but the path of something that exists.
pub(crate) fn link_as_text(path: &Path) -> Option<String> {
    const LONGEST: u64 = 4096;
    if !path.is_file() || path.metadata().ok()?.len() > LONGEST {
        return None;
    }
    let target = file::read_to_string(path).ok()?;
    let is_path = !target.is_empty() && !target.contains(['\n', '\0']);
    (is_path && path.parent()?.join(&target).exists()).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |path: PathBuf| {
            let parts = path.strip_prefix(folder).unwrap().iter();
            parts.map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("/")
        };
        files(folder).unwrap_or_else(|e| panic!("{}", e.source)).into_iter().map(name).collect()
    }

    #[test]
    fn files_come_in_the_order_of_the_parts_of_their_paths() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.md", "a/x.md", "a/b/y.md", "a-b.md", "B.md", ".git/z.md", "a/.z.md"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(names(dir.path()), ["B.md", "a/b/y.md", "a/x.md", "a-b.md", "a.md"]);
        assert!(files(&dir.path().join("none")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let (docs, common) = (dir.path().join("docs"), dir.path().join("common"));
        fs::create_dir_all(docs.join("deep")).unwrap();
        fs::create_dir(&common).unwrap();
        fs::write(common.join("c.md"), "").unwrap();
        fs::write(docs.join("b.md"), "").unwrap();
        symlink(&common, docs.join("shared")).unwrap();
        symlink(&common, docs.join("deep/again")).unwrap();
        symlink(&docs, docs.join("deep/round")).unwrap();
        symlink(docs.join("deep/self"), docs.join("deep/self")).unwrap();
        symlink("b.md", docs.join("z.md")).unwrap();
        assert_eq!(names(&docs), ["b.md", "deep/again/c.md", "deep/self"]);
    }

    #[test]
    fn links_that_are_text_are_recognised() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("common")).unwrap();
        fs::create_dir(dir.path().join("docs")).unwrap();
        for (text, target) in [
            ("../common", Some("../common")),
            ("../common\n", None),
            ("../other", None),
            ("", None),
            ("Ask Bob.", None),
        ] {
            let file = dir.path().join("docs/shared");
            fs::write(&file, text).unwrap();
            assert_eq!(link_as_text(&file).as_deref(), target, "{text:?}");
        }
        assert_eq!(link_as_text(dir.path()), None);
    }
}
