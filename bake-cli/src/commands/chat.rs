//! `cargo bake chat`: asks the base, the prompted and the baked model.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use bake_runtime::{Adapter, Model, Sampling, load_model, teacher_prompt};
use bake_spec::diagnostics::did_you_mean;
use bake_spec::lock::State;
use bake_spec::recipe::{Recipe, Target};

use super::{NotFound, checkpoint};
use crate::args::{ChatArgs, Common, Who};
use crate::terminal::{Harmless, tell, warning};
use crate::workspace::{Models, packages, select_one};

const HELP: &str = "/base, /prompted [TARGET] and /baked switch models; /quit exits";

pub(crate) fn run(args: &ChatArgs, common: &Common) -> Result<ExitCode> {
    let packages = packages(common)?;
    let (package, found) = select_one(&packages, args.name.as_deref())?;
    let recipe = &found.declared.recipe;
    let target = args.target.as_deref().map(|name| named(recipe, name)).transpose()?;
    let folder = match package.adapter(found.name()) {
        Err(error) if args.who == Who::Baked || args.numbered.checkpoint.is_some() => {
            bail!("{error}, or use --who base")
        }
        folder => folder.map_err(|error| error.to_string()),
    };
    let model = load_model(recipe, common.device)?;
    let adapter = match folder {
        Ok(folder) => {
            let (folder, _) = checkpoint::folder(found.name(), folder, &args.numbered)?;
            Ok(Arc::new(Adapter::load(&folder, &model)?))
        }
        Err(why) => Err(why),
    };
    let state = package.state(found, &mut Models::default())?;
    if adapter.is_ok() && state.state != State::Fresh && !common.quiet {
        warning(format!(
            "{}; answers come from the old bake until you run `cargo bake`",
            package.not_fresh(&state)
        ));
    }
    let mut talk =
        Talk { recipe, model, adapter, who: args.who, target: target.or(recipe.targets.first()) };
    if let Some(question) = &args.ask {
        return match talk.answer(question) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                crate::terminal::error(&error);
                Ok(ExitCode::from(1))
            }
        };
    }
    let asked = std::io::stdin().is_terminal();
    if asked && !common.quiet {
        tell(HELP);
    }
    let mut code = ExitCode::SUCCESS;
    loop {
        if asked {
            anstream::eprint!("{} > ", talk.who());
            std::io::stderr().flush()?;
        }
        let mut line = Vec::new();
        if std::io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
            return Ok(code);
        }
        let line = String::from_utf8(line)
            .map_err(|_| anyhow!("the question is not UTF-8 text; type or save it as UTF-8"));
        match line.and_then(|line| talk.line(line.trim())) {
            Ok(true) => {}
            Ok(false) => return Ok(code),
            // A question that does not fit does not end the chat, whoever asks.
            Err(error) => {
                crate::terminal::error(&error);
                if !asked {
                    code = ExitCode::from(1);
                }
            }
        }
    }
}

fn named<'a>(recipe: &'a Recipe, name: &str) -> Result<&'a Target> {
    let known: Vec<&str> = recipe.targets.iter().map(|target| &*target.name).collect();
    let found = recipe.targets.iter().find(|target| target.name == name);
    let missing = || format!("there is no target `{name}`; {}", did_you_mean(name, &known));
    found.ok_or_else(|| NotFound(missing()).into())
}

struct Talk<'a> {
    recipe: &'a Recipe,
    model: Model,
    /// The adapter, or why there is none.
    adapter: Result<Arc<Adapter>, String>,
    who: Who,
    target: Option<&'a Target>,
}

impl Talk<'_> {
    /// Does what a line says; returns whether to read another.
    fn line(&mut self, line: &str) -> Result<bool> {
        let (word, rest) =
            line.split_once(' ').map_or((line, ""), |(word, rest)| (word, rest.trim()));
        match word {
            "" => {}
            "/quit" | "/exit" | "/q" => return Ok(false),
            "/base" => self.who = Who::Base,
            "/baked" => match &self.adapter {
                Ok(_) => self.who = Who::Baked,
                Err(why) => bail!("{why}"),
            },
            "/prompted" => {
                if !rest.is_empty() {
                    self.target = Some(named(self.recipe, rest)?);
                }
                self.who = Who::Prompted;
            }
            _ if word.starts_with('/') => tell(HELP),
            _ => self.answer(line)?,
        }
        Ok(true)
    }

    fn answer(&self, question: &str) -> Result<()> {
        let prompt = match (self.who, self.target) {
            (Who::Prompted, Some(target)) => teacher_prompt(self.recipe, target)?,
            _ => self.recipe.student.clone(),
        };
        let chat = bake_runtime::Chat::new(self.model.clone(), prompt)
            .with_sampling(Sampling::greedy().max_tokens(self.longest_answer()));
        let chat = match &self.adapter {
            Ok(adapter) if self.who == Who::Baked => chat.with_adapter(adapter.clone())?,
            _ => chat,
        };
        let mut out = std::io::stdout().lock();
        for piece in chat.stream(question)? {
            write!(out, "{}", Harmless(&piece?))?;
            out.flush()?;
        }
        writeln!(out)?;
        Ok(())
    }

    /// The most tokens of an answer: as declared, for a bake those of the target that allows most.
    fn longest_answer(&self) -> usize {
        let context = self.model.config().context();
        let declared = |target: &Target| target.rollout.max_tokens(context);
        match (self.who, self.target) {
            (Who::Prompted, Some(target)) => declared(target),
            _ => self.recipe.targets.iter().map(declared).max().unwrap_or(context),
        }
    }

    fn who(&self) -> String {
        match (self.who, self.target) {
            (Who::Base, _) => "base".to_owned(),
            (Who::Baked, _) => "baked".to_owned(),
            (Who::Prompted, target) => {
                format!("prompted with {}", target.map_or("nothing", |target| &target.name))
            }
        }
    }
}
