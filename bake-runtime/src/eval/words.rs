//! The words and numbers of a text, for comparing answers as a person would.

use unicode_segmentation::UnicodeSegmentation as _;

/// A word or a number in its plain form, or where a clause ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// In lower case, with plain quotes; a number without the separators of its thousands.
    Word(String),
    /// A full stop, a comma, a blank line: what separates clauses.
    Break,
}

/// Symbols that change what a number or a name means.
const SYMBOLS: [char; 14] = ['%', '‰', '°', '+', '=', '&', '@', '$', '€', '£', '¥', '₹', '¢', '#'];

/// Endings of ordinal numbers, which are not numbers with a unit.
const ORDINALS: [&str; 4] = ["st", "nd", "rd", "th"];

/// Text with plain quotes and dashes, in folded case.
pub(crate) fn folded(text: &str) -> String {
    // Upper case first, so that `ß` and `SS` are the same.
    plain(text).to_lowercase().to_uppercase().to_lowercase().replace('ς', "σ")
}

/// Text with plain quotes, dashes and spaces.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter_map(plain_char).collect()
}

fn plain_char(c: char) -> Option<char> {
    match c {
        '‘' | '’' | '‚' | '‛' | 'ʼ' | '′' | '＇' | '`' | '´' => Some('\''),
        '“' | '”' | '„' | '‟' | '«' | '»' | '″' => Some('"'),
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' | '－' => Some('-'),
        // Narrow spaces, across which Unicode joins words.
        '\u{2009}' | '\u{202f}' => Some('\u{a0}'),
        // Soft hyphens, joiners and other invisible marks.
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => None,
        c => Some(c),
    }
}

/// The words, numbers and ends of clauses of a text.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let text = folded(text);
    let mut reader = Reader { tokens: Vec::new(), parts: text.split_word_bounds().collect() };
    let mut at = 0;
    while at < reader.parts.len() {
        at = reader.read(at);
    }
    reader.tokens
}

/// The words and numbers alone.
pub(crate) fn words(text: &str) -> Vec<String> {
    let word = |token| match token {
        Token::Word(word) => Some(word),
        Token::Break => None,
    };
    tokens(text).into_iter().filter_map(word).collect()
}

/// Whether these words appear in a text one after the other. A word may have a possessive ending
/// there.
pub(crate) fn contains(text: &[String], asked: &[String]) -> bool {
    text.windows(asked.len().max(1)).any(|there| are(there, asked))
}

/// Whether these words are the first of a text, in the same way.
pub(crate) fn begins(text: &[String], asked: &[String]) -> bool {
    text.get(..asked.len()).is_some_and(|first| are(first, asked))
}

/// Whether these words are the last of a text, in the same way.
pub(crate) fn ends(text: &[String], asked: &[String]) -> bool {
    let begin = text.len().checked_sub(asked.len());
    begin.is_some_and(|begin| are(&text[begin..], asked))
}

fn are(there: &[String], asked: &[String]) -> bool {
    let same = |(there, asked): (&String, &String)| {
        there.strip_prefix(asked.as_str()).is_some_and(|rest| ["", "'s", "'"].contains(&rest))
    };
    there.iter().zip(asked).all(same)
}

struct Reader<'a> {
    tokens: Vec<Token>,
    /// The text between the bounds of Unicode's words (UAX 29).
    parts: Vec<&'a str>,
}

