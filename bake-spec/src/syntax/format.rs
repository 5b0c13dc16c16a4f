//! Formats the declarations in a Rust source file, which rustfmt leaves as they are.
//!
//! A declaration is read as a row of pieces, its tokens and comments, each exactly as in the
//! source. Formatting only chooses the white space before each piece, so nothing can get lost; this
//! is checked for every declaration all the same.

use std::ops::Range;

use proc_macro2::{LexError, TokenStream, TokenTree};

use crate::error::{Error, ErrorKind};
use crate::settings::{Scope, find, keywords};
use crate::syntax::tokens::check_nesting;

/// The default number of columns in a line, the same as rustfmt's.
pub const WIDTH: usize = 100;

/// The source with every `bake! { … }` in it formatted; everything else is unchanged.
///
/// Formatting changes white space only: tokens and comments stay, in their order, and what is
/// formatted already does not change. Declarations with mistakes are formatted too. Anything in
/// `macro_rules!` or in the arguments of another macro does not change.
///
/// # Errors
///
/// [`ErrorKind::Source`], with the line, when the source does not consist of Rust's tokens, for
/// example because a string or a bracket is not closed.
///
/// # Examples
///
/// ```
/// let formatted = bake_spec::format("bake! { bake Support { lora{rank  8;} } } // ours")?;
/// let lines: Vec<&str> = formatted.lines().collect();
/// assert_eq!(lines[1..4], ["    bake Support {", "        lora { rank 8; }", "    }"]);
/// assert_eq!(lines[4], "} // ours");
/// # Ok::<(), bake_spec::Error>(())
/// ```
pub fn format(source: &str) -> Result<String, Error> {
    format_to(source, WIDTH)
}

/// The same with lines of at most this many columns, where they can be broken.
///
/// # Errors
///
/// Those of [`format()`].
pub fn format_to(source: &str, width: usize) -> Result<String, Error> {
    // The line that names a script's interpreter is not Rust; an attribute of the whole file begins
    // in the same way.
    let interpreter = source
        .trim_start_matches('\u{feff}')
        .strip_prefix("#!")
        .filter(|rest| !rest.trim_start().starts_with('['));
    let (head, text) = source.split_at(interpreter.and(source.find('\n')).unwrap_or(0));
    let tokens: TokenStream = text.parse().map_err(|e: LexError| {
        let line = e.span().start().line;
        let message = format!("line {line} is not valid Rust; run `cargo check`");
        Error::new(ErrorKind::Source, message)
    })?;
    check_nesting(&tokens).map_err(|(span, what)| {
        Error::new(ErrorKind::Source, format!("line {}: {what}", span.start().line))
    })?;
    let pieces = lex(text, tokens);
    let line_end = if source.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n"))
    {
        "\r\n"
    } else {
        "\n"
    };
    let (mut formatted, mut done, mut rest) = (head.to_owned(), 0, pieces.as_slice());
    while !rest.is_empty() {
        let passed = match rest {
            [
                FormatPiece { text: "macro_rules", .. },
                FormatPiece { text: "!", .. },
                _,
                FormatPiece { close, .. },
                ..,
            ] => 4 + close,
            [
                FormatPiece { kind: PieceKind::Word, .. },
                FormatPiece { text: "!", .. },
                FormatPiece { kind: PieceKind::Open, close, .. },
                ..,
            ] => 3 + close,
            _ => 1,
        };
        let (invocation, tail) = rest.split_at_checked(passed).unwrap_or((rest, &[]));
        if let [word @ FormatPiece { text: "bake", .. }, _, body @ ..] = invocation
            && let [open @ FormatPiece { text: "{", .. }, .., close] = body
            && let Some(new) = reprinted(text, word, body, line_end, width)
        {
            formatted += text.get(done..open.start).unwrap_or_default();
            formatted += &new;
            done = close.end();
        }
        rest = tail;
    }
    formatted += text.get(done..).unwrap_or_default();
    Ok(formatted)
}

