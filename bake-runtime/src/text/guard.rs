//! What the libraries that read tokenizers and templates take on trust: files that would make them
//! panic, overflow the stack, or ask for memory that no machine has, are refused beforehand.

use serde::Deserialize;
use serde_json::Value;

use super::jinja::{self, Piece};

/// The most bytes of one tag of a template apart from its strings. Expressions are parsed and
/// compiled recursively, as deep as they have operators.
const LONGEST_TAG: usize = 2048;

/// The key of a table of characters in tokenizers that were made by SentencePiece.
const CHARACTER_MAP: &str = "precompiled_charsmap";

/// The tokens that a `tokenizer.json` adds to its vocabulary. The library that reads them numbers
/// them itself, and only warns where the file has other numbers.
#[derive(Debug, Deserialize)]
pub(crate) struct DeclaredTokens {
    #[serde(default)]
    added_tokens: Vec<AddedTokenEntry>,
}

#[derive(Debug, Deserialize)]
struct AddedTokenEntry {
    id: u32,
    content: String,
}

impl DeclaredTokens {
    /// Refuses tokens that do not have the numbers that the file gives them.
    pub(crate) fn check(&self, id_of: impl Fn(&str) -> Option<u32>) -> Result<(), String> {
        for AddedTokenEntry { id, content } in &self.added_tokens {
            match id_of(content) {
                Some(other) if other != *id => {
                    return Err(format!(
                        "gives the token {content:?} the number {id}, but it is number {other}; \
                         fetch it again"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Refuses a `tokenizer.json` that is not JSON, or whose table of characters is malformed.
pub(crate) fn check_tokenizer(json: &[u8]) -> Result<DeclaredTokens, String> {
    let added = serde_json::from_slice(json)
        .map_err(|e| format!("is not a tokenizer in the Hugging Face format: {e}"))?;
    // Most have none, and are not parsed a second time.
    let key = CHARACTER_MAP.as_bytes();
    if !json.windows(key.len()).any(|window| window == key) {
        return Ok(added);
    }
    let value = serde_json::from_slice(json).map_err(|e| format!("is not valid JSON: {e}"))?;
    check_character_maps(&value)?;
    Ok(added)
}

fn check_character_maps(value: &Value) -> Result<(), String> {
    match value {
        Value::Array(values) => values.iter().try_for_each(check_character_maps),
        Value::Object(object) => object.iter().try_for_each(|(key, value)| match value {
            Value::String(map) if key == CHARACTER_MAP => match is_character_map(map) {
                true => Ok(()),
                false => Err(format!("has a malformed `{CHARACTER_MAP}`; fetch it again")),
            },
            _ => check_character_maps(value),
        }),
        _ => Ok(()),
    }
}

/// Whether this is, in base 64, the size of a trie in four bytes, the trie, and UTF-8.
fn is_character_map(base64: &str) -> bool {
    let Some(bytes) = decode_base64(base64) else { return false };
    let Some((size, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let size = u32::from_le_bytes(*size) as usize;
    size.is_multiple_of(4)
        && rest.split_at_checked(size).is_some_and(|(_, text)| std::str::from_utf8(text).is_ok())
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() / 4 * 3 + 2), 0u32, 0);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

/// Statements of Jinja that read other templates. No model comes with several that belong together,
/// and the library that compiles them takes on trust what follows.
const READS_OTHERS: [&str; 4] = ["extends", "from", "import", "include"];

/// The most `elif`s of a template. Each is compiled within the one before it.
const MOST_ELIFS: usize = 500;

/// Refuses a template with an expression that is too long to be compiled, or that reads another
/// one.
pub(crate) fn check_template(source: &str) -> Result<(), String> {
    let (mut line, mut elifs) = (1, 0);
    for piece in jinja::pieces(source) {
        let (Piece::Text(text) | Piece::Expression(text) | Piece::Block(text)) = piece;
        let code = if piece == Piece::Text(text) { 0 } else { jinja::code_bytes(text) };
        if code > LONGEST_TAG {
            return Err(format!(
                "has a tag of {code} bytes in line {line}; at most {LONGEST_TAG} are read, not \
                 counting strings"
            ));
        }
        if let Piece::Block(tag) = piece {
            let code = jinja::opened(tag)[1].trim_start();
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
    fn long_strings_are_not_long_expressions() {
        let long = "x".repeat(10 * LONGEST_TAG);
        for fine in [
            format!("{{{{ '{long}' ~ \"it's \\\" {long}\" }}}} {long} {{% if a %}}{long}"),
            "{{ a }}".repeat(LONGEST_TAG),
            format!("{{{{ {} }}}}", "a ".repeat(LONGEST_TAG / 2 - 10)),
        ] {
            check_template(&fine).unwrap();
        }
        let refused = check_template(&format!("\n\n{{% if a{} %}}", ".a".repeat(LONGEST_TAG / 2)));
        assert!(refused.unwrap_err().contains("in line 3"));
        let minuses = "-".repeat(LONGEST_TAG + 1);
        check_template(&format!("{{{{ {minuses}")).unwrap_err();
        // The tag goes on behind the end of what is in it, but not that of a comment.
        check_template(&format!("{{{{ {{'a': {{}}}} {minuses} }}}}")).unwrap_err();
        check_template(&format!("{{# {{{{ #}} {minuses}")).unwrap();
    }

    #[test]
    fn a_template_reads_no_other() {
        let refused = check_template("\n{%- import 'a' as b - c %}").unwrap_err();
        assert!(refused.starts_with("has `import` in line 2"), "{refused}");
        for word in READS_OTHERS {
            check_template(&format!("{{%+ {word} 'a' %}}")).unwrap_err();
            check_template(&format!("{{{{ {word} }}}}{{% if {word} %}}")).unwrap();
        }
    }

    #[test]
    fn each_elif_is_compiled_within_the_one_before_it() {
        check_template(&"{% elif a %}".repeat(MOST_ELIFS)).unwrap();
        let refused =
            check_template(&"{%- elif(a) %}\n{% elif a %}".repeat(MOST_ELIFS)).unwrap_err();
        assert!(refused.contains("more than 500 `elif`s"), "{refused}");
    }

    #[test]
    fn character_maps_have_their_size() {
        assert_eq!(decode_base64("TWFueQ==").unwrap(), b"Many");
        assert_eq!(decode_base64("TWE").unwrap(), b"Ma");
        assert!(decode_base64("T*").is_none());
        // A trie of four bytes, and `a`.
        assert!(is_character_map("BAAAAAAAAABh"));
        assert!(!is_character_map("CAAAAAAAAABh"));
        assert!(!is_character_map("AAA"));
        let of = |map: &str| format!("{{\"normalizers\": [{{\"{CHARACTER_MAP}\": \"{map}\"}}]}}");
        check_tokenizer(of("BAAAAAAAAABh").as_bytes()).unwrap();
        assert!(check_tokenizer(of("AAAA////").as_bytes()).unwrap_err().contains("malformed"));
        let added = br#"{"added_tokens": [{"id": 7, "content": "<s>"}]}"#;
        let added = check_tokenizer(added).unwrap();
        added.check(|_| Some(7)).unwrap();
        assert!(added.check(|_| Some(8)).unwrap_err().contains("the number 7"));
        assert!(check_tokenizer(b"{\"model\":").unwrap_err().contains("is not a tokenizer"));
    }
}
