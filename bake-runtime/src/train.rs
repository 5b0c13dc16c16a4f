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
