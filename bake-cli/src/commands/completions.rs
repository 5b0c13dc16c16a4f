//! `cargo bake completions`: shell completions for `cargo bake`.
//!
//! The command is called `cargo bake`, so the completion of `cargo` has to know it. Whatever
//! completes `cargo` already still serves everything else.

use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_complete::Generator;
use clap_complete::aot::{Bash, Fish, Zsh};

use crate::args::{Cli, Shell};
use crate::terminal;

/// Calls the completion of `cargo bake` for its words, and the earlier completion of `cargo` for
/// all others.
const BASH: &str = r#"
# The completion of cargo may be loaded only when it is needed.
if ! complete -p cargo &>/dev/null; then
    if declare -F _comp_load >/dev/null; then
        _comp_load cargo
    elif declare -F __load_completion >/dev/null; then
        __load_completion cargo
    fi
fi
_cargo_completed=$(complete -p cargo 2>/dev/null)
if [[ $_cargo_completed == *"-F "* ]]; then
    _cargo_completed=${_cargo_completed#*-F }
    _cargo_completed=${_cargo_completed%% *}
    if [[ $_cargo_completed != _cargo_or_bake ]]; then
        _cargo_without_bake=$_cargo_completed
    fi
fi

# The bakes that are declared here, and the targets of all.
_cargo_bake_names() {
    cargo bake list 2>/dev/null | sed -n 's/^\([^ ]*\) (.*/\1/p'
}
_cargo_bake_targets() {
    cargo bake list 2>/dev/null | sed -n 's/^    \([^ ]*\)  .*/\1/p'
}

# The first word after `cargo bake`, before the one that is being typed, that is neither an option
# nor the value of one.
_cargo_bake_verb() {
    local i
    for (( i = 2; i < COMP_CWORD; i++ )); do
        if [[ ${COMP_WORDS[i]} != -* && $_cargo_bake_valued != *" ${COMP_WORDS[i-1]} "* ]]; then
            printf '%s' "${COMP_WORDS[i]}"
            return
        fi
    done
}

_cargo_or_bake() {
    if [[ ${COMP_WORDS[1]-} == bake ]] && (( COMP_CWORD > 1 )); then
        _cargo_bake "$@"
        local verb words=
        verb=$(_cargo_bake_verb)
        if [[ $3 == --target ]]; then
            COMPREPLY=()
            words=$(_cargo_bake_targets)
        elif [[ $2 == -* || $_cargo_bake_valued == *" $3 "* ]]; then
            :
        elif [[ $verb == explain ]]; then
            words=$(cargo bake explain 2>/dev/null | sed -n 's/^    \([^ ]*\) .*/\1/p')
        elif [[ -z $verb || $_cargo_bake_of_names == *" $verb "* ]]; then
            words=$(_cargo_bake_names)
        fi
        COMPREPLY+=($(compgen -W "$words" -- "$2"))
    elif [[ -n ${_cargo_without_bake-} ]]; then
        "$_cargo_without_bake" "$@"
    elif (( COMP_CWORD == 1 )) && [[ bake == "${COMP_WORDS[1]-}"* ]]; then
        COMPREPLY=(bake)
    fi
}

complete -F _cargo_or_bake -o bashdefault -o default cargo
"#;

pub(crate) fn run(shell: Shell) -> ExitCode {
    let script = match shell {
        Shell::Bash => bash(),
        Shell::Fish => fish(),
        // The completion of cargo for zsh calls `_cargo-bake` by itself.
        Shell::Zsh => generated(Zsh, &mut Cli::command(), "cargo-bake"),
    };
    terminal::print(format_args!("{script}"));
    ExitCode::SUCCESS
}

fn generated(shell: impl Generator, command: &mut Command, name: &str) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// `cargo` with the one command that is completed here.
fn cargo() -> Command {
    let bake = Cli::command().name("bake").bin_name("cargo bake").display_name("cargo-bake");
    Command::new("cargo").disable_help_flag(true).disable_help_subcommand(true).subcommand(bake)
}

fn bash() -> String {
    let script = generated(Bash, &mut cargo(), "cargo");
    // Only the function of the script is used, under another name.
    let function: String = script
        .split_inclusive('\n')
        .take_while(|line| !line.starts_with("if [[") && !line.starts_with("complete "))
        .collect();
    let function = function.replacen("_cargo() {", "_cargo_bake() {", 1);
    let words = |words: Vec<String>| format!("' {} '", words.join(" "));
    let (valued, of_names) = (words(valued()), words(of_names()));
    format!("{function}_cargo_bake_valued={valued}\n_cargo_bake_of_names={of_names}\n{BASH}")
}

/// The options that take a value.
fn valued() -> Vec<String> {
    let command = Cli::command();
    let all = std::iter::once(&command).chain(command.get_subcommands());
    let valued = all.flat_map(Command::get_arguments).filter(|it| it.get_action().takes_values());
    let mut words: Vec<String> = valued
        .flat_map(|it| {
            let short = it.get_short().map(|short| format!("-{short}"));
            short.into_iter().chain(it.get_long().map(|long| format!("--{long}")))
        })
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// The commands that take names of bakes.
fn of_names() -> Vec<String> {
    let command = Cli::command();
    let takes_names = |command: &&Command| {
        let mut places = command.get_positionals();
        places.any(|it| ["name", "names"].contains(&it.get_id().as_str()))
    };
    let commands = command.get_subcommands().filter(takes_names);
    commands.map(|command| command.get_name().to_owned()).collect()
}

fn fish() -> String {
    // The functions get their own names, apart from those of the completion of `cargo`.
    let script = generated(Fish, &mut cargo(), "cargo");
    script.replace("__fish_cargo_", "__fish_cargo_bake_")
}
