//! A text as a model reads it best: a paragraph is one line, and follows its heading.
//!
//! Editors break lines where a window ends, which means nothing; small models were trained on texts
//! without.

/// The text with the lines of each paragraph and of each item of a list joined, and without the
/// empty lines below headings. Code, tables, quotations and broken lines stay as they are.
pub fn unwrapped(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let (mut fence, mut goes_on, mut below_heading) = (None, false, false);
    // What is indented below an item of a list belongs to it.
    let mut in_list = false;
    for line in text.lines() {
        let words = line.trim();
        if let Some(mark) = fence_mark(words) {
            match fence {
                None => fence = Some(mark),
                Some(open) if open == mark => fence = None,
                Some(_) => {}
            }
            lines.push(line.to_owned());
            (goes_on, below_heading) = (false, false);
        } else if fence.is_some() {
            lines.push(line.to_owned());
        } else if words.is_empty() {
            if !below_heading {
                lines.push(String::new());
            }
            goes_on = false;
        } else if !goes_on && !in_list && is_indented(line) {
            lines.push(line.to_owned());
            below_heading = false;
        } else {
            in_list = item_text(words).is_some() || (in_list && line.starts_with([' ', '\t']));
            let joined = lines.last_mut().filter(|_| goes_on && !begins_line(line));
            match joined {
                Some(last) => {
                    last.push(' ');
                    last.push_str(words);
                }
                None => lines.push(line.to_owned()),
            }
            below_heading = is_heading(words);
            let broken = line.ends_with("  ") || line.ends_with('\\');
            goes_on = !below_heading && !broken && !stays_alone(line);
        }
    }
    lines.join("\n").trim_end().to_owned()
}

/// What opens or closes a block of code.
pub fn fence_mark(words: &str) -> Option<char> {
    ['`', '~'].into_iter().find(|mark| words.starts_with(&mark.to_string().repeat(3)))
}

/// Whether a line is one of a block of code without fences.
fn is_indented(line: &str) -> bool {
    line.starts_with("    ") || line.starts_with('\t')
}

fn is_heading(words: &str) -> bool {
    let text = words.trim_start_matches('#');
    (1..=6).contains(&(words.len() - text.len())) && (text.is_empty() || text.starts_with(' '))
}

/// Whether a line never belongs to the one before.
fn begins_line(line: &str) -> bool {
    let words = line.trim_start();
    item_text(words).is_some() || words.starts_with("**") || is_heading(words) || stays_alone(line)
}

/// The text of an item of a list, without its sign or number.
pub fn item_text(words: &str) -> Option<&str> {
    let numbered = words.trim_start_matches(|c: char| c.is_ascii_digit());
    let (rest, signs) = match numbered.len() < words.len() {
        true => (numbered, &[". ", ") "][..]),
        false => (words, &["- ", "* ", "+ "][..]),
    };
    signs.iter().find_map(|sign| rest.strip_prefix(sign))
}

/// Whether a line is one of a table, a quotation, an underline of a heading, or a rule.
pub fn stays_alone(line: &str) -> bool {
    let words = line.trim();
    let of_signs = |sign: char| words.len() > 1 && words.chars().all(|c| c == sign);
    words.starts_with(['|', '>', '<'])
        || words.contains(" | ")
        || ['=', '-', '*', '_'].into_iter().any(of_signs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_paragraph_are_joined_and_headings_are_above_their_text() {
        let text =
            "# A\n\n## B\n\nOne\nline,\ntwo.\n\nThree\n\n- four\n  five\n- six\n1. seven\neight";
        let want = "# A\n## B\nOne line, two.\n\nThree\n\n- four five\n- six\n1. seven eight";
        assert_eq!(unwrapped(text), want);
        assert_eq!(unwrapped(want), want);
        // What is indented in a list is a paragraph of its item.
        let list = "- one\n\n    more\n    words";
        assert_eq!(unwrapped(list), "- one\n\n    more words");
    }

    #[test]
    fn what_has_lines_of_its_own_keeps_them() {
        for text in [
            "```sh\n# not a heading\n\nmake\n```\nThen go.",
            "| a | b |\n|---|---|\n| 1 | 2 |",
            "a | b\n1 | 2",
            "> One\n> two",
            "Title\n=====\nText.",
            "Road 1  \nTown",
            "**Press:** now\n**Wait:** then",
            "Run this:\n\n    cargo build\n    cargo test\n\nThen go.",
        ] {
            assert_eq!(unwrapped(text), text);
        }
    }
}
