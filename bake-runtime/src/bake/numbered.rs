//! The numbered checkpoints of a bake that is done.

use std::path::Path;

use bake_spec::store::{checkpoint_folder, hash_folder};

use super::Baking;
use super::report::Report;
use crate::adapter::Adapter;
use crate::adapter::kept::KeptCheckpoint;
use crate::error::Result;

impl Baking<'_> {
    /// Puts what was kept of all rounds beside the adapter in a folder.
    pub(super) fn save_checkpoints(
        &self,
        folder: &Path,
        adapter: &Adapter,
        report: &Report,
    ) -> Result<Vec<KeptCheckpoint>> {
        let mut trainings = vec![(&report.epochs, &report.held_out)];
        trainings.extend(report.rounds.iter().map(|round| (&round.epochs, &round.held_out)));
        let mut saved = Vec::new();
        for (round, (epochs, held_out)) in trainings.into_iter().enumerate() {
            let checkpoints = self.checkpoints(round);
            for epoch in checkpoints.kept_epochs(epochs.len()) {
                let Some(kept) = checkpoints.kept(epoch, adapter)? else {
                    self.monitor.warn(&format!(
                        "the checkpoint of epoch {epoch} was not kept, or is damaged, and is left \
                         out"
                    ));
                    continue;
                };
                let number = saved.len() + 1;
                let folder = checkpoint_folder(folder, number);
                kept.save(&folder, self.model.name())?;
                saved.push(KeptCheckpoint {
                    number,
                    round,
                    epoch,
                    kl: epochs[epoch - 1],
                    held_out: held_out.get(epoch - 1).copied(),
                    adapter: hash_folder(&folder)?,
                });
            }
        }
        Ok(saved)
    }
}
