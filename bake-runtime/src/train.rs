//! Training: the student learns to answer without the document as the teacher answers with it.

mod batch;
mod checkpoint;
mod epochs;
pub(crate) mod optimizer;
mod rehearsal;
mod room;
mod schedule;
mod shards;
mod size;
mod step;

pub(crate) use batch::{Batch, StudentSequence, TrainingSet};
pub(crate) use checkpoint::Checkpoints;
pub(crate) use epochs::{Trained, Training};
pub(crate) use rehearsal::expected_epochs;
pub(crate) use room::TrainingRoom;
pub(crate) use schedule::lowest;
pub(crate) use size::TrainingSize;
pub(crate) use step::{Trial, measure};

use bake_spec::recipe::Recipe;

use crate::adapter::{Adapter, initial};
use crate::error::Result;
use crate::model::Model;

/// The adapter that a training begins with: one that changes nothing yet, on top of the parent's
/// where the model has one.
pub(crate) fn first_adapter(model: &Model, recipe: &Recipe) -> Result<Adapter> {
    let device = model.decoder().device();
    let own = initial(model.config(), &recipe.lora, recipe.train.seed, device)?;
    match model.parent() {
        Some(parent) => own.on_top_of(parent),
        None => Ok(own),
    }
}
