//! The date in prompts. A prompt that changes with the day cannot be baked, so it is always the
//! start of 26 July 2024, the day that Llama's templates use when there is no clock.

/// The day in one of Python's formats. The error is the unknown directive.
pub(super) fn fixed_day(format: &str) -> Result<String, String> {
    let (mut text, mut rest) = (String::new(), format.chars());
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut directive = String::from('%');
        let (mut flags, mut letter) = (String::new(), rest.next());
        while let Some(flag) = letter.filter(|c| "-_0^#".contains(*c)) {
            flags.push(flag);
            letter = rest.next();
        }
        directive.push_str(&flags);
        directive.extend(letter);
        let value = letter.and_then(value).ok_or(directive)?;
        text.push_str(&flagged(value, &flags, letter));
    }
    Ok(text)
}

/// What a letter stands for in the C locale. The day has no time zone.
fn value(letter: char) -> Option<&'static str> {
    Some(match letter {
        'a' => "Fri",
        'A' => "Friday",
        'b' | 'h' => "Jul",
        'B' => "July",
        'c' => "Fri Jul 26 00:00:00 2024",
        'C' => "20",
        'd' | 'e' => "26",
        'D' | 'x' => "07/26/24",
        'f' => "000000",
        'F' => "2024-07-26",
        'g' | 'y' => "24",
        'G' | 'Y' => "2024",
        'H' | 'M' | 'S' => "00",
        'I' | 'l' => "12",
        'j' => "208",
        'k' => " 0",
        'm' => "07",
        'n' => "\n",
        'p' => "AM",
        'P' => "am",
        'r' => "12:00:00 AM",
        'R' => "00:00",
        't' => "\t",
        'T' | 'X' => "00:00:00",
        'u' | 'w' => "5",
        'U' => "29",
        'V' | 'W' => "30",
        'z' | 'Z' => "",
        '%' => "%",
        _ => return None,
    })
}

/// The value with the flags of the GNU C library: `-` removes the padding of a number, `_` and
/// `0` choose it, `^` and `#` change the case.
fn flagged(value: &str, flags: &str, letter: Option<char>) -> String {
    let mut value = value.to_owned();
    let number = |text: &str| text.trim_start().chars().all(|c| c.is_ascii_digit());
    for flag in flags.chars() {
        let digits = value.trim_start_matches([' ', '0']).len().max(1);
        let padding = value.len().saturating_sub(digits);
        match flag {
            '-' | '_' | '0' if !number(&value) || value.is_empty() => {}
            '-' => drop(value.drain(..padding)),
            '_' => value.replace_range(..padding, &" ".repeat(padding)),
            '0' => value.replace_range(..padding, &"0".repeat(padding)),
            '#' if letter == Some('p') => value = value.to_lowercase(),
            _ => value = value.to_uppercase(),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_python_give_the_fixed_day() {
        // As `datetime(2024, 7, 26).strftime(…)` writes them.
        for (format, day) in [
            ("%d %b %Y", "26 Jul 2024"),
            ("%-d %B %Y", "26 July 2024"),
            ("%A, %e. %-m. %y", "Friday, 26. 7. 24"),
            ("%Y-%m-%d %H:%M:%S.%f", "2024-07-26 00:00:00.000000"),
            ("%F %T %-H %_H", "2024-07-26 00:00:00 0  0"),
            ("%c|%x|%X", "Fri Jul 26 00:00:00 2024|07/26/24|00:00:00"),
            ("%I %p %j %U %W %V %G %u %w", "12 AM 208 29 30 30 2024 5 5"),
            ("%^a %^B %#p %z%Z", "FRI JULY am "),
            ("100 %% of %B", "100 % of July"),
            ("no letters", "no letters"),
        ] {
            assert_eq!(fixed_day(format).as_deref(), Ok(day), "{format}");
        }
    }

    #[test]
    fn a_letter_that_is_not_known_is_named() {
        for (format, directive) in [("%d %Q", "%Q"), ("%-L", "%-L"), ("%5d", "%5"), ("at %", "%")] {
            assert_eq!(fixed_day(format).unwrap_err(), directive);
        }
    }
}
