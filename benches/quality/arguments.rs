//! What is measured, as it was asked for.

use std::error::Error;
use std::path::PathBuf;
use std::str::FromStr;

use crate::document::{Half, TestDocument};

/// What was asked for.
pub(crate) struct Arguments {
    pub(crate) model: String,
    pub(crate) halves: Vec<Half>,
    pub(crate) pattern: String,
    pub(crate) seeds: u64,
    pub(crate) limit: usize,
    pub(crate) json: Option<PathBuf>,
    pub(crate) store: PathBuf,
    pub(crate) fresh: bool,
    pub(crate) unchecked: bool,
    /// How it is trained: each document is baked with all of these.
    pub(crate) trainings: Vec<Training>,
}

/// A setting of the training; what is not given is as by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Training {
    pub(crate) epochs: Option<u64>,
    /// The learning rate times the model's hidden size.
    pub(crate) rate: Option<f64>,
    /// The epochs within which each answer is trained on at least once.
    pub(crate) rehearse: Option<u64>,
}

impl Arguments {
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut arguments = Self {
            model: "tiny".to_owned(),
            halves: Half::BOTH.to_vec(),
            pattern: "*".to_owned(),
            seeds: 3,
            limit: usize::MAX,
            json: None,
            store: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("quality"),
            fresh: false,
            unchecked: false,
            trainings: Vec::new(),
        };
        let (mut epochs, mut rates, mut rehearsals) = (vec![None], vec![None], vec![None]);
        while let Some(option) = given.next() {
            match option.as_str() {
                "--fresh" => {
                    arguments.fresh = true;
                    continue;
                }
                "--unchecked" => {
                    arguments.unchecked = true;
                    continue;
                }
                _ => {}
            }
            let value = given.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--model" => arguments.model = value,
                "--half" => arguments.halves = halves(&value)?,
                "--documents" => arguments.pattern = value,
                "--seeds" => arguments.seeds = number(&option, &value)?,
                "--limit" => arguments.limit = number(&option, &value)?,
                "--epochs" => epochs = numbers(&option, &value)?,
                "--rates" => rates = numbers(&option, &value)?,
                "--rehearse" => rehearsals = numbers(&option, &value)?,
                "--json" => arguments.json = Some(value.into()),
                "--store" => arguments.store = value.into(),
                _ => return Err(format!("{option} is not an option; see the bench's head").into()),
            }
        }
        for &epochs in &epochs {
            for &rate in &rates {
                let training = |&rehearse| Training { epochs, rate, rehearse };
                arguments.trainings.extend(rehearsals.iter().map(training));
            }
        }
        Ok(arguments)
    }

    /// The bakes of each document, by their training and seed.
    pub(crate) fn bakes(&self) -> impl Iterator<Item = (Training, u64)> {
        let seeds = |&training| (0..self.seeds).map(move |seed| (training, seed));
        self.trainings.iter().flat_map(seeds)
    }

    /// The documents that were asked for, with no more questions than were.
    pub(crate) fn documents(&self) -> Result<Vec<TestDocument>, Box<dyn Error>> {
        let mut found = Vec::new();
        for &half in &self.halves {
            found.extend(TestDocument::all(half)?);
        }
        found.retain(|document| matches(&self.pattern, &document.name));
        if found.is_empty() {
            return Err(format!("no document has a name like {}", self.pattern).into());
        }
        for document in &mut found {
            document.keep(self.limit);
        }
        Ok(found)
    }
}

fn halves(value: &str) -> Result<Vec<Half>, Box<dyn Error>> {
    match value {
        "both" => Ok(Half::BOTH.to_vec()),
        name => match Half::BOTH.into_iter().find(|half| half.name() == name) {
            Some(half) => Ok(vec![half]),
            None => Err(format!("--half is `seen`, `unseen` or `both`, not {name}").into()),
        },
    }
}

fn number<N: FromStr>(option: &str, value: &str) -> Result<N, Box<dyn Error>> {
    value.parse().map_err(|_| format!("{option} needs a number, not {value}").into())
}

/// Some numbers with commas between them.
fn numbers<N: FromStr>(option: &str, value: &str) -> Result<Vec<Option<N>>, Box<dyn Error>> {
    value.split(',').map(|value| number(option, value).map(Some)).collect()
}

/// Whether a name is as a pattern says, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((begin, rest)) => name.strip_prefix(begin).is_some_and(|name| {
            name.char_indices()
                .map(|(at, _)| at)
                .chain([name.len()])
                .any(|at| matches(rest, &name[at..]))
        }),
    }
}
