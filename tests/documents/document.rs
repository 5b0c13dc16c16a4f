//! Documents with questions, which the test checks and the benchmark asks.

#![allow(dead_code, reason = "the test and the benchmark each use a part of it")]

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use bake::recipe::Answer;
use serde::Deserialize;

/// Where the documents are, from the package.
const FOLDER: &str = "tests/documents";

/// Which documents may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    /// Those that anyone may look at while something is tuned.
    Seen,
    /// Those that are only scored.
    Unseen,
}

impl Half {
    pub(crate) const BOTH: [Self; 2] = [Self::Seen, Self::Unseen];

    /// The name of its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Unseen => "unseen",
        }
    }
}

/// How a question relates to the words of its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Close,
    Paraphrased,
    Reworded,
    Unanswerable,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Close, Self::Paraphrased, Self::Reworded, Self::Unanswerable];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Close => "close",
            Self::Paraphrased => "paraphrased",
            Self::Reworded => "reworded",
            Self::Unanswerable => "unanswerable",
        })
    }
}

/// A line of a file of questions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) question: String,
    pub(crate) kind: Kind,
    /// Where the answer is: a heading, or the first words of a paragraph.
    #[serde(default)]
    pub(crate) section: String,
    /// The key phrases of a right answer.
    #[serde(default)]
    pub(crate) contains: Vec<String>,
    /// What the document does not have.
    #[serde(default)]
    pub(crate) absent: Vec<String>,
}

impl Line {
    /// What a right answer is: any of these.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        match self.kind {
            Kind::Unanswerable => vec![Answer::Declines],
            _ => {
                self.contains.iter().map(|phrase| Answer::Contains(phrase.clone().into())).collect()
            }
        }
    }
}

/// A document, and what it is asked.
#[derive(Debug)]
pub(crate) struct TestDocument {
    pub(crate) half: Half,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) lines: Vec<Line>,
}

impl TestDocument {
    /// Those of a half, in the order of their names.
    pub(crate) fn all(half: Half) -> Result<Vec<Self>, Box<dyn Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER).join(half.name());
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_, std::io::Error>>()?;
        paths.sort();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
        paths.iter().map(|path| Self::read(half, path)).collect()
    }

    fn read(half: Half, path: &Path) -> Result<Self, Box<dyn Error>> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let questions = path.with_extension("jsonl");
        let shown = questions.display();
        let json = std::fs::read_to_string(&questions).map_err(|e| format!("{shown}: {e}"))?;
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(json.lines()) {
            let line = serde_json::from_str(line);
            lines.push(line.map_err(|e| format!("{shown}, line {number}: {e}"))?);
        }
        Ok(Self { half, name, text: std::fs::read_to_string(path)?, lines })
    }

    /// Keeps at most so many questions of each kind, evenly spread.
    pub(crate) fn keep(&mut self, most: usize) {
        for kind in Kind::ALL {
            let of_kind = self.lines.iter().filter(|line| line.kind == kind).count();
            let (most, mut number) = (most.min(of_kind), 0);
            self.lines.retain(|line| {
                if line.kind != kind {
                    return true;
                }
                number += 1;
                number * most / of_kind > (number - 1) * most / of_kind
            });
        }
    }

    /// Its path from the package.
    pub(crate) fn path(&self) -> String {
        format!("{FOLDER}/{}/{}.md", self.half.name(), self.name)
    }

    pub(crate) fn words(&self) -> usize {
        self.text.split_whitespace().count()
    }

    /// What a model needs to read for a question: the headings above a section, the section, and
    /// what is below it; all of the document where nothing answers it.
    pub(crate) fn passage(&self, line: &Line) -> Result<String, Box<dyn Error>> {
        if line.kind == Kind::Unanswerable {
            return Ok(self.text.clone());
        }
        let headings = headings(&self.text);
        let found: Vec<String> = if headings.is_empty() {
            let begins = |paragraph: &&str| paragraph.starts_with(&line.section);
            self.text
                .split("\n\n")
                .filter(begins)
                .map(|paragraph| paragraph.trim().into())
                .collect()
        } else {
            let named = |at: &usize| headings[*at].words == line.section;
            (0..headings.len()).filter(named).map(|at| under(&self.text, &headings, at)).collect()
        };
        match <[String; 1]>::try_from(found) {
            Ok([passage]) if !line.section.is_empty() => Ok(passage),
            _ => Err(format!("{}: one section {:?} was expected", self.name, line.section).into()),
        }
    }
}

/// A line that begins with `#`, outside of code.
struct HeadingLine<'t> {
    level: usize,
    words: &'t str,
    begin: usize,
    end: usize,
}

fn headings(text: &str) -> Vec<HeadingLine<'_>> {
    let (mut found, mut code, mut begin) = (Vec::new(), false, 0);
    for line in text.split_inclusive('\n') {
        let end = begin + line.len();
        let level = line.bytes().take_while(|&byte| byte == b'#').count();
        code ^= line.starts_with("```");
        if !code && (1..=6).contains(&level) && line[level..].starts_with(' ') {
            found.push(HeadingLine { level, words: line[level..].trim(), begin, end });
        }
        begin = end;
    }
    found
}

/// A section with the headings above it, and those below it. The title of a document has only what
/// is before the next heading.
fn under(text: &str, headings: &[HeadingLine<'_>], at: usize) -> String {
    let heading = &headings[at];
    let mut parts = Vec::new();
    let mut level = heading.level;
    for above in headings[..at].iter().rev().filter(|above| above.level < heading.level) {
        if above.level < level {
            level = above.level;
            parts.insert(0, text[above.begin..above.end].trim());
        }
    }
    let next = headings[at + 1..].iter().find(|next| next.level <= heading.level.max(2));
    let end = next.map_or(text.len(), |next| next.begin);
    parts.push(text[heading.begin..end].trim());
    parts.join("\n\n")
}
