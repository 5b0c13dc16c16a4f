//! The outline of a text: the words in it that say what its parts are about.

use std::collections::HashSet;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::text::normalised_question;

/// Words that stand out in a text and say what follows is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// The words, without markup and numbering.
    pub words: String,
    /// How they stand out.
    pub kind: LeadKind,
}

/// How words stand out in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeadKind {
    /// A heading.
    Heading,
    /// A question, as in a FAQ.
    Question,
    /// A term with what it means: of a definition list, before a colon, or in bold letters.
    Term,
    /// The first cell of a row, or what another cell of the row is called.
    Cell,
    /// The text of a link.
    Link,
}

/// The most words of a question or a heading, of a term, and of a cell or a link.
const QUESTION: usize = 30;
const TERM: usize = 8;
const CELL: usize = 6;

/// What stands out in a Markdown text, in its order, each once.
///
/// ```
/// use bake_spec::text::outline::leads;
///
/// let table = "| part | price |\n|---|---|\n| lid | 5 € |";
/// let text = format!("## 2. Care\n\n**Cleaning.** Use a cloth.\n\n{table}");
/// let words: Vec<String> = leads(&text).into_iter().map(|lead| lead.words).collect();
/// assert_eq!(words, ["Care", "Cleaning", "lid", "price of lid"]);
/// ```
pub fn leads(text: &str) -> Vec<Lead> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_DEFINITION_LIST;
    let mut reader = OutlineReader::default();
    for event in Parser::new_ext(text, options) {
        reader.read(event);
    }
    reader.found
}

/// What is known while a text is read.
#[derive(Default)]
struct OutlineReader {
    found: Vec<Lead>,
    seen: HashSet<String>,
    /// The words of the heading, paragraph, term or cell that is being read.
    line: String,
    /// Where in it a bold text begins, and where the text of a link does.
    strong: Option<usize>,
    link: Option<usize>,
    /// Whether a bold text was at the beginning of it.
    led: bool,
    /// The names of a table's columns, and the cells of its row so far.
    columns: Vec<String>,
    row: Vec<String>,
    in_code: bool,
}

impl OutlineReader {
    fn read(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(words) if !self.in_code => self.line.push_str(&words),
            Event::Code(words) => self.line.push_str(&words),
            Event::SoftBreak | Event::HardBreak => self.line.push('\n'),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::CodeBlock(_) => self.in_code = true,
            Tag::Strong => self.strong = Some(self.line.len()),
            Tag::Link { .. } => self.link = Some(self.line.len()),
            Tag::Table(_) => self.columns.clear(),
            Tag::TableHead | Tag::TableRow => self.row.clear(),
            // An item without paragraphs ends where a list in it begins.
            Tag::List(_) => self.paragraph(),
            Tag::Heading { .. }
            | Tag::Paragraph
            | Tag::Item
            | Tag::TableCell
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition => self.begin(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::CodeBlock => self.in_code = false,
            TagEnd::Strong => self.bold(),
            TagEnd::Link => self.linked(),
            TagEnd::Heading(_) => self.heading(),
            TagEnd::Paragraph | TagEnd::Item | TagEnd::DefinitionListDefinition => self.paragraph(),
            TagEnd::DefinitionListTitle => {
                let words = std::mem::take(&mut self.line);
                self.add(&words, LeadKind::Term, TERM);
            }
            TagEnd::TableCell => self.row.push(std::mem::take(&mut self.line)),
            TagEnd::TableHead => self.columns = std::mem::take(&mut self.row),
            TagEnd::TableRow => self.table_row(),
            _ => {}
        }
    }

    fn begin(&mut self) {
        self.line.clear();
        (self.strong, self.link, self.led) = (None, None, false);
    }

    fn heading(&mut self) {
        let words = std::mem::take(&mut self.line);
        let kind = if words.trim().ends_with('?') { LeadKind::Question } else { LeadKind::Heading };
        self.add(&words, kind, QUESTION);
    }

    /// A paragraph can begin with a question, or with a term and a colon.
    fn paragraph(&mut self) {
        let words = std::mem::take(&mut self.line);
        let led = std::mem::take(&mut self.led);
        let first = words.lines().next().unwrap_or_default().trim();
        let first = ["Q:", "Q.", "Question:"]
            .iter()
            .find_map(|mark| first.strip_prefix(mark))
            .unwrap_or(first);
        if let Some(end) = first.find('?') {
            let question = &first[..=end];
            // Not a question in the middle of the text.
            if !question.contains(['.', '!']) {
                self.add(question, LeadKind::Question, QUESTION);
            }
        } else if let Some((term, rest)) = first.split_once(": ").or(first.split_once(" – "))
            && !led
            && !rest.trim().is_empty()
            && !term.contains(['.', ',', '!'])
        {
            self.add(term, LeadKind::Term, TERM);
        }
    }

    /// A bold text at the beginning of a paragraph leads into it.
    fn bold(&mut self) {
        let Some(start) = self.strong.take() else { return };
        if self.line[..start].trim().is_empty() {
            let words = self.line[start..].to_owned();
            let kind = match words.trim().ends_with('?') {
                true => LeadKind::Question,
                false => LeadKind::Term,
            };
            self.led = true;
            self.add(&words, kind, if kind == LeadKind::Term { TERM } else { QUESTION });
        }
    }

    fn linked(&mut self) {
        let Some(start) = self.link.take() else { return };
        let words = self.line[start..].to_owned();
        let says_nothing = ["here", "click here", "this page", "link", "read more"];
        if !words.contains("://") && !says_nothing.contains(&&*normalised_question(&words)) {
            self.add(&words, LeadKind::Link, CELL);
        }
    }

