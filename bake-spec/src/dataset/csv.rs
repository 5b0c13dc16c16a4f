//! Questions in comma-separated values (RFC 4180).

use csv::{ReaderBuilder, StringRecord, Trim};

use super::read::Wrong;

/// The questions in one column.
pub(super) fn questions(text: &str, field: &str) -> Result<Vec<String>, Wrong> {
    let lines = lines_of_records(text)?;
    // Fields are counted here, for a better message.
    let mut reader =
        ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(text.as_bytes());
    let malformed = |e: csv::Error| Wrong {
        line: e.position().map_or(1, |position| position.line() as usize),
        what: format!("malformed CSV: {e}"),
    };
    let header = reader.headers().map_err(malformed)?.clone();
    let Some(&first) = lines.first().filter(|_| !is_blank(&header)) else {
        return Ok(Vec::new());
    };
    let column = column(&header, field).map_err(|what| Wrong { line: first, what })?;
    let mut questions = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(malformed)?;
        let line = lines.get(number + 1).copied().unwrap_or_default();
        if is_blank(&record) {
            continue;
        }
        if record.len() != header.len() {
            let what = format!(
                "expected {} fields, as in the first line, found {}; put text that contains \
                 commas between quotes",
                header.len(),
                record.len()
            );
            return Err(Wrong { line, what });
        }
        if record[column].is_empty() {
            let what = format!(
                "the column `{field}` is empty; write a question there, or delete the line"
            );
            return Err(Wrong { line, what });
        }
        questions.push(record[column].to_owned());
    }
    Ok(questions)
}

/// Whether there is nothing but white space.
fn is_blank(record: &StringRecord) -> bool {
    record.len() <= 1 && record.iter().all(str::is_empty)
}

/// The index of the only column with this name.
fn column(header: &StringRecord, field: &str) -> Result<usize, String> {
    let mut columns = header.iter().enumerate().filter(|(_, name)| *name == field).map(|(i, _)| i);
    let Some(column) = columns.next() else {
        let names: Vec<String> = header.iter().map(|name| format!("`{name}`")).collect();
        let separated = header.len() == 1 && header[0].contains([';', '\t']);
        let hint = if separated { "; separate columns by commas" } else { "" };
        return Err(format!(
            "there is no column `{field}`; the first line names {}{hint}",
            names.join(", ")
        ));
    };
    match columns.next() {
        Some(_) => Err(format!("two columns are named `{field}`; rename one of them")),
        None => Ok(column),
    }
}

/// The line in which each record begins; the first is the header's.
///
/// Checks what the reader tolerates, so that it would take several fields for one: a quote that is
/// not closed, and text beside quotes.
fn lines_of_records(text: &str) -> Result<Vec<usize>, Wrong> {
    enum QuoteState {
        Start,
        Spaces,
        Plain,
        /// After a quote on this line.
        Quoted(usize),
        /// After what may have been its end.
        Closed,
    }
    let (mut at, mut line) = (QuoteState::Start, 1);
    // The reader skips empty lines.
    let (mut lines, mut is_first) = (Vec::new(), true);
    let wrong = |line, what: &str| Err(Wrong { line, what: what.to_owned() });
    for c in text.chars() {
        if is_first && c != '\n' {
            lines.push(line);
        }
        is_first = c == '\n' && !matches!(at, QuoteState::Quoted(_));
        at = match (at, c) {
            (QuoteState::Quoted(_), '"') => QuoteState::Closed,
            (QuoteState::Quoted(line), _) => QuoteState::Quoted(line),
            (QuoteState::Closed, '"') => QuoteState::Quoted(line),
            (_, ',' | '\n') => QuoteState::Start,
            (QuoteState::Start, '"') => QuoteState::Quoted(line),
            (QuoteState::Spaces, '"') => {
                return wrong(line, "there are spaces before a quote; delete them");
            }
            (QuoteState::Closed, c) if !c.is_whitespace() => {
                return wrong(
                    line,
                    "there is text after a closing quote; write a quote within quotes twice \
                     (\"\"), or close the one that opens before it",
                );
            }
            (QuoteState::Start | QuoteState::Spaces, ' ' | '\t') => QuoteState::Spaces,
            (QuoteState::Closed, _) => QuoteState::Closed,
            _ => QuoteState::Plain,
        };
        line += usize::from(c == '\n');
    }
    match at {
        QuoteState::Quoted(line) => wrong(line, "the quote that opens here is not closed"),
        _ => Ok(lines),
    }
}
