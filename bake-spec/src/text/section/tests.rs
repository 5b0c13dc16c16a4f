use proptest::prelude::*;

use super::*;

fn passages(text: &str) -> Vec<String> {
    sections(text).iter().map(Section::passage).collect()
}

#[test]
fn sections_are_cut_where_headings_repeat() {
    assert_eq!(passages("No headings.\nAt all."), ["No headings.\nAt all."]);
    assert_eq!(passages("# Only one\nText."), ["# Only one\nText."]);
    assert_eq!(passages("# A\na\n# B\nb\n## C\nc"), ["# A\na", "# B\nb\n## C\nc"]);
    assert_eq!(
        passages("# T\nIntro.\n## A\na\n```\n## no\n```\n## B"),
        ["# T\n\nIntro.", "# T\n\n## A\na\n```\n## no\n```", "# T\n\n## B"]
    );
    assert_eq!(passages("#hash\n#tag"), ["#hash\n#tag"]);
    assert_eq!(passages(" \n"), [""; 0]);
    assert_eq!(passages("---\na: b\n---"), ["---\na: b\n---"]);
}

#[test]
fn underlined_lines_are_headings() {
    let text = "Bicycle\n=======\n\nChain\n-----\nOil it.\n\nBrake `pads`\n---\nReplace them.\n";
    assert_eq!(
        passages(text),
        [
            "Bicycle\n=======\n\nChain\n-----\nOil it.",
            "Bicycle\n=======\n\nBrake `pads`\n---\nReplace them."
        ]
    );
    let last = &sections(text)[1];
    assert_eq!((last.heading(), last.level()), (Some("Brake pads"), Some(2)));
    assert_eq!(last.titles().collect::<Vec<_>>(), ["Bicycle"]);
    assert!(text[last.range()].starts_with("Brake"));
}

#[test]
fn code_is_never_cut() {
    for code in [
        "~~~sh\n# fetch\n## build\nmake\n~~~",
        "````md\n```\n## no\n```\n## no\n````",
        "```\n~~~\n## no\n## no\n```",
        "    # indented\n    # code",
        "- listed\n  ```\n  # no\n  # no\n  ```",
    ] {
        let text = format!("# Kit\n\n## Make\nSo:\n\n{code}\n\n## Use\nRun it.");
        let want = [format!("# Kit\n\n## Make\nSo:\n\n{code}"), "# Kit\n\n## Use\nRun it.".into()];
        assert_eq!(passages(&text), want);
    }
}

#[test]
fn a_line_between_backticks_opens_no_fence() {
    let text = "# Kit\n\n## Fetch\n```git pull```\n\n## Build\nMake it.\n\n## Ship\nSend it.";
    let headings: Vec<_> = sections(text).iter().map(|s| s.heading().unwrap().to_owned()).collect();
    assert_eq!(headings, ["Fetch", "Build", "Ship"]);
}

#[test]
fn headings_in_comments_lists_and_quotations_begin_no_section() {
    let text = "# Shop\n\n## Open\nAt nine.\n\n<!--\n## Plan\nAt ten?\n-->\n\n## Staff\nTwo.";
    assert_eq!(passages(text), ["# Shop\n\n## Open\nAt nine.", "# Shop\n\n## Staff\nTwo."]);
    let text = "## A\n- # a\n- # b\n\n> # c\n\n## B\n<div>\n# d\n</div>";
    assert_eq!(passages(text), ["## A\n- # a\n- # b\n\n> # c", "## B\n<div>\n# d\n</div>"]);
}

#[test]
fn front_matter_is_part_of_no_section() {
    for matter in
        ["---\nname: Shop\n# a remark\n# and one\n---", "+++\n# a remark\nname = \"Shop\"\n+++"]
    {
        let text = format!("{matter}\n\n# Shop\n\n## Open\nAt nine.\n\n## Staff\nTwo.\n");
        assert_eq!(passages(&text), ["# Shop\n\n## Open\nAt nine.", "# Shop\n\n## Staff\nTwo."]);
        assert!(text[sections(&text)[0].range()].starts_with("## Open"));
    }
    // Horizontal rules do not separate sections, as a second block of front matter would.
    let text = "## A\n\n---\nkind: text\n\n## B\n\n---\n\n## C";
    assert_eq!(passages(text).len(), 3);
}