/// A declaration's braces and what is in them, formatted; nothing if more than white space would
/// change, or if formatting again would change it.
fn reprinted(
    text: &str,
    word: &FormatPiece<'_>,
    body: &[FormatPiece<'_>],
    line_end: &str,
    width: usize,
) -> Option<String> {
    let line = |end: usize| text.get(..end).and_then(|before| before.rsplit('\n').next());
    let (indented, before) = (line(word.start)?, line(body.first()?.start)?);
    let indent = indented.get(..indented.len() - indented.trim_start_matches([' ', '\t']).len())?;
    let print = |pieces: &[FormatPiece<'_>]| {
        let printer = Printer {
            pieces,
            indent,
            line_end,
            width,
            printed: before.to_owned(),
            ..Printer::default()
        };
        printer.print().split_off(before.len())
    };
    let new = print(body);
    let again = lex(&new, new.parse().ok()?);
    let same = body.iter().map(|p| (p.kind, p.text)).eq(again.iter().map(|p| (p.kind, p.text)));
    (same && print(&again) == new).then_some(new)
}

/// A token or a comment.
struct FormatPiece<'a> {
    kind: PieceKind,
    /// As in the source.
    text: &'a str,
    /// The byte at which it begins.
    start: usize,
    /// The white space before it.
    white: &'a str,
    /// For an opening delimiter: how many pieces further on the closing one is.
    close: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum PieceKind {
    Word,
    /// An operator of one or several characters.
    Mark,
    Open,
    Close,
    Doc,
    Comment,
}

impl FormatPiece<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    fn begins_line(&self) -> bool {
        self.white.contains('\n')
    }

    /// Whether an item begins with it at the beginning of a line, even if the item before lacks its
    /// semicolon.
    fn begins_item(&self) -> bool {
        let keyword =
            || Scope::ALL.into_iter().flat_map(keywords).any(|keyword| keyword == self.text);
        matches!(self.text, "#" | "pub" | "bake")
            || self.kind == PieceKind::Doc
            || find(Scope::TargetHead, self.text).is_none() && keyword()
    }
}

/// The pieces of a text, of which these are the tokens.
fn lex(text: &str, tokens: TokenStream) -> Vec<FormatPiece<'_>> {
    let mut pieces: Vec<FormatPiece<'_>> = Vec::new();
    let mut groups = vec![(tokens.into_iter(), None)];
    while let Some((trees, opened)) = groups.last_mut() {
        match trees.next() {
            // A documentation comment becomes several tokens, all of them at its place.
            Some(tree)
                if tree.span().byte_range().start < pieces.last().map_or(0, FormatPiece::end) => {}
            Some(TokenTree::Group(group)) => {
                push(text, &mut pieces, PieceKind::Open, group.span_open().byte_range());
                groups.push((group.stream().into_iter(), Some((pieces.len(), group.span_close()))));
            }
            Some(tree) => {
                let (range, mark) = (tree.span().byte_range(), matches!(tree, TokenTree::Punct(_)));
                let kind = if !mark {
                    PieceKind::Word
                } else if range.len() > 1 {
                    PieceKind::Doc
                } else {
                    PieceKind::Mark
                };
                push(text, &mut pieces, kind, range);
            }
            None => {
                let Some((inside, span)) = opened.take() else { break };
                push(text, &mut pieces, PieceKind::Close, span.byte_range());
                let close = pieces.len() - inside;
                pieces.get_mut(inside - 1).into_iter().for_each(|open| open.close = close);
                groups.pop();
            }
        }
    }
    pieces
}

/// Adds a token, and the comments before it: between two tokens there are only comments and white
/// space.
fn push<'a>(
    text: &'a str,
    pieces: &mut Vec<FormatPiece<'a>>,
    token: PieceKind,
    range: Range<usize>,
) {
    if let Some(last) = pieces.last_mut()
        && (last.kind, token, last.end()) == (PieceKind::Mark, PieceKind::Mark, range.start)
        && let Some(joint) = text
            .get(last.start..range.end)
            .filter(|joint| !joint.contains([';', ',']) && *joint != "=:")
    {
        return last.text = joint;
    }
    let mut added = PieceKind::Comment;
    while added == PieceKind::Comment {
        let end = pieces.last().map_or(0, FormatPiece::end);
        let gap = text.get(end..range.start).unwrap_or_default();
        let (white, comment) = gap.split_at(gap.find('/').unwrap_or(gap.len()));
        let (kind, text) = match comment.get(..2) {
            Some("//") => {
                (PieceKind::Comment, comment.lines().next().unwrap_or(comment).trim_end())
            }
            Some(_) => (PieceKind::Comment, block_comment(comment)),
            None => (token, text.get(range.clone()).unwrap_or_default().trim_end_matches('\r')),
        };
        pieces.push(FormatPiece { kind, text, start: end + white.len(), white, close: 0 });
        added = kind;
    }
}

