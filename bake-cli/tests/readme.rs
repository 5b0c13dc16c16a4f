//! What README names exists.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The lines of the blocks that are written for a shell, without their comments.
fn shell_lines(readme: &str) -> Vec<String> {
    let (mut lines, mut inside) = (Vec::new(), false);
    for line in readme.lines() {
        match line.strip_prefix("```") {
            Some(language) => inside = language == "sh",
            None if inside => {
                let command = line.split(" #").next().unwrap_or_default().trim();
                if !command.is_empty() {
                    lines.push(command.to_owned());
                }
            }
            None => {}
        }
    }
    lines
}

/// The text between backquotes, outside code blocks.
fn quoted(readme: &str) -> Vec<String> {
    let mut outside = true;
    let prose: Vec<&str> = readme
        .lines()
        .filter(|line| {
            outside ^= line.starts_with("```");
            outside && !line.starts_with("```")
        })
        .collect();
    prose.join("\n").split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_verbs_of_cargo_bake_exist() {
    let readme = readme();
    let mut verbs: Vec<String> = Vec::new();
    let said = shell_lines(&readme).into_iter().chain(quoted(&readme));
    for command in said {
        let Some(arguments) = command.strip_prefix("cargo bake ") else { continue };
        let verb = arguments.split_whitespace().next().unwrap_or_default();
        if verb.starts_with(|c: char| c.is_ascii_lowercase()) {
            verbs.push(verb.to_owned());
        }
    }
    verbs.sort();
    verbs.dedup();
    assert!(verbs.len() > 8, "{verbs:?}");
    for verb in verbs {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-bake"));
        let output = command.args(["bake", &verb, "--help"]).output().unwrap();
        assert!(output.status.success(), "there is no `cargo bake {verb}`");
    }
}

/// The code of the engine, with its tests.
fn code(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => self::code(&path, code),
            false => code.push_str(&std::fs::read_to_string(path).unwrap()),
        }
    }
}

#[test]
fn the_tests_of_models_exist() {
    let (readme, mut code) = (readme(), String::new());
    self::code(&root().join("bake-runtime/src"), &mut code);
    let begin = readme.find("| family (`model_type`)").unwrap();
    let section = &readme[begin..begin + readme[begin..].find("How tokens are drawn").unwrap()];
    let others = ["model_type", "gemma3_text", "repetition_penalty"];
    let named: Vec<_> = quoted(section)
        .into_iter()
        .filter(|name| name.contains('_') && name.chars().all(|c| c == '_' || c.is_alphanumeric()))
        .filter(|name| !others.contains(&name.as_str()))
        .collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        assert!(code.contains(&format!("#[test]\nfn {name}() {{")), "no test {name}");
    }
}

#[test]
fn the_scripts_and_examples_exist() {
    let mut found = 0;
    for line in shell_lines(&readme()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for (i, word) in words.iter().enumerate() {
            let word = word.trim_start_matches("\"$(").trim_end_matches(")\"");
            let path = match word {
                "--example" => root().join("examples").join(format!("{}.rs", words[i + 1])),
                "-p" | "--path" => root().join(words[i + 1]).join("Cargo.toml"),
                script if script.starts_with("scripts/") => root().join(script),
                _ => continue,
            };
            found += 1;
            assert!(path.is_file(), "`{line}` names {}, which is missing", path.display());
        }
    }
    assert!(found > 3, "README names only {found} of them");
}
