//! Where the tags of a Jinja template are, as minijinja reads them, and which templates it can be
//! trusted with.

/// The most bytes of one tag of a template apart from its strings. Expressions are parsed and
/// compiled recursively, as deep as they have operators.
const LONGEST_TAG: usize = 2048;

/// Statements of Jinja that read other templates. No model comes with several that belong together,
/// and the library that compiles them takes on trust what follows.
const READS_OTHERS: [&str; 4] = ["extends", "from", "import", "include"];

/// The most `elif`s of a template. Each is compiled within the one before it.
const MOST_ELIFS: usize = 500;

/// A piece of a template. Tags have their delimiters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece<'a> {
    /// Text, a comment, or the inside of a raw block.
    Text(&'a str),
    /// `{{ … }}`
    Expression(&'a str),
    /// `{% … %}`
    Block(&'a str),
}

/// The pieces of a template, in their order.
pub fn pieces(source: &str) -> impl Iterator<Item = Piece<'_>> {
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
pub fn opened(tag: &str) -> [&str; 3] {
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
pub fn code_bytes(tag: &str) -> usize {
    let mut rest = tag;
    let mut count = 0;
    while let Some(at) = rest.find(['"', '\'']) {
        count += at + 1;
        rest = &rest[at + string(&rest[at..])..];
    }
    count + rest.len()
}

/// The length of the string that a text begins with, quotes and all.
pub fn string(text: &str) -> usize {
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

/// Refuses a template that is too long or too deep to be compiled, or that reads another one.
///
/// # Errors
/// With what is wrong, such as "has `import` in line 2, but …".
pub fn check(source: &str) -> Result<(), String> {
    let (mut line, mut elifs) = (1, 0);
    for piece in pieces(source) {
        let (Piece::Text(text) | Piece::Expression(text) | Piece::Block(text)) = piece;
        let code = if piece == Piece::Text(text) { 0 } else { code_bytes(text) };
        if code > LONGEST_TAG {
            return Err(format!(
                "has a tag of {code} bytes in line {line}; at most {LONGEST_TAG} are read, not \
                 counting strings"
            ));
        }
        if let Piece::Block(tag) = piece {
            let code = opened(tag)[1].trim_start();
            let word = code.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
            if READS_OTHERS.contains(&word) {
                return Err(format!(
                    "has `{word}` in line {line}, but there is no other template that it could read"
                ));
            }
            elifs += usize::from(word == "elif");
            if elifs > MOST_ELIFS {
                return Err(format!(
                    "has more than {MOST_ELIFS} `elif`s; that in line {line} is one \
                     too many"
                ));
            }
        }
        line += text.matches('\n').count();
    }
    Ok(())
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

    #[test]
    fn long_strings_are_not_long_expressions() {
        let long = "x".repeat(10 * LONGEST_TAG);
        for fine in [
            format!("{{{{ '{long}' ~ \"it's \\\" {long}\" }}}} {long} {{% if a %}}{long}"),
            "{{ a }}".repeat(LONGEST_TAG),
            format!("{{{{ {} }}}}", "a ".repeat(LONGEST_TAG / 2 - 10)),
        ] {
            check(&fine).unwrap();
        }
        let refused = check(&format!("\n\n{{% if a{} %}}", ".a".repeat(LONGEST_TAG / 2)));
        assert!(refused.unwrap_err().contains("in line 3"));
        let minuses = "-".repeat(LONGEST_TAG + 1);
        check(&format!("{{{{ {minuses}")).unwrap_err();
        // The tag goes on behind the end of what is in it, but not that of a comment.
        check(&format!("{{{{ {{'a': {{}}}} {minuses} }}}}")).unwrap_err();
        check(&format!("{{# {{{{ #}} {minuses}")).unwrap();
    }

    #[test]
    fn a_template_reads_no_other() {
        let refused = check("\n{%- import 'a' as b - c %}").unwrap_err();
        assert!(refused.starts_with("has `import` in line 2"), "{refused}");
        for word in READS_OTHERS {
            check(&format!("{{%+ {word} 'a' %}}")).unwrap_err();
            check(&format!("{{{{ {word} }}}}{{% if {word} %}}")).unwrap();
        }
    }

    #[test]
    fn each_elif_is_compiled_within_the_one_before_it() {
        check(&"{% elif a %}".repeat(MOST_ELIFS)).unwrap();
        let refused = check(&"{%- elif(a) %}\n{% elif a %}".repeat(MOST_ELIFS)).unwrap_err();
        assert!(refused.contains("more than 500 `elif`s"), "{refused}");
    }
}
