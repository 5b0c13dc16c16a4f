//! The parts of Markdown that matter here: where the headings are, and what readers never see.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// What must be known of a Markdown text. All positions are bytes of it, at character boundaries.
#[derive(Debug, Default)]
pub(super) struct Markdown {
    /// The headings in order, without those in lists and quotations.
    pub(super) headings: Vec<Heading>,
    /// Paragraphs, lists, tables and all else that is not in another block, in order.
    pub(super) blocks: Vec<MarkdownBlock>,
    /// Front matter and HTML comments, in order and not overlapping.
    pub(super) hidden: Vec<Range<usize>>,
    /// The beginning of an HTML comment that is not closed.
    pub(super) unclosed_comment: Option<usize>,
    /// What would close a fence that is still open at the end of the text.
    pub(super) open_fence: Option<String>,
}

/// A heading.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heading {
    /// 1 to 6.
    pub(super) level: usize,
    /// Its words, without markup.
    pub(super) words: String,
    /// The line, including an underline that makes it a heading.
    pub(super) range: Range<usize>,
}

/// A block that is in no other block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MarkdownBlock {
    pub(super) range: Range<usize>,
    pub(super) is_paragraph: bool,
    /// Where its items begin, if it is a list.
    pub(super) items: Vec<usize>,
}

impl Markdown {
    pub(super) fn parse(text: &str) -> Self {
        let mut markdown = Self::default();
        markdown.hidden.extend(front_matter(text));
        let start = markdown.front_matter_end();
        let events = Parser::new_ext(&text[start..], Options::ENABLE_TABLES).into_offset_iter();
        let (mut depth, mut heading) = (0_usize, None);
        for (event, range) in events {
            let range = range.start + start..range.end + start;
            markdown.note_block(&event, &range, depth);
            match &event {
                Event::Start(Tag::Heading { level, .. }) if depth == 0 => {
                    heading = Some(Heading { level: *level as usize, words: String::new(), range });
                }
                Event::End(TagEnd::Heading(_)) => markdown.headings.extend(heading.take()),
                Event::Text(words) | Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.words.push_str(words);
                    }
                }
                Event::SoftBreak | Event::HardBreak => {
                    if let Some(heading) = &mut heading {
                        heading.words.push(' ');
                    }
                }
                Event::Start(Tag::HtmlBlock) => markdown.comments(text, range),
                Event::InlineHtml(html) if html.starts_with("<!--") => markdown.hide(range),
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) if depth == 0 => {
                    markdown.open_fence = open_fence(text, range);
                }
                _ => {}
            }
            match event {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        // A comment that begins within other HTML continues after its block.
        let Self { headings, hidden, .. } = &mut markdown;
        headings.retain(|heading| {
            let after = hidden.partition_point(|hidden| hidden.end <= heading.range.start);
            hidden.get(after).is_none_or(|hidden| hidden.start > heading.range.start)
        });
        markdown
    }

    /// Notes where a block or an item of a list begins.
    fn note_block(&mut self, event: &Event<'_>, range: &Range<usize>, depth: usize) {
        match event {
            Event::Start(tag) if depth == 0 => {
                let is_paragraph = matches!(tag, Tag::Paragraph);
                self.blocks.push(MarkdownBlock {
                    range: range.clone(),
                    is_paragraph,
                    items: Vec::new(),
                });
            }
            Event::Start(Tag::Item) if depth == 1 => {
                if let Some(list) = self.blocks.last_mut() {
                    list.items.push(range.start);
                }
            }
            _ => {}
        }
    }

    /// Where the front matter ends; 0 if there is none.
    pub(super) fn front_matter_end(&self) -> usize {
        self.hidden.first().filter(|range| range.start == 0).map_or(0, |range| range.end)
    }

    /// Notes the comments of a block of HTML.
    fn comments(&mut self, text: &str, block: Range<usize>) {
        let html = text[block.clone()].trim_start().as_bytes();
        let is = |tag: &&str| {
            html.get(..tag.len()).is_some_and(|b| b.eq_ignore_ascii_case(tag.as_bytes()))
        };
        // The content of these is not HTML. After a comment that is not closed, nothing else
        // matters.
        if ["<script", "<style", "<textarea"].iter().any(is) || self.unclosed_comment.is_some() {
            return;
        }
        let mut at = block.start.max(self.hidden.last().map_or(0, |last| last.end));
        while at < block.end
            && let Some(start) = text[at..block.end].find("<!--").map(|found| at + found)
        {
            // `<!-->` is a whole comment.
            let Some(end) = text[start + 2..].find("-->").map(|found| start + 2 + found + 3) else {
                self.unclosed_comment = Some(start);
                return;
            };
            self.hidden.push(start..end);
            at = end;
        }
    }

    fn hide(&mut self, range: Range<usize>) {
        if self.hidden.last().is_none_or(|last| last.end <= range.start) {
            self.hidden.push(range);
        }
    }

    /// A part of the text without what is hidden in it.
    ///
    /// A comment on lines of its own is removed with its lines, except that the texts around it
    /// stay separate.
    pub(super) fn shown(&self, text: &str, range: Range<usize>) -> String {
        let mut shown = String::with_capacity(range.len());
        let mut at = range.start;
        let first = self.hidden.partition_point(|hidden| hidden.start < range.start);
        for hidden in self.hidden[first..].iter().take_while(|hidden| hidden.end <= range.end) {
            shown.push_str(&text[at..hidden.start]);
            at = hidden.end;
            let line = shown.rfind('\n').map_or(0, |end| end + 1);
            let rest = &text[at..range.end];
            let rest_of_line = &rest[..rest.find('\n').unwrap_or(rest.len())];
            if !shown[line..].trim().is_empty() || !rest_of_line.trim().is_empty() {
                continue;
            }
            shown.truncate(line);
            at += rest_of_line.len();
            if shown.is_empty() || shown.ends_with("\n\n") {
                at +=
                    rest.len() - rest_of_line.len() - after_blank_lines(&text[at..range.end]).len();
            }
        }
        shown.push_str(&text[at..range.end]);
        shown
    }
}