/// The comment at the beginning of a text, including the comments nested in it.
fn block_comment(text: &str) -> &str {
    let (mut depth, mut end) = (0, 0);
    for (i, pair) in text.as_bytes().windows(2).enumerate() {
        match pair {
            _ if i < end => {}
            _ if depth == 0 && end > 0 => break,
            b"/*" => (depth, end) = (depth + 1, i + 2),
            b"*/" => (depth, end) = (depth - 1, i + 2),
            _ => {}
        }
    }
    text.get(..end).unwrap_or(text)
}

/// Whether there is no space between two pieces.
fn glued(left: &FormatPiece<'_>, right: &FormatPiece<'_>) -> bool {
    let (after_word, before_word) = (left.kind == PieceKind::Word, right.kind == PieceKind::Word);
    match (left.text, right.text) {
        _ if right.kind == PieceKind::Comment => false,
        (_, ";" | "," | ")" | "]") | ("(" | "[", _) | ("{", "}") | ("#" | "#!", "[") => true,
        (";" | "," | "=" | "=>" | "{" | "}", _) | (_, "=" | "=>" | "{" | "}") => false,
        ("::" | ".." | "..=", _) if before_word => true,
        (_, "::" | ".." | "..=" | "!" | "(") if after_word => true,
        ("-", number) if number.starts_with(|c: char| c.is_ascii_digit()) => true,
        // With other operators, the author knows better.
        _ => {
            right.white.is_empty()
                && (left.kind == PieceKind::Mark || right.kind == PieceKind::Mark)
        }
    }
}

/// What is between two delimiters: one line, items on a line each, or a list, whose lines are the
/// author's unless they are too long.
#[derive(Clone, Copy, PartialEq)]
enum LineLayout {
    Line,
    Items,
    List,
}

#[derive(Default)]
struct Printer<'a> {
    pieces: &'a [FormatPiece<'a>],
    indent: &'a str,
    line_end: &'a str,
    /// The columns of a line.
    width: usize,
    printed: String,
    layouts: Vec<LineLayout>,
    /// How deep the head of a target or an anchor is, while it is printed.
    head: Option<usize>,
    /// Whether each of the delimiters around a piece belongs to a clause of such a head.
    clauses: Vec<bool>,
    /// Whether only the documentation, attributes and comments of an item have been printed so far.
    at_start: bool,
    /// Whether the item is too long for a line, so that the author's line breaks in it stay.
    long: bool,
}

impl<'a> Printer<'a> {
    fn print(mut self) -> String {
        let mut left: Option<&FormatPiece<'_>> = None;
        for (i, piece) in self.pieces.iter().enumerate() {
            let items = self.layouts.last() == Some(&LineLayout::Items);
            if let Some(left) = left {
                self.at_start |= items
                    && piece.begins_line()
                    && (left.kind != PieceKind::Mark || left.text == ",")
                    && piece.begins_item();
                self.space(i, left, piece);
            }
            let of_attribute =
                piece.text.starts_with('#') || left.is_some_and(|left| left.text.starts_with('#'));
            if items
                && self.at_start
                && !of_attribute
                && matches!(piece.kind, PieceKind::Word | PieceKind::Mark | PieceKind::Open)
            {
                let head = self.up_to(i, &[";", "{", "}", "[", "]"]);
                self.long = head.iter().any(|piece| piece.kind == PieceKind::Comment)
                    || !self.fits(0, head);
                self.at_start = false;
                let head = matches!(piece.text, "target" | "anchor");
                self.head = head.then_some(self.layouts.len());
            }
            let mut in_head = false;
            match piece.kind {
                PieceKind::Open => {
                    let clause = self.head == Some(self.layouts.len())
                        && left.is_some_and(|left| matches!(left.text, "prompt" | "student"));
                    self.clauses.push(clause);
                    self.layouts.push(self.layout(i, piece, of_attribute));
                }
                PieceKind::Close => {
                    self.layouts.pop();
                    in_head = self.clauses.pop() == Some(true);
                    if in_head {
                        self.head = Some(self.layouts.len());
                        self.at_start = false;
                    }
                }
                _ => {}
            }
            self.at_start |= matches!(piece.text, ";" | "{" | "}")
                && !in_head
                && self.layouts.last() == Some(&LineLayout::Items);
            self.printed += piece.text;
            left = Some(piece);
        }
        self.printed
    }

