//! Documents: the texts whose knowledge is baked.

use std::fmt::Display;
use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::hash::Hash;

/// Reads a document: UTF-8 text, without a byte order mark, with `\n` at the ends of its lines and nothing around it.
///
/// So the same text has the same hash on every machine, however its version control writes line ends. Messages call the file `shown`.
///
/// # Errors
/// When the file cannot be read, is not UTF-8 (the message names the line), or holds nothing but white space.
pub fn read(path: &Path, shown: impl Display) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(ErrorKind::Document, format!("the document {shown} does not exist (paths are relative to the folder of Cargo.toml)"))
        }
        _ if path.is_dir() => Error::new(ErrorKind::Document, format!("the document {shown} is a folder; name a text file in it")),
        _ => Error::io(ErrorKind::Document, format!("cannot read the document {shown}"), e),
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        Error::new(ErrorKind::Document, format!("the document {shown} is not UTF-8 text (line {line}); save it as UTF-8"))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    match text.trim() {
        "" => Err(Error::new(ErrorKind::Document, format!("the document {shown} is empty; write what the model must know into it"))),
        text => Ok(text.to_owned()),
    }
}

/// The hash of a document's text as [`read`] returns it.
pub fn hash(text: &str) -> Hash {
    Hash::of(text.as_bytes())
}

/// The sections of a Markdown document, each with the document's title before it.
///
/// A section begins at a heading of the highest level that stands more than once. What comes before the first of them is the title
/// (headings) and a section of its own (anything else). A document without such headings is one section.
///
/// ```
/// let text = "# Mac\n\n## Slow\nRestart it.\n\n## Loud\nMove it.";
/// assert_eq!(bake_spec::document::sections(text), ["# Mac\n\n## Slow\nRestart it.", "# Mac\n\n## Loud\nMove it."]);
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
    let Some(level) = (1..=6).find(|level| levels.iter().filter(|l| *l == level).count() > 1) else {
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
        assert!(read(dir.path(), "docs").unwrap_err().to_string().contains("is a folder"));
    }
}
