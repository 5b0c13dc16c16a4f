//! Documents: the texts whose knowledge is baked.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::file;
use crate::hash::Hash;
use crate::text::folder::{self, Unreadable};
use crate::text::markdown::Markdown;
use crate::text::section::{self, Section};
use crate::text::with_unix_lines;

/// Reads a document: UTF-8 text in Markdown, as its readers see it.
///
/// The result has no byte order mark, its lines end with `\n`, and there is no white space around
/// it; so it has the same hash on every machine, however version control writes line ends. Front
/// matter (YAML between `---` or TOML between `+++`, in the first lines) and HTML comments are left
/// out. A folder is read as all of its [files], with empty lines between them. Messages call the
/// document `shown`.
///
/// # Errors
/// When a file cannot be read, is not UTF-8 text (the message names the line), or contains a
/// comment that is not closed, and when there is nothing to read.
pub fn read(path: &Path, shown: impl Display) -> Result<String, Error> {
    let text = if path.is_dir() {
        let mut texts = Vec::new();
        for file in files(path, &shown)? {
            let (text, open_fence) = read_markdown(&file, file.display())?;
            // A fence that is open at the end of a file must not swallow the next file.
            match open_fence {
                Some(fence) => texts.push(format!("{text}\n{fence}")),
                None if text.is_empty() => {}
                None => texts.push(text),
            }
        }
        texts.join("\n\n")
    } else {
        read_markdown(path, &shown)?.0
    };
    if text.is_empty() {
        let message = format!(
            "the document {shown} is empty (front matter and comments are not read); add what the \
             model must know"
        );
        return Err(Error::new(ErrorKind::Document, message));
    }
    Ok(text)
}

/// What is shown of a Markdown file, and what would end a fence that it leaves open.
fn read_markdown(path: &Path, shown: impl Display) -> Result<(String, Option<String>), Error> {
    let text = read_text(path, &shown, "document")?;
    let markdown = Markdown::parse(&text);
    if let Some(at) = markdown.unclosed_comment {
        let line = line_of(text.as_bytes(), at);
        let message = format!(
            "the comment that begins on line {line} of the document {shown} is not closed; close \
             it with `-->`"
        );
        return Err(Error::new(ErrorKind::Document, message));
    }
    let text = markdown.shown(&text, 0..text.len()).trim().to_owned();
    Ok((text, markdown.open_fence))
}

/// The Markdown files of a folder and its subfolders, in the order of their paths, compared part by
/// part.
///
/// Links to files and folders are followed; a file that can be reached by several paths is read
/// once, by the first of them. Hidden files and folders are left out.
///
/// # Errors
/// When a folder cannot be read, a link is broken or was checked out as text, or there are no such
/// files.
pub fn files(folder: &Path, shown: impl Display) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |e: Unreadable| {
        let message = format!("cannot read {}", e.path.display());
        Error::io(ErrorKind::Document, message, e.source)
    };
    let mut found = Vec::new();
    for file in folder::files(folder).map_err(unreadable)? {
        if file.is_symlink() && !file.exists() {
            let message = format!(
                "{} is a link to a file that does not exist; correct or delete it",
                file.display()
            );
            return Err(Error::new(ErrorKind::Document, message));
        }
        if let Some(target) = folder::link_as_text(&file) {
            let message = format!(
                "{} is a link to {target} that was checked out as text; set `core.symlinks` of git \
                 and check it out again, or replace it",
                file.display()
            );
            return Err(Error::new(ErrorKind::Document, message));
        }
        let markdown = |e: &OsStr| ["md", "markdown"].iter().any(|m| e.eq_ignore_ascii_case(m));
        if file.extension().is_some_and(markdown) {
            found.push(file);
        }
    }
    if found.is_empty() {
        let message = format!(
            "the folder {shown} contains no Markdown files (.md, .markdown); put some there, or \
             name a text file"
        );
        return Err(Error::new(ErrorKind::Document, message));
    }
    Ok(found)
}

/// The text of a file, without a byte order mark and with `\n` at the ends of its lines.
pub(crate) fn read_text(path: &Path, shown: impl Display, what: &str) -> Result<String, Error> {
    // Reading a pipe would wait forever.
    if path.exists() && !path.is_file() {
        return Err(Error::new(
            ErrorKind::Document,
            format!("the {what} {shown} is not a regular file; name a text file"),
        ));
    }
    let bytes = file::read(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::new(
            ErrorKind::Document,
            format!(
                "the {what} {shown} does not exist (paths are relative to the folder of Cargo.toml)"
            ),
        ),
        _ => Error::io(ErrorKind::Document, format!("cannot read the {what} {shown}"), e),
    })?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(e) => return Err(not_text(&bytes, e.valid_up_to(), &shown, what)),
    };
    if let Some(at) = bytes.iter().position(|&b| b == 0) {
        return Err(not_text(&bytes, at, &shown, what));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(with_unix_lines(text))
}

