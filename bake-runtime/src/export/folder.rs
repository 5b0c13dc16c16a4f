//! A folder that appears as a whole, or not at all.

mod workplace;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bake_spec::file;

use crate::error::{Error, ErrorKind, Result};
use workplace::Workplace;

/// A file in each export that lists the others. Only folders in which it is, and in which nothing
/// else is but what it lists, are replaced.
const LIST: &str = "bake-export.json";

/// A folder that is being written, under another name until it is whole.
pub(super) struct NewFolder {
    /// Where it will be.
    to: PathBuf,
    work: Workplace,
    replace: bool,
}

/// A file that is written piece by piece.
pub(super) struct LargeFile {
    /// Where it will be, for messages.
    path: PathBuf,
    file: io::BufWriter<fs::File>,
}

impl LargeFile {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| failed(&self.path, e))
    }
}

impl NewFolder {
    /// Begins a folder. With `replace`, an earlier export that is there already is removed when the
    /// new one is whole.
    pub(super) fn begin(to: &Path, replace: bool) -> Result<Self> {
        let failed = |e| failed(to, e);
        let parent = match to.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(failed)?;
        let Some(name) = to.file_name() else {
            check_free(to, replace)?;
            let message =
                format!("{} cannot be the name of a folder; choose another", to.display());
            return Err(Error::new(ErrorKind::Export, message));
        };
        workplace::clear(parent, name, to);
        check_free(to, replace)?;
        let work = Workplace::new(parent, name).map_err(failed)?;
        Ok(Self { to: to.to_owned(), work, replace })
    }

    /// Where to write its files.
    pub(super) fn path(&self) -> &Path {
        self.work.new_folder()
    }

    /// Writes a small file.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        fs::write(self.path().join(name), bytes).map_err(|e| failed(&self.to.join(name), e))
    }

    /// Writes a large file, piece by piece.
    pub(super) fn write_with(
        &self,
        name: &str,
        write: impl FnOnce(&mut LargeFile) -> Result<()>,
    ) -> Result<()> {
        let path = self.to.join(name);
        let file = fs::File::create_new(self.path().join(name)).map_err(|e| failed(&path, e))?;
        let mut large = LargeFile { path, file: io::BufWriter::with_capacity(1 << 20, file) };
        write(&mut large)?;
        let LargeFile { path, file } = large;
        let file = file.into_inner().map_err(|e| failed(&path, e.into_error()))?;
        file.sync_all().map_err(|e| failed(&path, e))
    }

    /// Puts the folder where it belongs; returns its files. What cannot be removed of an earlier
    /// export is left to the next.
    pub(super) fn finish(self) -> Result<Vec<PathBuf>> {
        let failed = |e| failed(&self.to, e);
        let mut files = Vec::new();
        for entry in fs::read_dir(self.path()).map_err(failed)? {
            files.push(self.to.join(entry.map_err(failed)?.file_name()));
        }
        files.sort();
        let names: Vec<_> = files.iter().filter_map(|file| file.file_name()?.to_str()).collect();
        self.write(LIST, serde_json::json!({ "files": names }).to_string().as_bytes())?;
        check_free(&self.to, self.replace)?;
        self.work.swap(&self.to).map_err(failed)?;
        Ok(files)
    }
}

/// Fails where something is in the way.
fn check_free(to: &Path, replace: bool) -> Result<()> {
    let refused = |what: String| Err(Error::new(ErrorKind::Export, what));
    if to.is_symlink() {
        return refused(format!("{} is a link; choose a new folder", to.display()));
    }
    let entries = match fs::read_dir(to) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return refused(format!("{} is not a folder; choose another", to.display()));
        }
        Err(e) => return Err(failed(to, e)),
    };
    let listed = listed(to);
    for entry in entries {
        let entry = entry.map_err(|e| failed(to, e))?;
        if !replace {
            return refused(format!(
                "{} is not empty; choose a new folder, or pass --force to replace an earlier \
                 export",
                to.display()
            ));
        }
        let name = entry.file_name();
        let known = name == LIST || listed.iter().any(|listed| name == **listed);
        if listed.is_empty() || !known || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            return refused(format!(
                "{} was not written by an export, so the folder will not be replaced; choose \
                 another",
                entry.path().display()
            ));
        }
    }
    Ok(())
}

/// The files of the export in a folder; none if there is no export.
fn listed(folder: &Path) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct FileList {
        files: Vec<String>,
    }
    let list = file::read(&folder.join(LIST)).ok();
    let list = list.and_then(|list| serde_json::from_slice::<FileList>(&list).ok());
    list.map_or_else(Vec::new, |list| list.files)
}

pub(super) fn failed(path: &Path, e: io::Error) -> Error {
    let message = format!("cannot write {}; choose a writable folder", path.display());
    Error::with_source(ErrorKind::Export, message, e)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is in a folder, in order.
    pub(super) fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_appears_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("models/new");
        let folder = NewFolder::begin(&to, false).unwrap();
        folder.write("config.json", b"{}").unwrap();
        assert!(!to.exists());
        drop(folder);
        assert!(names(to.parent().unwrap()).is_empty());

        let folder = NewFolder::begin(&to, false).unwrap();
        folder.write("config.json", b"one").unwrap();
        assert_eq!(folder.finish().unwrap(), [to.join("config.json")]);
        assert_eq!(names(to.parent().unwrap()), ["new"]);

        let error = NewFolder::begin(&to, false).err().unwrap().to_string();
        assert!(error.contains("is not empty"), "{error}");
        let folder = NewFolder::begin(&to, true).unwrap();
        folder.write("model.gguf", b"two").unwrap();
        folder.finish().unwrap();
        assert_eq!(
            (names(&to), names(to.parent().unwrap())),
            (vec![LIST.into(), "model.gguf".into()], vec!["new".into()])
        );
    }

    #[test]
    fn only_an_export_is_ever_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for inside in ["thesis.tex", "src/config.json", "model.gguf", "config.json"] {
            let to = dir.path().join(inside.replace(['/', '.'], "-"));
            fs::create_dir_all(to.join(inside).parent().unwrap()).unwrap();
            fs::write(to.join(inside), "mine").unwrap();
            let error = NewFolder::begin(&to, true).err().unwrap().to_string();
            assert!(error.contains("was not written by an export"), "{error}");
            assert_eq!(fs::read_to_string(to.join(inside)).unwrap(), "mine");
        }
        // What has been put beside an export is kept too.
        let to = dir.path().join("export");
        let folder = NewFolder::begin(&to, false).unwrap();
        folder.write("model.gguf", b"one").unwrap();
        folder.finish().unwrap();
        fs::write(to.join("mine.gguf"), "mine").unwrap();
        let error = NewFolder::begin(&to, true).err().unwrap().to_string();
        assert!(error.contains("mine.gguf was not written by an export"), "{error}");
        fs::write(dir.path().join("file"), "mine").unwrap();
        let error = NewFolder::begin(&dir.path().join("file"), true).err().unwrap().to_string();
        assert!(error.contains("is not a folder"), "{error}");
    }
}
