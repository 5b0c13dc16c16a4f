//! Long sections, cut into parts that a small model reads well.

use std::ops::Range;

use super::{Section, SectionOutline, Title};
use crate::text::markdown::Markdown;

/// A section of at most this many words stays whole.
const MOST_WORDS: usize = 160;

/// About as many words has a part of a longer one.
const PART_WORDS: usize = 110;

/// The passages of a Markdown document: its [sections](super::sections), of which long ones are
/// cut at the headings in them, and where there are none, between paragraphs, items of lists, or
/// at last sentences. Each part has the headings above it.
///
/// ```
/// use bake_spec::text::section::passages;
///
/// let paragraph = "Some words about a key. ".repeat(20);
/// let text = format!("# Keys\n\n## Lost\n{paragraph}\n\n{paragraph}\n\n## Found\nAsk Bob.");
/// let passages = passages(&text);
/// assert_eq!(passages.len(), 3);
/// assert_eq!(passages[1].heading(), None);
/// assert!(passages[1].passage().starts_with("# Keys\n## Lost\n\nSome words"));
/// ```
pub fn passages(text: &str) -> Vec<Section> {
    let markdown = Markdown::parse(text);
    let mut outline =
        SectionOutline { text, markdown: &markdown, titles: Vec::new(), found: Vec::new() };
    for section in super::sections(text) {
        outline.titles.clone_from(&section.titles);
        outline.cut(section);
    }
    outline.found
}

impl SectionOutline<'_> {
    /// Adds a section, or its parts if it is long.
    fn cut(&mut self, section: Section) {
        if words(&section.body) <= MOST_WORDS {
            self.found.push(section);
            return;
        }
        let starts = self.inner_headings(&section.range);
        match starts.is_empty() {
            true => self.cut_text(section),
            false => self.cut_at_headings(section, &starts),
        }
    }

    /// Where the headings of the highest level in a range are, without one that it begins with.
    fn inner_headings(&self, range: &Range<usize>) -> Vec<usize> {
        let inside = |start: usize| range.start < start && start < range.end;
        let headings = || {
            let headings = self.markdown.headings.iter();
            headings.filter(|heading| {
                inside(heading.range.start)
                    && !self.shown(range.start..heading.range.start).is_empty()
            })
        };
        let level = headings().map(|heading| heading.level).min();
        headings()
            .filter(|heading| Some(heading.level) == level)
            .map(|heading| heading.range.start)
            .collect()
    }

    fn cut_at_headings(&mut self, section: Section, starts: &[usize]) {
        let above = self.titles.clone();
        let own = self.own_heading(&section);
        let first = section.range.start..starts[0];
        // A heading that only stands above others is in their titles.
        let text = own.as_ref().map_or(first.start, |(_, end)| *end)..first.end;
        if !self.shown(text).is_empty() {
            self.part(first);
        }
        self.titles.extend(own.map(|(title, _)| title));
        let ends = starts[1..].iter().copied().chain([section.range.end]);
        for (start, end) in starts.iter().copied().zip(ends) {
            self.part(start..end);
        }
        self.titles = above;
    }

    /// Adds a part of a section, or its parts if it is long.
    fn part(&mut self, range: Range<usize>) {
        let last = self.found.len();
        self.section(range);
        if self.found.len() > last
            && let Some(section) = self.found.pop()
        {
            self.cut(section);
        }
    }

    /// Cuts a text without headings in it into parts of about the same length.
    fn cut_text(&mut self, section: Section) {
        let own = self.own_heading(&section);
        let start = own.as_ref().map_or(section.range.start, |(_, end)| *end);
        let borders = self.borders(start..section.range.end);
        let all = words(&section.body);
        let length = all.div_ceil(all.div_ceil(PART_WORDS));
        let (mut parts, mut begin, mut left) = (Vec::new(), section.range.start, all);
        for (number, border) in borders.iter().enumerate() {
            let next = borders.get(number + 1).copied().unwrap_or(section.range.end);
            let (so_far, more) =
                (words(&self.shown(begin..*border)), words(&self.shown(*border..next)));
            // A part ends where it would otherwise become longer than it is too short now. What
            // would remain at the end is not worth a part of its own.
            let remains = left - so_far;
            let better = length.saturating_sub(so_far) < (so_far + more).saturating_sub(length);
            if so_far > 0 && better && 3 * remains > length {
                parts.push(begin..*border);
                (begin, left) = (*border, remains);
            }
        }
        parts.push(begin..section.range.end);
        let above = self.titles.clone();
        for (number, range) in parts.into_iter().enumerate() {
            if number == 1 {
                self.titles.extend(own.iter().map(|(title, _)| title.clone()));
            }
            self.section(range);
        }
        self.titles = above;
    }

    /// Where a text can be cut: before its blocks and the items of its lists, and between the
    /// sentences of its long paragraphs.
    fn borders(&self, range: Range<usize>) -> Vec<usize> {
        let mut borders = Vec::new();
        for block in &self.markdown.blocks {
            let Range { start, end } = block.range.clone();
            if start < range.start || range.end < end {
                continue;
            }
            borders.push(start);
            borders.extend(block.items.iter().skip(1).copied());
            if block.is_paragraph && words(&self.shown(start..end)) > PART_WORDS {
                borders.extend(sentence_ends(&self.text[start..end]).map(|at| start + at));
            }
        }
        let within_hidden = |at: &usize| {
            self.markdown.hidden.iter().any(|hidden| hidden.start < *at && *at < hidden.end)
        };
        borders.retain(|at| !within_hidden(at));
        borders.sort_unstable();
        borders
    }

    /// The heading that a section begins with, and where its line ends.
    fn own_heading(&self, section: &Section) -> Option<(Title, usize)> {
        let title = section.heading.clone()?;
        let mut headings = self.markdown.headings.iter();
        let heading = headings.find(|heading| heading.range.start >= section.range.start)?;
        Some((title, heading.range.end))
    }
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Where sentences begin that follow others: after a full stop or the like and a space, before
/// anything but a small letter.
fn sentence_ends(text: &str) -> impl Iterator<Item = usize> {
    text.char_indices().filter_map(|(at, c)| {
        let before = text[..at].trim_end();
        let ended = before.len() < at && before.ends_with(['.', '!', '?', '…', '。']);
        (ended && !c.is_whitespace() && !c.is_lowercase()).then_some(at)
    })
}
