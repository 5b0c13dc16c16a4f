use super::*;

fn of(name: &str, text: &str, field: &str) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let format = Format::of(name).unwrap_or(Format::Lines);
    read(&path, name, format, field, None).map(|read| read.questions).map_err(|e| e.to_string())
}

/// That a file is refused with these words.
fn refused(name: &str, text: &str, what: &str) {
    let error = of(name, text, "question").unwrap_err();
    assert!(error.contains(what), "{error}");
}

const WANT: [&str; 2] = ["Where is my key?", "Who, \"Bob\"?"];

#[test]
fn what_the_system_says_of_a_file_is_kept() {
    // Longer than the name of any file.
    let error = read(Path::new(&"a".repeat(5000)), "a", Format::Lines, "question", None);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dataset);
    assert!(error.to_string().starts_with("cannot read the dataset a: "), "{error}");
    assert!(error.get_ref().unwrap().is::<std::io::Error>());
}

#[test]
fn lines_are_questions() {
    let text = "\u{feff}Where is my key?\r\n\r\n Who, \"Bob\"?\r\n";
    assert_eq!(of("a.txt", text, "").unwrap(), WANT);
    assert_eq!(of("a.txt", &text.replace('\n', ""), "").unwrap(), WANT);
    refused("a.txt", " \n\n", "a.txt contains no questions");
}

#[test]
fn json_objects_contain_questions() {
    let json = "{\"q\": \"Where is my key?\", \"n\": 1}\n \n{\"q\": \" Who, \\\"Bob\\\"?\"}\n";
    assert_eq!(of("a.jsonl", json, "q").unwrap(), WANT);
    let marked = format!("\u{feff}{}", json.replace('\n', "\r\n"));
    assert_eq!(of("a.ndjson", &marked, "q").unwrap(), WANT);
}

#[test]
fn json_without_a_question_is_named_with_its_line() {
    refused(
        "a.jsonl",
        "{\"question\": \"Why?\"}\n\n{\"answer\": \"So.\"}",
        "a.jsonl, line 3: there is no field `question`; the line has `answer`",
    );
    for (value, is) in [
        ("7", "a number"),
        ("null", "null"),
        ("true", "a boolean"),
        ("[\"Why?\"]", "a list"),
        ("{\"en\": \"Why?\"}", "an object"),
    ] {
        let text = format!("{{\"question\": {value}}}");
        let what = format!("a.jsonl, line 1: the field `question` is {is}, not a string");
        refused("a.jsonl", &text, &what);
    }
    refused("a.jsonl", "{\"question\": \" \"}", "line 1: the field `question` is empty");
    let nul = "the field `question` contains a NUL character";
    refused("a.jsonl", "{\"question\": \"Why?\\u0000\"}", nul);
    let twice = "line 1: the field `question` appears twice";
    refused("a.jsonl", "{\"question\": \"Why?\", \"question\": \"Who?\"}", twice);
    refused("a.jsonl", "{\"question\": \"Why?\"\n", "line 1: not JSON");
    refused("a.jsonl", "{\"question\": \"Why?\"} {}", "line 1: not JSON");
    refused("a.jsonl", "[]", "line 1: not a JSON object");
    refused("a.jsonl", "\r\n\r\n{}", "line 3: there is no field `question`; the line has none");
    refused("a.jsonl", "\n", "contains no questions");
}

#[test]
fn columns_contain_questions() {
    let csv = "n,question\n1,Where is my key?\n\n 2 ,\"Who, \"\"Bob\"\"?\" \n";
    assert_eq!(of("a.CSV", csv, "question").unwrap(), WANT);
    let marked = format!("\u{feff}{}", csv.replace('\n', "\r\n"));
    assert_eq!(of("a.csv", &marked, "question").unwrap(), WANT);
    let quotes = "question\n  \nHow wide is a 5\" disk?\n\"In\ntwo lines?\"\n";
    let want = ["How wide is a 5\" disk?", "In\ntwo lines?"];
    assert_eq!(of("a.csv", quotes, "question").unwrap(), want);
    // Only the column that is read needs a unique name.
    assert_eq!(of("a.csv", "a,a,question\n1,2,Why?", "question").unwrap(), ["Why?"]);
}

#[test]
fn what_is_wrong_in_columns_is_named_with_its_line() {
    refused(
        "a.csv",
        "q,a\nWhy?,So.",
        "a.csv, line 1: there is no column `question`; the first line names `q`, `a`",
    );
    refused("a.csv", "question;a\nWhy?;So.", "separate columns by commas");
    refused(
        "a.csv",
        "question,a,question\nWhy?,So.,Who?",
        "line 1: two columns are named `question`",
    );
    refused("a.csv", "question,a\nWhy?,So.\n,So.\n", "line 3: the column `question` is empty");
    refused(
        "a.csv",
        "question,a\nWhy?,So.\n\nWhy?\n",
        "line 4: expected 2 fields, as in the first line, found 1",
    );
    refused(
        "a.csv",
        "question,a\nWhy, oh why?,So.\n",
        "line 2: expected 2 fields, as in the first line, found 3",
    );
    refused("a.csv", "question\n\n", "contains no questions");
    refused("a.csv", "", "contains no questions");
}

#[test]
fn quotes_that_make_one_field_of_several_are_named_with_their_line() {
    refused(
        "a.csv",
        "question,a\nWhy?,So.\n\"Who?,Bob.\nWhere?,Here.\n",
        "a.csv, line 3: the quote that opens here is not closed",
    );
    refused(
        "a.csv",
        "question,a\n\"Why?,So.\n\"Who?\",Bob.\n",
        "line 3: there is text after a closing quote",
    );
    refused(
        "a.csv",
        "a,question\n1, \"Why, oh why?\"\n",
        "line 2: there are spaces before a quote",
    );
}

#[test]
fn a_file_that_is_missing_or_not_text_is_named() {
    let missing = read(Path::new("no/such.csv"), "no/such.csv", Format::Csv, "question", None);
    let missing = missing.unwrap_err();
    assert!(missing.to_string().contains("the dataset no/such.csv does not exist"), "{missing}");
    assert_eq!(missing.kind(), ErrorKind::Dataset);
    refused("a.csv", "q\0u\0", "the dataset a.csv contains a NUL byte on line 1");
}

#[test]
fn only_the_first_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.txt");
    std::fs::write(&path, "a\nb\nc").unwrap();
    assert_eq!(read(&path, "a.txt", Format::Lines, "", Some(2)).unwrap().questions, ["a", "b"]);
}
