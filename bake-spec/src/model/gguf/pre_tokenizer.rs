//! How texts are cut into words before their bytes are merged, by the names that GGUF files have
//! for it.

use serde_json::{Value, json};

/// What is done with a text before it is merged.
pub(super) struct PreTokenizer {
    /// As in a `tokenizer.json`.
    pub(super) normalizer: Value,
    /// As in a `tokenizer.json`.
    pub(super) splits: Value,
    /// Whether a word that is a token is taken as it is.
    pub(super) ignore_merges: bool,
}

/// GPT-4's, with groups of this many digits.
macro_rules! words {
    ($digits:literal) => {
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|",
            $digits,
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
}

/// Words that change from capitals to small letters once, with or without an ending such as `'ll`.
macro_rules! capitals {
    ($ending:literal, $digits:literal) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
            $ending,
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
            $ending,
            "|",
            $digits,
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
}

const LLAMA3: &str = words!(r"\p{N}{1,3}");
const QWEN2: &str = words!(r"\p{N}");
const TEKKEN: &str = capitals!("", r"\p{N}");
const GPT4O: &str = capitals!(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"\p{N}{1,3}");

/// What llama.cpp does with files that were made before it knew of others, pattern by pattern.
const DEFAULT: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];

impl PreTokenizer {
    /// The names of those that are read.
    pub(super) const NAMES: [&str; 11] = [
        "llama-bpe",
        "llama3",
        "llama-v3",
        "qwen2",
        "smollm",
        "gpt-2",
        "tekken",
        "gpt-4o",
        "dbrx",
        "smaug-bpe",
        "default",
    ];

    /// The name of the one that does this; none if the format has no name for it.
    pub(super) fn name(
        normalizer: &Value,
        splits: &Value,
        ignore_merges: bool,
    ) -> Option<&'static str> {
        Self::NAMES.into_iter().find(|name| {
            Self::of(name).is_some_and(|known| {
                known.normalizer == *normalizer
                    && known.splits == *splits
                    && known.ignore_merges == ignore_merges
            })
        })
    }

    /// The one with a name; none if it is not read.
    pub(super) fn of(name: &str) -> Option<Self> {
        let plain = |splits: &[&str]| Self {
            normalizer: Value::Null,
            splits: by_patterns(splits),
            ignore_merges: false,
        };
        Some(match name {
            "llama-bpe" | "llama3" | "llama-v3" => Self { ignore_merges: true, ..plain(&[LLAMA3]) },
            // The second is what files of SmolLM3 say.
            "dbrx" | "smaug-bpe" => plain(&[LLAMA3]),
            "qwen2" => Self { normalizer: json!({"type": "NFC"}), ..plain(&[QWEN2]) },
            "tekken" => Self { ignore_merges: true, ..plain(&[TEKKEN]) },
            "gpt-4o" => plain(&[GPT4O]),
            "gpt-2" => Self { splits: bytes(true), ..plain(&[]) },
            "smollm" => {
                let digits = json!({"type": "Digits", "individual_digits": true});
                Self { splits: sequence(vec![digits, bytes(true)]), ..plain(&[]) }
            }
            "default" => plain(&DEFAULT),
            _ => return None,
        })
    }
}

/// Cut by patterns, one after the other, and then into bytes.
fn by_patterns(patterns: &[&str]) -> Value {
    let split = |pattern: &&str| {
        let pattern = json!({"Regex": pattern});
        json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false})
    };
    sequence(patterns.iter().map(split).chain([bytes(false)]).collect())
}

/// Into bytes, after being cut as GPT-2 does it or not.
fn bytes(cut: bool) -> Value {
    json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": cut
    })
}

fn sequence(all: Vec<Value>) -> Value {
    json!({"type": "Sequence", "pretokenizers": all})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_be_read_is_read() {
        assert!(PreTokenizer::NAMES.into_iter().all(|name| PreTokenizer::of(name).is_some()));
        assert!(PreTokenizer::of("falcon").is_none());
    }
}
