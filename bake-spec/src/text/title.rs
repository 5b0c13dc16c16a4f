//! What a file of a folder is called that does not say so in a heading.

use std::path::Path;

use super::markdown::Markdown;

/// The title of a file unless it begins with a heading of the highest level, without which it would
/// be read as a part of the file before it: what its front matter calls it, or else its name.
pub(super) fn of_untitled(path: &Path, text: &str, markdown: &Markdown) -> Option<String> {
    let first = markdown.headings.first();
    let begins_with = |end| markdown.shown(text, 0..end).trim().is_empty();
    if first.is_some_and(|first| first.level == 1 && begins_with(first.range.start)) {
        return None;
    }
    let declared = declared(&text[..markdown.front_matter_end()]);
    declared.or_else(|| of_name(path))
}

/// The title in some front matter, if it is a plain or quoted text on one line.
fn declared(front_matter: &str) -> Option<String> {
    let sign = match front_matter.as_bytes().first()? {
        b'-' => ':',
        b'+' => '=',
        _ => return None,
    };
    let value = front_matter.lines().find_map(|line| {
        let (key, value) = line.split_once(sign)?;
        (key.trim_end() == "title").then(|| value.trim())
    })?;
    let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    let title = quoted('"').or_else(|| quoted('\'')).unwrap_or(value).trim();
    // The text of a block, a list or a table, or a quotation with more behind it, is not read here.
    let is_text = !title.is_empty() && !title.starts_with(['|', '>', '[', '{', '"', '\'', '&']);
    is_text.then(|| title.to_owned())
}

/// A title of a file's name; of its folder's, where the file is what a folder shows of itself.
fn of_name(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_string_lossy();
    let is_index = ["index", "_index", "readme"].iter().any(|name| stem.eq_ignore_ascii_case(name));
    let folder = path.parent().and_then(Path::file_name).filter(|_| is_index);
    let name = folder.map_or(stem, |folder| folder.to_string_lossy()).replace(['-', '_'], " ");
    let mut letters = name.trim().chars();
    let first = letters.next()?;
    Some(first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> Option<String> {
        of_untitled(Path::new(path), text, &Markdown::parse(text))
    }

    #[test]
    fn a_file_is_called_what_its_heading_its_front_matter_or_its_name_says() {
        for (path, text, title) in [
            ("docs/a.md", "# Shop\nOpen.", None),
            ("docs/a.md", "Shop\n====\nOpen.", None),
            ("docs/a.md", "---\ntitle: Other\n---\n\n<!-- x -->\n# Shop\nOpen.", None),
            ("docs/lost-keys.md", "Ask Bob.", Some("Lost keys")),
            ("docs/lost_keys.md", "## Found\nAsk Bob.", Some("Lost keys")),
            ("docs/lost.keys.md", "Ask Bob.\n\n# More\nAsk Eve.", Some("Lost.keys")),
            ("docs/office/README.md", "Ask Bob.", Some("Office")),
            ("docs/office/_index.md", "Ask Bob.", Some("Office")),
            ("docs/a.md", "---\nnr: 1\ntitle: 'The shop'\n---\nOpen.", Some("The shop")),
            ("docs/a.md", "+++\ntitle = \"The shop\"\n+++\nOpen.", Some("The shop")),
            ("docs/a.md", "---\ntitle: The shop: hours\n---\nOpen.", Some("The shop: hours")),
            ("docs/a.md", "---\nnr: 1\ntitle: >\n  The shop\n---\nOpen.", Some("A")),
            ("docs/a.md", "---\nnr: 1\nmeta:\n  title: No\n---\nOpen.", Some("A")),
            ("docs/a.md", "<!-- title: No -->\nOpen.", Some("A")),
        ] {
            assert_eq!(of(path, text).as_deref(), title, "{path}: {text}");
        }
    }
}
