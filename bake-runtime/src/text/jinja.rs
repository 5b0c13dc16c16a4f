//! Where the tags of a Jinja template are, as the engine reads them.

/// A piece of a template. Tags have their delimiters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Piece<'a> {
    /// Text, a comment, or the inside of a raw block.
    Text(&'a str),
    /// `{{ … }}`
    Expression(&'a str),
    /// `{% … %}`
    Block(&'a str),
}

/// The pieces of a template, in their order.
pub(super) fn pieces(source: &str) -> impl Iterator<Item = Piece<'_>> {
    let (mut rest, mut is_raw) = (source, false);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = if std::mem::take(&mut is_raw) { end_of_raw(rest) } else { opening(rest) };
        let (piece, length) = match at {
            Some(0) if rest.starts_with("{#") => {
                let length = rest[2..].find("#}").map_or(rest.len(), |end| end + 4);
                (Piece::Text(&rest[..length]), length)
            }
            Some(0) if rest.starts_with("{{") => {
                let length = tag(rest, "}}");
                (Piece::Expression(&rest[..length]), length)
            }
            Some(0) => {
                let length = tag(rest, "%}");
                is_raw = opened(&rest[..length])[1].trim() == "raw";
                (Piece::Block(&rest[..length]), length)
            }
            _ => {
                let length = at.unwrap_or(rest.len());
                (Piece::Text(&rest[..length]), length)
            }
        };
        rest = &rest[length..];
        Some(piece)
    })
}

/// What opens a tag, its code, and what closes it. The signs beside the delimiters, which are about
/// white space, belong to these. Where a tag does not end, it has no code.
pub(super) fn opened(tag: &str) -> [&str; 3] {
    let ends = tag.len() >= 4 && (tag.ends_with("}}") || tag.ends_with("%}"));
    if !ends {
        return [tag, "", ""];
    }
    let code = &tag[2..tag.len() - 2];
    let begin = 2 + usize::from(code.starts_with(['-', '+']));
    let end = tag.len() - 2 - usize::from(tag[begin..tag.len() - 2].ends_with(['-', '+']));
    [&tag[..begin], &tag[begin..end], &tag[end..]]
}

/// The bytes of a tag that are not in its strings.
pub(super) fn code_bytes(tag: &str) -> usize {
    let mut rest = tag;
    let mut count = 0;
    while let Some(at) = rest.find(['"', '\'']) {
        count += at + 1;
        rest = &rest[at + string(&rest[at..])..];
    }
    count + rest.len()
}

/// The length of the string that a text begins with, quotes and all.
pub(super) fn string(text: &str) -> usize {
    let quote = text.bytes().next();
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if Some(byte) == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the tag that a text begins with: up to `end` outside of strings and brackets.
fn tag(text: &str, end: &str) -> usize {
    let (mut at, mut open) = (2, 0);
    while let Some(&byte) = text.as_bytes().get(at) {
        match byte {
            _ if open == 0 && text.as_bytes()[at..].starts_with(end.as_bytes()) => {
                return at + end.len();
            }
            b'"' | b'\'' => at += string(&text[at..]) - 1,
            b'(' | b'[' | b'{' => open += 1,
            b')' | b']' | b'}' => open -= 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Where the first tag or comment begins.
fn opening(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|two| matches!(two, b"{{" | b"{%" | b"{#"))
}

/// Where the tag begins that ends a raw block.
fn end_of_raw(text: &str) -> Option<usize> {
    let tags = text.match_indices("{%").map(|(at, _)| at);
    let mut ends = tags.filter(|at| {
        let code = text[at + 2..].trim_start_matches(['-', '+']).trim_start();
        let after = code.strip_prefix("endraw").map(str::trim_start);
        after.is_some_and(|after| after.trim_start_matches(['-', '+']).starts_with("%}"))
    });
    ends.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_template_are_its_text_and_its_tags() {
        use Piece::{Block, Expression, Text};
        for (source, expected) in [
            ("a{{ b }}c", vec![Text("a"), Expression("{{ b }}"), Text("c")]),
            ("{%- if a -%}", vec![Block("{%- if a -%}")]),
            // Brackets and strings may contain what looks like an end.
            ("{{ {'a': {}} }}}", vec![Expression("{{ {'a': {}} }}"), Text("}")]),
            ("{{ '}}\\'' }}b", vec![Expression("{{ '}}\\'' }}"), Text("b")]),
            ("{# {{ #}{{ a }}", vec![Text("{# {{ #}"), Expression("{{ a }}")]),
            (
                "{% raw -%}{{ a }}{%- endraw %}",
                vec![Block("{% raw -%}"), Text("{{ a }}"), Block("{%- endraw %}")],
            ),
            ("{% raw %}{% endraw %}a", vec![Block("{% raw %}"), Block("{% endraw %}"), Text("a")]),
            ("{#}{{ a #}b", vec![Text("{#}{{ a #}"), Text("b")]),
            (
                "{% raw %}{% endrawx %}{%\u{c}endraw%}",
                vec![Block("{% raw %}"), Text("{% endrawx %}"), Block("{%\u{c}endraw%}")],
            ),
            ("{% raw %}{{ a", vec![Block("{% raw %}"), Text("{{ a")]),
            ("{{ a", vec![Expression("{{ a")]),
            ("{{", vec![Expression("{{")]),
            ("", vec![]),
        ] {
            assert_eq!(pieces(source).collect::<Vec<_>>(), expected, "{source}");
        }
        assert_eq!(opened("{%- set a = '-' -%}"), ["{%-", " set a = '-' ", "-%}"]);
        assert_eq!(opened("{{%}}"), ["{{", "%", "}}"]);
        assert_eq!([opened("{{-}}"), opened("{{ a")], [["{{-", "", "}}"], ["{{ a", "", ""]]);
        assert_eq!(code_bytes("{{ 'it\\'s' ~ \"a\" }}"), "{{ ' ~ \" }}".len());
    }
}