/// What a file is whose bytes, from this one on, are not text in UTF-8.
fn not_text(bytes: &[u8], at: usize, shown: impl Display, what: &str) -> Error {
    let is = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "is text in UTF-16; save it as UTF-8".to_owned(),
        _ if bytes[at] == 0 => format!(
            "contains a NUL byte on line {}; if it is text in UTF-16, save it as UTF-8, and \
             otherwise remove what is not text",
            line_of(bytes, at)
        ),
        _ => format!("is not UTF-8 text (line {}); save it as UTF-8", line_of(bytes, at)),
    };
    Error::new(ErrorKind::Document, format!("the {what} {shown} {is}"))
}

/// The line that contains a byte.
fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes[..at].iter().filter(|&&b| b == b'\n').count()
}

/// The hash of a document's text as [`read`] returns it.
pub fn hash(text: &str) -> Hash {
    Hash::of(text.as_bytes())
}

/// What a teacher reads of each of a document's sections: the headings above it, and the section.
///
/// ```
/// let text = "# Mac\n\n## Slow\nRestart it.\n\n## Loud\nMove it.";
/// assert_eq!(bake_spec::document::sections(text)[1], "# Mac\n\n## Loud\nMove it.");
/// ```
pub fn sections(text: &str) -> Vec<String> {
    section::sections(text).iter().map(Section::passage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.md");
        std::fs::write(&path, bytes).unwrap();
        read(&path, path.display()).map_err(|e| e.to_string())
    }

    #[test]
    fn line_ends_and_marks_do_not_change_a_document() {
        assert_eq!(of(b"\xef\xbb\xbf# A\r\n\r\nText\r\n").unwrap(), "# A\n\nText");
        assert_eq!(of(b"# A\n\nText").unwrap(), "# A\n\nText");
    }

    #[test]
    fn what_is_not_a_document_is_named() {
        assert!(of(b" \r\n\t").unwrap_err().contains("a.md is empty"));
        assert!(of(b"one\ntwo \xff\n").unwrap_err().contains("not UTF-8 text (line 2)"));
        assert!(of(b"one\ntwo\0\n").unwrap_err().contains("a NUL byte on line 2; if it is text"));
        for marked in [b"\xff\xfeo\0n\0", b"\xfe\xff\0o\0n"] {
            assert!(of(marked).unwrap_err().contains("a.md is text in UTF-16; save it as UTF-8"));
        }
        let error = read(Path::new("no/such.md"), "no/such.md").unwrap_err();
        assert!(error.to_string().contains("no/such.md does not exist"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        assert!(
            read(dir.path(), "docs")
                .unwrap_err()
                .to_string()
                .contains("the folder docs contains no Markdown files")
        );
    }

    #[test]
    fn what_readers_do_not_see_is_not_part_of_a_document() {
        let seen = b"# Shop\n\nOpen at nine.";
        let all = b"---\ntitle: Shop\n---\n# Shop\n\n<!-- or\n\n# Ten? -->\nOpen at nine.";
        assert_eq!(of(all), of(seen));
        assert!(of(b"<!-- nothing -->").unwrap_err().contains("a.md is empty"));
        let error = of(b"# Shop\n\n<!-- or\n\nOpen at nine.").unwrap_err();
        assert!(error.contains("the comment that begins on line 3 of the document"), "{error}");
    }

    #[test]
    fn a_folder_is_its_markdown_files_in_order() {
        let dir = folder(&[
            ("b.md", "---\nnr: 1\n---\nB\n"),
            ("a/z.MD", "AZ\n~~~\ncode"),
            ("c.markdown", " \n"),
            ("notes.txt", "no"),
            (".hidden.md", "no"),
        ]);
        assert_eq!(read(dir.path(), "docs").unwrap(), "AZ\n~~~\ncode\n~~~\n\nB");
        assert_eq!(files(dir.path(), "docs").unwrap().len(), 3);
    }

    #[test]
    fn the_file_of_a_folder_that_is_not_text_is_named() {
        let dir = folder(&[("a.md", "A"), ("deep/b.md", "B\0")]);
        let error = read(dir.path(), "docs").unwrap_err().to_string();
        assert!(error.contains("b.md contains a NUL byte on line 1"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_of_a_folder_are_followed_or_named() {
        use std::os::unix::fs::symlink;
        let (dir, common) = (folder(&[("top.md", "Top")]), folder(&[("zoe.md", "Zoe")]));
        symlink(common.path(), dir.path().join("shared")).unwrap();
        assert_eq!(read(dir.path(), "docs").unwrap(), "Zoe\n\nTop");
        symlink("nowhere", dir.path().join("lost")).unwrap();
        let error = read(dir.path(), "docs").unwrap_err().to_string();
        assert!(error.contains("lost is a link to a file that does not exist"), "{error}");
    }

    #[test]
    fn a_link_that_was_checked_out_as_text_is_named() {
        let dir = folder(&[("top.md", "Top"), ("deep/shared", "../top.md")]);
        let error = read(dir.path(), "docs").unwrap_err().to_string();
        assert!(error.contains("deep/shared is a link to ../top.md"), "{error}");
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }
}
