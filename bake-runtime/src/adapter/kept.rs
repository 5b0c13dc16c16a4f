//! Numbered checkpoints: an adapter as it was after some epochs of its training, kept beside it.

use std::path::{Path, PathBuf};

use bake_spec::store::{checkpoint_folder, hash_folder};
use bake_spec::{Hash, Store, file};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The file beside an adapter that says how it was baked.
pub(crate) const REPORT: &str = "bake.json";

/// What is known of a numbered checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptCheckpoint {
    /// Its number, from 1 on, in the order of time.
    pub number: usize,
    /// The training that it is of: 0 is the first, others are further rounds.
    pub round: usize,
    /// The epoch of this training, from 1 on, after which the adapter was so.
    pub epoch: usize,
    /// The mean divergence from the teacher in this epoch on what is trained on, in nats per token.
    pub kl: f64,
    /// The divergence on what is held out of training after the epoch, if anything is.
    pub held_out: Option<f64>,
    /// The hash of its files.
    pub adapter: Hash,
}

/// Without its number.
impl std::fmt::Display for KeptCheckpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { round, epoch, kl, held_out, .. } = self;
        write!(f, "epoch {epoch}")?;
        if *round > 0 {
            write!(f, " of further round {round}")?;
        }
        write!(f, ": {kl:.4} nats per token in training")?;
        held_out.map_or(Ok(()), |held_out| write!(f, ", {held_out:.4} on held-out questions"))
    }
}

/// The numbered checkpoints of a bake.
#[derive(Clone, Debug)]
pub struct KeptCheckpoints {
    list: Vec<KeptCheckpoint>,
    /// The folder of the bake's adapter, unless that is in the program.
    folder: Option<PathBuf>,
    /// The hash of the bake's adapter.
    adapter: Hash,
}

/// What is read of a report.
#[derive(Default, Deserialize)]
struct Listing {
    #[serde(default)]
    checkpoints: Vec<KeptCheckpoint>,
}

impl KeptCheckpoints {
    /// Those of the adapter in a folder; none where the folder does not say how it was baked.
    ///
    /// # Errors
    /// When a file of the adapter exists but cannot be read.
    pub fn of(adapter: &Path) -> Result<Self> {
        let report = file::read(&adapter.join(REPORT)).unwrap_or_default();
        let folder = Some(adapter.to_owned());
        Ok(Self { list: listed_in(&report), folder, adapter: hash_folder(adapter)? })
    }

    /// Those of an adapter in the program: the names and contents of its files, and their hash.
    pub(crate) fn embedded(files: &[(&str, &[u8])], adapter: Hash) -> Self {
        let report = files.iter().find(|(name, _)| *name == REPORT);
        let list = report.map_or_else(Vec::new, |(_, report)| listed_in(report));
        Self { list, folder: None, adapter }
    }

    /// What is known of them, in the order of their numbers.
    pub fn list(&self) -> &[KeptCheckpoint] {
        &self.list
    }

    /// What is known of the checkpoint with this number. `bake` is the name of the bake, for
    /// messages.
    ///
    /// # Errors
    /// When there is none with this number; the error lists those that there are.
    pub fn get(&self, bake: &str, number: usize) -> Result<&KeptCheckpoint> {
        if let Some(found) = self.list.iter().find(|kept| kept.number == number) {
            return Ok(found);
        }
        let there: Vec<String> =
            self.list.iter().map(|kept| format!("{} ({kept})", kept.number)).collect();
        Err(match there.is_empty() {
            true => Error::new(
                ErrorKind::NotBaked,
                format!(
                    "`{bake}` was baked without numbered checkpoints; declare `train {{ keep_every \
                     1; }}`, and run `cargo bake --fresh`"
                ),
            ),
            false => Error::new(
                ErrorKind::Adapter,
                format!("`{bake}` has no checkpoint {number}; there are {}", there.join("; ")),
            ),
        })
    }

    /// The folder of the checkpoint with this number: beside the adapter, or else in a store that
    /// has the adapter too, since copies of it have no checkpoints.
    ///
    /// # Errors
    /// When there is none with this number, and when it is in neither place.
    pub fn find(&self, bake: &str, number: usize, store: Option<&Store>) -> Result<PathBuf> {
        let wanted = self.get(bake, number)?;
        let stored = store.and_then(|store| store.artifact(&self.adapter));
        let folders = self.folder.iter().chain(&stored);
        let mut folders = folders.map(|adapter| checkpoint_folder(adapter, number));
        folders.find(|folder| Store::holds(folder, &wanted.adapter)).ok_or_else(|| {
            let message = format!(
                "checkpoint {number} of `{bake}` is not on this machine, or damaged: checkpoints \
                 exist only on the machine that made the bake; `cargo bake --fresh` bakes it \
                 again with them"
            );
            Error::new(ErrorKind::NotBaked, message)
        })
    }
}

/// A report that cannot be read lists none: the adapter can be used without it.
fn listed_in(report: &[u8]) -> Vec<KeptCheckpoint> {
    serde_json::from_slice::<Listing>(report).unwrap_or_default().checkpoints
}

#[cfg(test)]
mod tests {
    use bake_spec::store::hash_files;

    use super::*;

    #[test]
    fn an_adapter_in_a_program_finds_its_checkpoints_in_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let mut kept = KeptCheckpoint {
            number: 1,
            round: 2,
            epoch: 3,
            kl: 0.5,
            held_out: None,
            adapter: Hash::of(b""),
        };
        assert_eq!(
            kept.to_string(),
            "epoch 3 of further round 2: 0.5000 nats per token in training"
        );
        let mut report = Vec::new();
        let put = |folder: &Path| {
            let early = checkpoint_folder(folder, 1);
            std::fs::create_dir_all(&early).unwrap();
            std::fs::write(early.join("adapter_config.json"), "{}").unwrap();
            kept.adapter = hash_folder(&early)?;
            report = serde_json::to_vec(&serde_json::json!({ "checkpoints": [kept] })).unwrap();
            std::fs::write(folder.join(REPORT), &report).unwrap();
            Ok::<_, bake_spec::Error>(())
        };
        let folder = store.put_adapter(&Hash::of(b"recipe"), put).unwrap();
        let files = [(REPORT, report.as_slice())];
        let embedded = KeptCheckpoints::embedded(&files, hash_files(files));
        assert_eq!(embedded.list(), [kept]);
        let found = embedded.find("Office", 1, Some(&store)).unwrap();
        assert_eq!(found, checkpoint_folder(&folder, 1));
        let elsewhere = Store::new(dir.path().join("empty"));
        for store in [None, Some(&elsewhere)] {
            let error = embedded.find("Office", 1, store).unwrap_err();
            assert!(error.is_not_baked() && error.to_string().contains("is not on this machine"));
        }
        let other = KeptCheckpoints::embedded(&[(REPORT, b"[1, 2")], Hash::of(b""));
        assert!(other.list().is_empty());
        assert!(other.get("Office", 1).unwrap_err().to_string().contains("keep_every"));
    }
}