impl Reader<'_> {
    /// Reads the item that begins at a part, and returns where the next begins.
    fn read(&mut self, at: usize) -> usize {
        let part = self.parts[at];
        if part.starts_with(|c: char| c.is_numeric()) {
            return self.number(at);
        }
        if part.contains(char::is_alphanumeric) {
            self.letters(part);
            return at + 1;
        }
        let blank_line = part.contains('\n')
            && self.parts[at + 1..]
                .iter()
                .take_while(|next| next.trim().is_empty())
                .any(|next| next.contains('\n'));
        match part.chars().next() {
            Some('.' | '!' | '?' | ';' | ':' | ',' | '…' | '。' | '、' | '，') => {
                self.tokens.push(Token::Break);
            }
            _ if blank_line => self.tokens.push(Token::Break),
            Some(c) if SYMBOLS.contains(&c) => self.tokens.push(Token::Word(part.to_owned())),
            _ => {}
        }
        at + 1
    }

    /// A word, which Unicode does not cut at a full stop or an underscore between letters.
    fn letters(&mut self, part: &str) {
        let words = part.split(['.', ':', '_', '·']).map(|word| word.trim_matches('\''));
        self.tokens
            .extend(words.filter(|word| !word.is_empty()).map(|word| Token::Word(word.to_owned())));
    }

    /// A number, which may have a sign, and continue across spaces between its thousands, and
    /// across the signs of a time, a fraction or a version.
    fn number(&mut self, begin: usize) -> usize {
        let signed = begin > 0
            && self.parts[begin - 1] == "-"
            && (begin == 1 || self.parts[begin - 2].trim().is_empty());
        let mut text = if signed { "-".to_owned() } else { String::new() };
        text.push_str(self.parts[begin]);
        let mut at = begin + 1;
        while let Some([joint, next]) = self.parts.get(at..at + 2) {
            let digits = next.starts_with(|c: char| c.is_numeric());
            let thousands =
                *joint == "\u{a0}" && next.len() == 3 && text.ends_with(|c: char| c.is_numeric());
            if digits && (thousands || [":", "/", "."].contains(joint)) {
                text.push_str(if thousands { "" } else { joint });
                text.push_str(next);
                at += 2;
            } else {
                break;
            }
        }
        self.push_number(&text);
        at
    }

    fn push_number(&mut self, text: &str) {
        // "25GB": a unit of several letters may directly follow its number. "12b" is the name of a
        // room.
        let digits = text.find(char::is_alphabetic).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let is_unit = unit.chars().count() > 1
            && unit.chars().all(char::is_alphabetic)
            && !ORDINALS.contains(&unit);
        let (number, unit) = if is_unit { (number, unit) } else { (text, "") };
        let parts: Vec<&str> = match number.split([',', ';']).count() {
            // "1,2,3" is a list, unless it is 1,200,300.
            3.. if without_thousands(number).is_none() => number.split([',', ';']).collect(),
            _ => vec![number],
        };
        for number in parts.into_iter().filter(|number| !number.is_empty()) {
            let number = without_thousands(number).unwrap_or_else(|| number.to_owned());
            self.tokens.push(Token::Word(number));
        }
        if !unit.is_empty() {
            self.tokens.push(Token::Word(unit.to_owned()));
        }
    }
}

/// The number without its thousands' separators, if it has any: commas or apostrophes before
/// groups of three digits.
fn without_thousands(number: &str) -> Option<String> {
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(w, f)| (w, Some(f)));
    let separator = [',', '\''].into_iter().find(|separator| whole.contains(*separator))?;
    let mut groups = whole.strip_prefix('-').unwrap_or(whole).split(separator);
    let digits = |group: &str| group.chars().all(|c| c.is_ascii_digit());
    let first = groups.next()?;
    let fits = (1..=3).contains(&first.len())
        && digits(first)
        && groups.all(|group| group.len() == 3 && digits(group));
    fits.then(|| {
        let whole = whole.replace(separator, "");
        fraction.map_or(whole.clone(), |fraction| format!("{whole}.{fraction}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_are_read_as_they_are_meant() {
        for (text, want) in [
            ("Press the\nside button.", "press|the|side|button"),
            ("_side_ button.Then **wait**", "side|button|then|wait"),
            ("It won’t; it “can”.", "it|won't|it|can"),
            ("12 days, 2.5 days", "12|days|2.5|days"),
            ("1,000 or 1'000 or 1\u{202f}000 or 1000", "1000|or|1000|or|1000|or|1000"),
            ("1,234,567.89", "1234567.89"),
            ("1,2,3 and 2,5", "1|2|3|and|2,5"),
            ("at 9:30 on 1/2", "at|9:30|on|1/2"),
            ("-5 °C, 3-4", "-5|°|c|3|4"),
            ("25GB in room 12b on the 2nd", "25|gb|in|room|12b|on|the|2nd"),
            ("20% or $5", "20|%|or|$|5"),
            ("STRASSE straße ΣΊΣΥΦΟΣ", "strasse|strasse|σίσυφοσ"),
            ("co\u{ad}operate", "cooperate"),
            ("日本", "日|本"),
            ("…, ' -", ""),
        ] {
            assert_eq!(words(text).join("|"), want, "{text}");
        }
    }

    #[test]
    fn clauses_end_at_punctuation_and_blank_lines() {
        let of = |text: &str| {
            let text = tokens(text).into_iter().map(|token| match token {
                Token::Word(word) => word,
                Token::Break => "/".to_owned(),
            });
            text.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("One two.\nThree, four"), "one two / three / four");
        assert_eq!(of("One\ntwo"), "one two");
        assert_eq!(of("One\n \n two"), "one / two");
    }
}
