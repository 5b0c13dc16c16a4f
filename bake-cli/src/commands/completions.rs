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

# The bakes that are declared here.
_cargo_bake_names() {
    cargo bake list 2>/dev/null | sed -n 's/^\([^ ]*\) (.*/\1/p'
}

_cargo_or_bake() {
    if [[ ${COMP_WORDS[1]-} == bake ]] && (( COMP_CWORD > 1 )); then
        _cargo_bake "$@"
        # A word that is neither an option nor the value of one may be the name of a bake.
        if [[ $2 != -* && $3 != -* ]] && {
            (( COMP_CWORD == 2 )) ||
                [[ " status plan check test show chat vendor push pull export " \
                    == *" ${COMP_WORDS[2]} "* ]]
        }; then
            COMPREPLY+=($(compgen -W "$(_cargo_bake_names)" -- "$2"))
        fi
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
    format!("{}{BASH}", function.replacen("_cargo() {", "_cargo_bake() {", 1))
}

fn fish() -> String {
    // The functions get their own names, apart from those of the completion of `cargo`.
    let script = generated(Fish, &mut cargo(), "cargo");
    script.replace("__fish_cargo_", "__fish_cargo_bake_")
}