#[test]
fn each_section_has_the_headings_above_it() {
    let text = "Before.\n# T\nIntro.\n## U\n### a\nA.\n### b\nB.\n#### c\n# X\nNo more.\n### d\nD.";
    // One `#` would do as well: there are two.
    assert_eq!(passages(text).len(), 3);
    let text = "# T\nIntro.\n## U\n### a\nA.\n### b\nB.\n#### c\nC.";
    assert_eq!(
        passages(text),
        ["# T\n\nIntro.", "# T\n## U\n\n### a\nA.", "# T\n## U\n\n### b\nB.\n#### c\nC."]
    );
    let text = "### a\nA.\n### b\nB.\n# T\nOn T.\n### c\nC.";
    assert_eq!(passages(text), ["### a\nA.", "### b\nB.", "# T\n\nOn T.", "# T\n\n### c\nC."]);
}

#[test]
fn tables_and_lists_stay_whole() {
    let body = "| a | b |\n|---|---|\n| # c | d |\n\n1. one\n   ===\n\n   more\n2. two\n   ---";
    let text = format!("## A\n{body}\n## B\nb");
    assert_eq!(passages(&text), [format!("## A\n{body}"), "## B\nb".to_owned()]);
}

/// Lines that Markdown is made of, in any order.
fn markdown() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("# One"),
        Just("## Zwei ä"),
        Just("## Two"),
        Just("### Three #"),
        Just("Text 語."),
        Just("==="),
        Just("---"),
        Just("+++"),
        Just("key: value"),
        Just("```"),
        Just("~~~~ sh"),
        Just("<!--"),
        Just("-->"),
        Just("a <!-- b --> c"),
        Just("<div>"),
        Just("> # quoted"),
        Just("- # listed"),
        Just("  indented"),
        Just("\tcode"),
        Just("| a | b |"),
        Just("|-|-|"),
        Just("[^1]: note"),
        Just("\\"),
        Just(""),
        Just("\u{feff}"),
        Just("\u{2028}"),
        Just("\0"),
    ];
    let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r"), 1 => Just("")];
    let lines = proptest::collection::vec((line, end), 0..24);
    lines.prop_map(|lines| lines.into_iter().map(|(line, end)| format!("{line}{end}")).collect())
}

/// That sections follow one another, and that what is in none of them is hidden, or is a heading
/// above one.
fn check(text: &str) {
    let (found, markdown) = (sections(text), Markdown::parse(text));
    assert_eq!(found.is_empty(), text.trim().is_empty());
    if markdown.shown(text, 0..text.len()).trim().is_empty() {
        assert!(found.iter().all(|section| section.passage() == text.trim()));
        return;
    }
    let mut end = 0;
    let mut left = Vec::new();
    for section in &found {
        let range = section.range();
        assert!(end <= range.start && range.start < range.end, "{found:?}");
        assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end));
        assert_eq!(section.body(), markdown.shown(text, range.clone()).trim());
        assert!(section.passage().ends_with(section.body()));
        left.push(end..range.start);
        end = range.end;
    }
    left.push(end..text.len());
    let level = repeated_level(&markdown.headings).unwrap_or(0);
    for gap in left {
        let mut at = gap.start;
        let titles = markdown.headings.iter().filter(|heading| heading.level < level);
        for title in titles.filter(|heading| gap.contains(&heading.range.start)) {
            assert_eq!(markdown.shown(text, at..title.range.start).trim(), "", "{text:?}");
            at = title.range.end;
        }
        assert_eq!(markdown.shown(text, at..gap.end).trim(), "", "{text:?}");
    }
}

proptest! {
    #[test]
    fn nothing_that_is_shown_is_lost(text in markdown()) {
        check(&text);
    }

    #[test]
    fn any_text_has_sections(text in any::<String>()) {
        check(&text);
    }
}