    fn table_row(&mut self) {
        let row = std::mem::take(&mut self.row);
        let Some((first, rest)) = row.split_first() else { return };
        let columns = self.columns.clone();
        if !self.add(first, LeadKind::Cell, CELL) {
            return;
        }
        for (column, cell) in columns.iter().skip(1).zip(rest) {
            // "Price (EUR)" is the price.
            let name = column.split('(').next().unwrap_or_default().trim();
            if !name.is_empty() && !cell.trim().is_empty() {
                self.add(&format!("{name} of {}", first.trim()), LeadKind::Cell, 2 * CELL);
            }
        }
    }

    /// Adds words unless they are too many, none, or there already; returns whether they were
    /// added.
    fn add(&mut self, words: &str, kind: LeadKind, most: usize) -> bool {
        let words = cleaned(words);
        let count = words.split(' ').filter(|word| word.contains(char::is_alphabetic)).count();
        let new = (1..=most).contains(&count) && self.seen.insert(normalised_question(&words));
        if new {
            self.found.push(Lead { words, kind });
        }
        new
    }
}

/// Words without a number before them, a mark after them, and line ends in them.
fn cleaned(words: &str) -> String {
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let numbered = words.trim_start_matches(|c: char| c.is_ascii_digit() || ". §".contains(c));
    let mut rest = words.as_str();
    // "2.1 Care" and "3) Care" are numbered, "3 days" and "2FA" are not.
    let number = &words[..words.len() - numbered.len()];
    if let Some(after) = numbered.strip_prefix(')') {
        rest = after;
    } else if number.contains(['.', '§']) && number.ends_with(' ') {
        rest = numbered;
    }
    let mut rest = rest.trim();
    for mark in ["Q:", "Question:", "Step", "Chapter", "Section", "Part", "Appendix"] {
        let Some(after) = rest.strip_prefix(mark) else { continue };
        let after = after.trim_start();
        let number = after.split([' ', ':', '.']).next().unwrap_or_default();
        let is_number = !number.is_empty()
            && (number.len() == 1 || number.chars().all(|c| c.is_ascii_digit()))
            && after.len() > number.len();
        if mark.ends_with(':') {
            rest = after;
        } else if is_number {
            rest = after[number.len()..].trim_start_matches([':', '.', ' ', '–', '-']);
        }
    }
    rest.trim_end_matches([':', '.', ',', ';', '–', '-', ' ']).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, LeadKind)> {
        leads(text).into_iter().map(|lead| (lead.words, lead.kind)).collect()
    }

    #[track_caller]
    fn check(text: &str, want: &[(&str, LeadKind)]) {
        let found = found(text);
        let found: Vec<(&str, LeadKind)> = found.iter().map(|(w, k)| (w.as_str(), *k)).collect();
        assert_eq!(found, want, "{text}");
    }

    #[test]
    fn headings_lose_their_markup_and_their_numbers() {
        use LeadKind::{Heading, Question};
        check("## 2.1 *Battery* life:\nLong.", &[("Battery life", Heading)]);
        check("# Chapter 3: The `lamp`", &[("The lamp", Heading)]);
        check("## 3 days in Rome", &[("3 days in Rome", Heading)]);
        check("## 2FA\n## § 5 Fees", &[("2FA", Heading), ("Fees", Heading)]);
        check("### Can I swim with it?\nYes.", &[("Can I swim with it?", Question)]);
        check("## Part numbers", &[("Part numbers", Heading)]);
        check("## 42", &[]);
    }

    #[test]
    fn questions_and_terms_lead_into_paragraphs() {
        use LeadKind::{Question, Term};
        check("Q: Can I return it?\nA: Yes.", &[("Can I return it?", Question)]);
        check("**Who pays?** You do.", &[("Who pays?", Question)]);
        check("It works. Or does it? It does.", &[]);
        check("**Spare keys.** Ask Bob. **Bob** is in.", &[("Spare keys", Term)]);
        check("- Deposit: two rents\n- Notice: 3 months", &[("Deposit", Term), ("Notice", Term)]);
        check("1. **Lid**: turn it.\n2. Wait.", &[("Lid", Term)]);
        check("Fuse\n: Breaks a circuit.", &[("Fuse", Term)]);
        check("He said this, and more: nothing.", &[]);
    }

    #[test]
    fn tables_have_their_first_column_and_what_it_has() {
        use LeadKind::Cell;
        let text =
            "| Plan | Price (EUR) | Room |\n|---|---|---|\n| Basic | 5 | 10 GB |\n| Pro | 9 | |";
        check(
            text,
            &[
                ("Basic", Cell),
                ("Price of Basic", Cell),
                ("Room of Basic", Cell),
                ("Pro", Cell),
                ("Price of Pro", Cell),
            ],
        );
    }

    #[test]
    fn links_count_if_they_say_something_and_code_does_not() {
        check("See [the price list](a.md) or [here](b.md).", &[("the price list", LeadKind::Link)]);
        check("```\n# no: yes\n```\n\n    Q: no?", &[]);
        check("# Twice\n## twice!", &[("Twice", LeadKind::Heading)]);
    }

    #[test]
    fn any_text_has_an_outline() {
        for text in ["", "|", "**", "- \n  - **a", "[](", "| a |\n|---|\n|", "Q:", "?", "**?**"] {
            leads(text);
        }
    }
}