/// A text from its first non-blank line on.
fn after_blank_lines(text: &str) -> &str {
    let start = text.len() - text.trim_start().len();
    &text[text[..start].rfind('\n').map_or(0, |end| end + 1)..]
}

/// The front matter that a text begins with: lines of YAML between `---`, or of TOML between `+++`.
fn front_matter(text: &str) -> Option<Range<usize>> {
    let options = Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let (event, range) = Parser::new_ext(text, options).into_offset_iter().next()?;
    if !matches!(event, Event::Start(Tag::MetadataBlock(_))) || range.start != 0 {
        return None;
    }
    // Text between two horizontal rules looks like front matter, and must not get lost.
    let mut lines = text[range.clone()].lines().map(str::trim_end).skip(1);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let holds = match text.as_bytes()[0] {
        b'+' => first.starts_with('[') || first.contains('='),
        _ => first.ends_with(':') || first.contains(": ") || first.contains(":\t"),
    };
    holds.then_some(range)
}

/// What would close a fence, unless it is closed.
fn open_fence(text: &str, block: Range<usize>) -> Option<String> {
    let code = text[block].trim_end();
    let mark = code.chars().next()?;
    let length = code.chars().take_while(|c| *c == mark).count();
    let last = code.lines().skip(1).last().unwrap_or_default().trim();
    let ended = last.chars().count() >= length && last.chars().all(|c| c == mark);
    (!ended).then(|| mark.to_string().repeat(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Markdown::parse(text).shown(text, 0..text.len())
    }

    #[test]
    fn comments_are_not_shown() {
        for (text, want) in [
            ("One.\n\n<!-- no\n\n## no\n-->\n\nTwo.", "One.\n\nTwo."),
            ("<!-- no -->\nOne.", "One."),
            ("One.\n\n<!-- no -->", "One.\n\n"),
            ("One <!-- no --> two <!-- no\nno --> three.", "One  two  three."),
            ("<div>a<!-- no -->b</div>", "<div>ab</div>"),
            ("> a\n> <!-- no -->\n> b", "> a\n> \n> b"),
            ("One.<!---->Two.<!-->Three.", "One.Two.Three."),
            // Not an underline of the text above.
            ("One.\n<!-- no -->\n---\nTwo.", "One.\n\n---\nTwo."),
            // A comment within other HTML continues after its block, as in a browser.
            ("<div><!-- no\n\n## no\n\n--></div>\n\nTwo.", "<div></div>\n\nTwo."),
        ] {
            assert_eq!(shown(text), want, "{text:?}");
        }
        for whole in [
            "`<!-- code -->`",
            "    <!-- code -->",
            "```html\n<!-- code -->\n```",
            "a \\<!-- text -->",
            "<script>\nlet a = '<!--';\n</script>",
        ] {
            assert_eq!(shown(whole), whole);
            assert_eq!(Markdown::parse(whole).unclosed_comment, None);
        }
    }

    #[test]
    fn an_unclosed_comment_is_shown_and_recorded() {
        let text = "One.\n\n<!-- a\n\nTwo.";
        let markdown = Markdown::parse(text);
        assert_eq!(markdown.unclosed_comment, Some(6));
        assert_eq!(markdown.shown(text, 0..text.len()), text);
        assert_eq!(Markdown::parse("<!-- a -->").unclosed_comment, None);
    }

    #[test]
    fn front_matter_is_not_shown() {
        for matter in
            ["---\ntitle: A\n# b\n---\n", "---\n# a\n\ntags:\n- b\n...\n", "+++\na = 1\n+++\n"]
        {
            assert_eq!(shown(&format!("{matter}\n# A\n")), "# A\n", "{matter:?}");
        }
        for text in
            ["---\n\nOne.\n\n---\n", "---\nOne.\n---\n", "One.\n\n---\na: b\n---\n", "---\na: b"]
        {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn open_fences_are_recorded() {
        let open = |text| Markdown::parse(text).open_fence;
        assert_eq!(open("````\na\n```"), Some("````".to_owned()));
        assert_eq!(open("a\n\n~~~ b"), Some("~~~".to_owned()));
        assert_eq!(open("~~~\n\n~~~~  \n"), None);
        assert_eq!(open("```\na\n```\n\nb"), None);
        assert_eq!(open("- ```\n  a"), None);
    }
}