    fn space(&mut self, i: usize, left: &FormatPiece<'_>, piece: &FormatPiece<'_>) {
        if !self.breaks(i, left, piece) {
            return self.printed += if glued(left, piece) { "" } else { " " };
        }
        let ends = self
            .pieces
            .iter()
            .skip(i)
            .find(|piece| piece.kind != PieceKind::Comment)
            .is_none_or(|piece| piece.kind == PieceKind::Close);
        let continued = self.layouts.last() == Some(&LineLayout::Items) && !self.at_start && !ends;
        let groups = self.layouts.iter().filter(|layout| **layout != LineLayout::Line).count();
        let depth = groups + usize::from(continued) - usize::from(piece.kind == PieceKind::Close);
        let empty_line = left.kind != PieceKind::Open
            && piece.kind != PieceKind::Close
            && piece.white.matches('\n').count() > 1;
        self.printed += &self.line_end.repeat(1 + usize::from(empty_line));
        self.printed += self.indent;
        // Nothing deeper is a declaration, and it could fill the memory with white space.
        self.printed += &"    ".repeat(depth.min(16));
    }

    /// Whether a line ends between two pieces.
    fn breaks(&self, i: usize, left: &FormatPiece<'_>, piece: &FormatPiece<'_>) -> bool {
        let first = piece.begins_line();
        let ends_line = piece.kind == PieceKind::Comment
            && !first
            && self.pieces.get(i + 1).is_some_and(FormatPiece::begins_line);
        match self.layouts.last() {
            None | Some(LineLayout::Line) => false,
            _ if ends_line => false,
            _ if left.kind == PieceKind::Open || piece.kind == PieceKind::Close => true,
            _ if left.text.starts_with("//")
                || left.kind == PieceKind::Doc
                || piece.kind == PieceKind::Comment && first =>
            {
                true
            }
            _ if glued(left, piece) || left.kind == PieceKind::Comment && !first => false,
            Some(LineLayout::Items) => self.at_start || self.long && first,
            Some(LineLayout::List) => first || !self.fits(1, self.up_to(i, &[",", ")", "]", "}"])),
        }
    }

    fn layout(&self, i: usize, open: &FormatPiece<'_>, of_attribute: bool) -> LineLayout {
        let group = self.pieces.get(i..=i + open.close).unwrap_or_default();
        let [_, .., last, _] = group else { return LineLayout::Line };
        let brace = open.text == "{";
        let broken =
            (brace || last.text == ",") && group.iter().skip(1).any(FormatPiece::begins_line);
        // A list is followed by a semicolon.
        let room = of_attribute || !broken && self.fits(usize::from(!brace), group);
        let headed = self.pieces.get(i.saturating_sub(2)..=i + open.close).unwrap_or_default();
        let bake = headed.windows(3).any(|pieces| {
            matches!(
                pieces,
                [FormatPiece { text: "bake", .. }, _, FormatPiece { text: "{", close: 2.., .. }]
            )
        });
        match self.layouts.last() {
            Some(LineLayout::Line) => LineLayout::Line,
            _ if room
                && !bake
                && !group
                    .iter()
                    .any(|piece| matches!(piece.kind, PieceKind::Comment | PieceKind::Doc)) =>
            {
                LineLayout::Line
            }
            _ if brace => LineLayout::Items,
            _ => LineLayout::List,
        }
    }

    /// From a piece to the first of these.
    fn up_to(&self, i: usize, ends: &[&str]) -> &'a [FormatPiece<'a>] {
        let rest = self.pieces.get(i..).unwrap_or_default();
        rest.split_inclusive(|piece| ends.contains(&piece.text)).next().unwrap_or_default()
    }

    /// Whether there is room for the pieces on the line, after some columns that are printed first.
    fn fits(&self, before: usize, pieces: &[FormatPiece<'_>]) -> bool {
        let mut column =
            before + self.printed.rsplit('\n').next().map_or(0, |line| line.chars().count());
        let mut left: Option<&FormatPiece<'_>> = None;
        pieces.iter().all(|piece| {
            column += usize::from(left.replace(piece).is_some_and(|left| !glued(left, piece)))
                + piece.text.chars().count();
            column <= self.width && !piece.text.contains('\n')
        })
    }
}

#[cfg(test)]
mod tests;
