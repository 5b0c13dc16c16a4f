//! The sections of a document.

mod cut;

use std::ops::Range;

use super::markdown::{Heading, Markdown};
use crate::text::join_paragraphs;
pub use cut::passages;

/// A section of a Markdown document, or a part of a long one: some of its text, and the headings
/// above it.
///
/// What a model is shown of it is its [`passage`](Self::passage): the headings above it, an empty
/// line, and its own text, which begins with its own heading.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    titles: Vec<Title>,
    heading: Option<Title>,
    range: Range<usize>,
    body: String,
}

/// A heading as written, and its words.
#[derive(Clone, Debug, PartialEq)]
struct Title {
    level: usize,
    words: String,
    written: String,
}

impl Section {
    /// Its place: bytes of the text that it was read from, at character boundaries. Sections follow
    /// one another; between them there are only the headings above them and nothing else that is
    /// shown.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The words of the headings above it, from the document's title down.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        self.titles.iter().map(|title| &*title.words)
    }

    /// The words of the heading that it begins with. The text before the first section has none.
    pub fn heading(&self) -> Option<&str> {
        self.heading.as_ref().map(|heading| &*heading.words)
    }

    /// The level of that heading, 1 to 6.
    pub fn level(&self) -> Option<usize> {
        self.heading.as_ref().map(|heading| heading.level)
    }

    /// Its own text, which begins with its heading, without comments.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Its own text without its heading.
    pub fn text_below(&self) -> &str {
        let heading = self.heading.as_ref().map_or("", |heading| &*heading.written);
        self.body.strip_prefix(heading).unwrap_or(&self.body).trim_start()
    }

    /// The text that a model reads: the headings above it as written, one line each, an empty line,
    /// and its [`body`](Self::body).
    pub fn passage(&self) -> String {
        let titles: Vec<&str> = self.titles.iter().map(|title| &*title.written).collect();
        join_paragraphs([&titles.join("\n"), &self.body])
    }
}

/// The sections of a Markdown document.
///
/// A section begins at each heading of the highest level that occurs more than once. What precedes
/// the first one, or follows a heading above that level, is a separate section. A document without
/// headings that repeat is one section.
///
/// Headings are those of CommonMark, including underlined ones, except in lists and quotations.
/// Front matter and HTML comments belong to no section, unless there is nothing else.
///
/// ```
/// use bake_spec::text::section::sections;
///
/// let text = "# Mac\n\n## Slow\nRestart it.\n\n## Loud\nMove it.";
/// let sections = sections(text);
/// assert_eq!(sections[1].heading(), Some("Loud"));
/// assert_eq!(sections[1].passage(), "# Mac\n\n## Loud\nMove it.");
/// assert_eq!(&text[sections[1].range()], "## Loud\nMove it.");
/// ```
pub fn sections(text: &str) -> Vec<Section> {
    let markdown = Markdown::parse(text);
    let mut outline =
        SectionOutline { text, markdown: &markdown, titles: Vec::new(), found: Vec::new() };
    let mut start = markdown.front_matter_end();
    if let Some(level) = repeated_level(&markdown.headings) {
        for heading in markdown.headings.iter().filter(|heading| heading.level <= level) {
            outline.section(start..heading.range.start);
            start = heading.range.start;
            if heading.level < level {
                outline.title(heading);
                start = heading.range.end;
            }
        }
    }
    outline.section(start..text.len());
    // The text between a file's comments can look like front matter once they are removed.
    if outline.found.is_empty() && !text.trim().is_empty() {
        let (titles, body) = (Vec::new(), text.trim().to_owned());
        outline.found.push(Section { titles, heading: None, range: 0..text.len(), body });
    }
    outline.found
}

/// The highest level with more than one heading.
fn repeated_level(headings: &[Heading]) -> Option<usize> {
    (1..=6).find(|level| headings.iter().filter(|heading| heading.level == *level).count() > 1)
}

/// The sections of a document as far as they were found.
struct SectionOutline<'t> {
    text: &'t str,
    markdown: &'t Markdown,
    /// The headings above the next section.
    titles: Vec<Title>,
    found: Vec<Section>,
}

impl SectionOutline<'_> {
    /// Adds a part of the text, unless all of it is hidden.
    fn section(&mut self, range: Range<usize>) {
        let body = self.shown(range.clone());
        if body.is_empty() {
            return;
        }
        let headings = &self.markdown.headings;
        let first = headings.partition_point(|heading| heading.range.start < range.start);
        let heading = headings
            .get(first)
            .filter(|heading| heading.range.end <= range.end)
            .filter(|heading| self.shown(range.start..heading.range.start).is_empty())
            .map(|heading| self.written(heading));
        self.found.push(Section { titles: self.titles.clone(), heading, range, body });
    }

    /// Puts a heading above all sections that follow, replacing those of its level and below.
    fn title(&mut self, heading: &Heading) {
        self.titles.retain(|title| title.level < heading.level);
        self.titles.push(self.written(heading));
    }

    fn written(&self, heading: &Heading) -> Title {
        Title {
            level: heading.level,
            words: heading.words.trim().to_owned(),
            written: self.shown(heading.range.clone()),
        }
    }

    fn shown(&self, range: Range<usize>) -> String {
        self.markdown.shown(self.text, range).trim().to_owned()
    }
}

#[cfg(test)]
mod tests;
