//! What the library that reads tokenizers takes on trust: files that would make it panic, or ask
//! for memory that no machine has, are refused beforehand.

use serde::Deserialize;
use serde_json::Value;

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

#[cfg(test)]
mod tests {
    use super::*;

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
