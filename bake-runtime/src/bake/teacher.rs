//! The teacher's side of the loss: final hidden states at every answer token, computed once.

use candle_core::Tensor;

use crate::error::Result;
use crate::generate::{SharedPrefix, token_chunks};
use crate::model::Model;
use crate::model::block::WeightView;
use crate::model::decoder::Run;
use crate::progress::Monitor;

/// A prompt and an answer to it.
pub(crate) struct TeacherSequence<'a> {
    pub(crate) prompt: &'a [u32],
    pub(crate) answer: &'a [u32],
}

impl TeacherSequence<'_> {
    /// Tokens that the model reads to predict the whole answer: all but the last.
    fn read(&self) -> usize {
        self.prompt.len() + self.answer.len() - 1
    }
}

/// The states from which each answer token is predicted, `[answer tokens, hidden]`, sequence after
/// sequence.
///
/// What the prompts begin with, as the document, is read once.
pub(crate) fn hidden_states(
    model: &Model,
    name: &str,
    sequences: &[TeacherSequence<'_>],
    monitor: Monitor<'_>,
) -> Result<Tensor> {
    let prompts: Vec<&[u32]> = sequences.iter().map(|e| e.prompt).collect();
    monitor.stage(&format!("teacher on {name}"), sequences.len(), "answers", |ticker| {
        let view = WeightView::default();
        let mut prefix = SharedPrefix::read(model, &prompts, 1, view)?;
        let mut states = Vec::new();
        for chunk in token_chunks(sequences, |e| e.read() - prefix.len()) {
            prefix.reset();
            let texts: Vec<Vec<u32>> = chunk
                .iter()
                .map(|e| {
                    e.prompt[prefix.len()..]
                        .iter()
                        .chain(&e.answer[..e.answer.len() - 1])
                        .copied()
                        .collect()
                })
                .collect();
            let SharedPrefix { cache, slots } = &mut prefix;
            let runs: Vec<_> = texts.iter().map(|ids| Run { ids, past: slots }).collect();
            let (hidden, _) = model.decoder().extend(cache, &runs, view)?;
            let mut rows = Vec::new();
            let mut end = 0;
            for (sequence, ids) in chunk.iter().zip(&texts) {
                end += ids.len();
                rows.extend((end - sequence.answer.len()) as u32..end as u32);
            }
            states.push(hidden.index_select(&Tensor::new(rows, hidden.device())?, 0)?);
            ticker.advance(chunk.len(), "")?;
        }
        Ok(Tensor::cat(&states, 0)?)
    })
}
