//! The most memory that a bake holds at once: what stays, and the stage that takes most beside it.

use bake_spec::recipe::Recipe;

use super::lengths::Lengths;
use super::shared;
use super::work::TargetWork;
use crate::adapter::Adapter;
use crate::error::Result;
use crate::generate::size::read_bytes;
use crate::generate::together;
use crate::inputs::mapped_bytes;
use crate::model::Model;
use crate::train::{TrainingRoom, TrainingSize};

/// What a tokenizer takes for each of its tokens, in its tables of tokens and of merges.
const TOKEN_BYTES: usize = 256;

/// The most memory that is held at once, with this room for training.
pub(super) fn memory_bytes(
    model: &Model,
    recipe: &Recipe,
    works: &[TargetWork],
    adapter: &Adapter,
    room: TrainingRoom,
) -> Result<u64> {
    let (mut states, mut most, mut all) = (0, 0, Lengths::default());
    let mut answers = Lengths::default();
    for work in works {
        // The states of the targets before this one are there already.
        for group in work.groups(model) {
            most = most.max(states + group.bytes(model));
        }
        states += work.answers.sum() as usize * model.config().hidden_size() * size_of::<f32>();
        for [shared, tokens, longest] in work.taught() {
            most = most.max(states + read_bytes(model, shared, tokens, longest));
        }
        (all, answers) = (all.and(work.sequences()), answers.and(work.answers));
    }
    let largest = |sequences| [all.largest_sum(sequences), answers.largest_sum(sequences)];
    let measured = together(all.mean).min(all.count);
    let training = TrainingSize {
        model,
        adapter,
        sequences: recipe.train.batch.min(all.count),
        shared: shared(works),
        batch: largest(recipe.train.batch),
        measured: largest(measured),
        accumulate: recipe.train.accumulate,
        holds_out: works.iter().any(|work| work.held_out > 0),
        room,
    };
    most = most.max(states + training.bytes());
    let most = (most + adapter.parameters() * size_of::<f32>()) as u64;
    let stays = model.decoder().weight_bytes() + model.config().vocab_size() * TOKEN_BYTES;
    // While a model is loaded, its files are mapped.
    Ok(stays as u64 + most.max(mapped_bytes(recipe)?))
}
