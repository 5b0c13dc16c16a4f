//! Documents: the texts whose knowledge is baked.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::hash::Hash;

/// Reads a document: UTF-8 text, without a byte order mark, with `\n` at the ends of its lines and
/// nothing around it.
///
/// So the same text has the same hash on every machine, however its version control writes line
/// ends. A folder is read as all of its [files], with an empty line between. Messages call the
/// document `shown`.
///
/// # Errors
/// When a file cannot be read, is not UTF-8 (the message names the line), or there is nothing but
/// white space.
pub fn read(path: &Path, shown: impl Display) -> Result<String, Error> {
    let text = if path.is_dir() {
        let files = files(path, &shown)?;
        let read = |file: &PathBuf| {
            Ok(read_text(file, format_args!("{}", file.display()), "document")?.trim().to_owned())
        };
        let texts = files.iter().map(read).collect::<Result<Vec<String>, Error>>()?;
        texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
    } else {
        read_text(path, &shown, "document")?
    };
    match text.trim() {
        "" => Err(Error::new(
            ErrorKind::Document,
            format!("the document {shown} is empty; write what the model must know into it"),
        )),
        text => Ok(text.to_owned()),
    }
}

/// The Markdown files of a folder and its folders, in the order of their paths. Hidden ones are
/// left out.
///
/// # Errors
/// When the folder cannot be read, or holds none.
pub fn files(folder: &Path, shown: impl Display) -> Result<Vec<PathBuf>, Error> {
    let (mut found, mut waiting) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = waiting.pop() {
        let unreadable = |e| {
            Error::io(
                ErrorKind::Document,
                format!("cannot read the folder {}", folder.display()),
                e,
            )
        };
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(unreadable)?);
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // A folder that is a link could lead back here.
            if kind.is_dir() {
                waiting.push(path);
            } else if path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("md") || e.eq_ignore_ascii_case("markdown"))
                && path.is_file()
            {
                found.push(path);
            }
        }
    }
    found.sort();
    match found.is_empty() {
        true => Err(Error::new(
            ErrorKind::Document,
            format!(
                "the folder {shown} holds no Markdown files; name a text file, or put some there"
            ),
        )),
        false => Ok(found),
    }
}

/// The text of a file, without a byte order mark and with `\n` at the ends of its lines.
pub(crate) fn read_text(path: &Path, shown: impl Display, what: &str) -> Result<String, Error> {
    // Reading a pipe would wait for ever.
    if path.exists() && !path.is_file() {
        return Err(Error::new(
            ErrorKind::Document,
            format!("the {what} {shown} is no file; name a text file"),
        ));
    }
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(
            ErrorKind::Document,
            format!(
                "the {what} {shown} does not exist (paths are relative to the folder of Cargo.toml)"
            ),
        ),
        _ => Error::io(ErrorKind::Document, format!("cannot read the {what} {shown}"), e),
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        Error::new(
            ErrorKind::Document,
            format!("the {what} {shown} is not UTF-8 text (line {line}); save it as UTF-8"),
        )
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n"))
}

/// The hash of a document's text as [`read`] returns it.
pub fn hash(text: &str) -> Hash {
    Hash::of(text.as_bytes())
}

/// The sections of a Markdown document, each with the document's title before it.
///
/// A section begins at a heading of the highest level that stands more than once. What comes before
/// the first of them is the title (headings) and a section of its own (anything else). A document
/// without such headings is one section.
///
/// ```
/// let text = "# Mac\n\n## Slow\nRestart it.\n\n## Loud\nMove it.";
/// assert_eq!(bake_spec::text::document::sections(text), ["# Mac\n\n## Slow\nRestart it.", "# Mac\n\n## Loud\nMove it."]);
/// ```
pub fn sections(text: &str) -> Vec<String> {
    let mut fenced = false;
    let levels: Vec<usize> = text
        .lines()
        .map(|line| {
            fenced ^= line.trim_start().starts_with("```");
            if fenced { 0 } else { heading_level(line) }
        })
        .collect();
    let Some(level) = (1..=6).find(|level| levels.iter().filter(|l| *l == level).count() > 1)
    else {
        return vec![text.to_owned()];
    };
    let (mut title, mut parts) = (Vec::new(), vec![Vec::new()]);
    for (line, &at) in text.lines().zip(&levels) {
        match at {
            _ if at == level => parts.push(vec![line]),
            1.. if at < level => title.push(line),
            _ => parts.last_mut().expect("there is always a part").push(line),
        }
    }
    let title = title.join("\n");
    let bodies = parts.iter().map(|lines| lines.join("\n")).filter(|body| !body.trim().is_empty());
    bodies.map(|body| crate::recipe::join_paragraphs([title.trim(), body.trim()])).collect()
}

/// The level of a Markdown heading; 0 where the line is none.
fn heading_level(line: &str) -> usize {
    let level = line.bytes().take_while(|&b| b == b'#').count();
    if (1..=6).contains(&level) && line[level..].starts_with([' ', '\t']) { level } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_cut_where_headings_repeat() {
        assert_eq!(sections("No headings.\nAt all."), ["No headings.\nAt all."]);
        assert_eq!(sections("# Only one\nText."), ["# Only one\nText."]);
        assert_eq!(sections("# A\na\n# B\nb\n## C\nc"), ["# A\na", "# B\nb\n## C\nc"]);
        assert_eq!(
            sections("# T\nIntro.\n## A\na\n```\n## no\n```\n## B"),
            ["# T\n\nIntro.", "# T\n\n## A\na\n```\n## no\n```", "# T\n\n## B"]
        );
        assert_eq!(sections("#hash\n#tag"), ["#hash\n#tag"]);
    }

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
    fn what_is_no_document_is_named() {
        assert!(of(b" \r\n\t").unwrap_err().contains("a.md is empty"));
        assert!(of(b"one\ntwo \xff\n").unwrap_err().contains("not UTF-8 text (line 2)"));
        let error = read(Path::new("no/such.md"), "no/such.md").unwrap_err();
        assert!(error.to_string().contains("no/such.md does not exist"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        assert!(
            read(dir.path(), "docs")
                .unwrap_err()
                .to_string()
                .contains("the folder docs holds no Markdown files")
        );
    }

    #[test]
    fn a_folder_is_its_markdown_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        for (name, text) in [
            ("b.md", "B\n"),
            ("a/z.MD", "AZ"),
            ("c.markdown", " \n"),
            ("notes.txt", "no"),
            (".hidden.md", "no"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(read(dir.path(), "docs").unwrap(), "AZ\n\nB");
        assert_eq!(files(dir.path(), "docs").unwrap().len(), 3);
    }
}
