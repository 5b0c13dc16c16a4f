//! Completions of `cargo bake`, in the shells that are installed.

use super::*;

/// What bash offers for these words when the last is being typed, with another completion of
/// `cargo` installed before.
fn offered(script: &str, words: &[&str]) -> Vec<String> {
    let program = format!(
        "cargo() {{\nif [[ $2 == explain ]]; then echo '    B0007 a document'\nelse\n\
         echo 'Office (office, src/main.rs), model tiny'; echo '    keys  50 %'\nfi\n}}\n\
         _before() {{ COMPREPLY=(build); }}\ncomplete -F _before cargo\n{script}\n\
         COMP_WORDS=({})\nCOMP_CWORD={}\n\
         $(complete -p cargo | sed 's/.*-F \\([^ ]*\\).*/\\1/') cargo \
         \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1,
    );
    let output = Command::new("bash").args(["--norc", "-c", &program]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn bash_completes_cargo_bake_and_leaves_the_rest_as_it_was() {
    let script = Package::new().ok(&["completions", "bash"]);
    assert_eq!(offered(&script, &["cargo", "bake", "sta"]), ["status"]);
    assert_eq!(offered(&script, &["cargo", "bake", "show", "roll"]), ["rollouts"]);
    assert_eq!(offered(&script, &["cargo", "bake", "gc", "--dr"]), ["--dry-run"]);
    let all = offered(&script, &["cargo", "bake", ""]);
    assert!(all.contains(&"chat".to_owned()) && all.contains(&"Office".to_owned()), "{all:?}");
    assert_eq!(offered(&script, &["cargo", "bake", "chat", "Off"]), ["Office"]);
    assert_eq!(offered(&script, &["cargo", "bake", "gc", "Off"]), [""]);
    assert_eq!(offered(&script, &["cargo", "bake", "chat", "--ask", "Off"]), [""]);
    assert_eq!(offered(&script, &["cargo", "bake", "--accept", "Off"]), ["Office"]);
    assert_eq!(offered(&script, &["cargo", "bake", "-v", "status", "Off"]), ["Office"]);
    assert_eq!(offered(&script, &["cargo", "bake", "-p", "office", "status", "Off"]), ["Office"]);
    assert_eq!(offered(&script, &["cargo", "bake", "--target", "k"]), ["keys"]);
    assert_eq!(offered(&script, &["cargo", "bake", "explain", "B"]), ["B0007"]);
    assert_eq!(offered(&script, &["cargo", "bui"]), ["build"]);
    assert_eq!(offered(&script, &["cargo", "build", ""]), ["build"]);
    // Reading the script twice changes nothing.
    let twice = format!("{script}{script}");
    assert_eq!(offered(&twice, &["cargo", "bake", "sta"]), ["status"]);
    assert_eq!(offered(&twice, &["cargo", "bui"]), ["build"]);
}

#[test]
fn other_shells_complete_what_cargo_calls() {
    let package = Package::new();
    let fish = package.ok(&["completions", "fish"]);
    assert!(fish.lines().all(|line| !line.contains("complete -c cargo-bake")));
    assert!(
        fish.contains("complete -c cargo -n \"__fish_cargo_bake_using_subcommand bake"),
        "{fish}"
    );
    let zsh = package.ok(&["completions", "zsh"]);
    assert!(zsh.starts_with("#compdef cargo-bake") && zsh.contains("_cargo-bake()"));
    package.fails(&["completions", "elvish"], 2, "possible values: bash, fish, zsh");
}
