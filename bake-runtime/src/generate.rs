//! Generation: many answers at once for bakes, one token after the other for conversations.

pub(crate) mod prefix;
pub(crate) mod sample;
#[cfg(feature = "train")]
pub(crate) mod size;

use std::collections::BTreeMap;

use candle_core::{IndexOp as _, Tensor};
use rand_chacha::ChaCha8Rng;

use crate::checkpoint::generation::Repetition;
use crate::error::{Error, ErrorKind, Result};
use crate::generate::prefix::{Alike, Prefix, ToRead, alike, common_start};
use crate::generate::sample::Sampling;
use crate::model::Model;
use crate::model::block::WeightView;
use crate::model::cache::KvCache;
use crate::model::decoder::Run;

/// Answers that are generated together. The number is fixed, and not chosen by timing, so that
/// results do not depend on timing.
const ROWS: usize = 64;

/// Tokens of prompts that are read in one pass.
const TOKENS: usize = 2048;

/// A prompt to answer, with the random stream of this answer.
pub(crate) struct Request<'a> {
    pub(crate) prompt: &'a [u32],
    pub(crate) rng: ChaCha8Rng,
}

/// An answer, as token ids.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Completion {
    /// The tokens as they were sampled, including the one that ended the answer.
    pub(crate) ids: Vec<u32>,
    /// Whether the model ended the answer; otherwise it was cut.
    pub(crate) ended: bool,
}

/// Divides items into parts of at most [`TOKENS`] tokens each, at least one item to a part.
pub(crate) fn token_chunks<T>(items: &[T], tokens: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut chunks, mut start, mut sum) = (Vec::new(), 0, 0);
    for (i, item) in items.iter().enumerate() {
        if i > start && sum + tokens(item) > TOKENS {
            chunks.push(&items[start..i]);
            (start, sum) = (i, 0);
        }
        sum += tokens(item);
    }
    if start < items.len() {
        chunks.push(&items[start..]);
    }
    chunks
}

/// How many items of so many tokens come into one part.
#[cfg(feature = "train")]
pub(crate) fn together(mean: f64) -> usize {
    ((TOKENS as f64 / mean.max(1.0)) as usize).max(1)
}

/// Answers all requests. What several prompts begin with is read once for those that are answered
/// together, and so is a prompt that several requests share.
///
/// `done` is called with the number of answers that have ended since it was last called; an error
/// that it returns ends the work.
pub(crate) fn complete(
    model: &Model,
    requests: Vec<Request<'_>>,
    sampling: &Sampling,
    view: WeightView<'_>,
    mut done: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Completion>> {
    let mut rest: Vec<(usize, Request<'_>)> = requests.into_iter().enumerate().collect();
    // Those that are alike are answered together.
    rest.sort_by_key(|(_, request)| request.prompt);
    let mut completions = vec![None; rest.len()];
    let prompts: Vec<&[u32]> = rest.iter().map(|(_, request)| request.prompt).collect();
    let mut prefix = Prefix::new(model, room(&prompts))?;
    while !rest.is_empty() {
        let tail = rest.split_off(rest.len().min(ROWS));
        let (places, requests): (Vec<usize>, Vec<Request<'_>>) = rest.into_iter().unzip();
        let made = complete_together(model, &mut prefix, requests, sampling, view, &mut done)?;
        for (place, completion) in places.into_iter().zip(made) {
            completions[place] = Some(completion);
        }
        rest = tail;
    }
    Ok(completions.into_iter().flatten().collect())
}

/// Tokens for which a cache has room at first: what all of these sorted prompts begin with, and
/// what is read after it in one pass.
fn room(sorted: &[&[u32]]) -> usize {
    let [first, .., last] = sorted else { return sorted.first().map_or(0, |only| only.len()) };
    let common = common_start(first, last);
    common + sorted.iter().map(|prompt| prompt.len() - common).sum::<usize>().min(TOKENS)
}

/// An answer that is being written.
struct Row {
    slots: Vec<u32>,
    rng: ChaCha8Rng,
    repetition: Repetition,
    ids: Vec<u32>,
    ended: bool,
    limit: usize,
}

impl Row {
    fn open(&self) -> bool {
        !self.ended && self.ids.len() < self.limit
    }

    fn push(&mut self, model: &Model, sampling: &Sampling, mut logits: Vec<f32>) -> Result<()> {
        self.repetition.penalise(&mut logits);
        let token = sampling.choose(&logits, &mut self.rng)?;
        self.repetition.add(token);
        self.ids.push(token);
        self.ended = model.generation().ends(token);
        Ok(())
    }
}

fn complete_together(
    model: &Model,
    prefix: &mut Prefix,
    requests: Vec<Request<'_>>,
    sampling: &Sampling,
    view: WeightView<'_>,
    done: &mut impl FnMut(usize) -> Result<()>,
) -> Result<Vec<Completion>> {
    let decoder = model.decoder();
    let read = read_prompts(model, prefix, &requests, view)?;
    let mut rows = Vec::with_capacity(requests.len());
    for request in requests {
        let Read { slots, logits } = &read[request.prompt];
        let limit = answer_limit(model, request.prompt.len(), sampling)?;
        let mut row = Row {
            slots: slots.clone(),
            rng: request.rng,
            repetition: model.generation().repetition(request.prompt),
            ids: Vec::new(),
            ended: false,
            limit,
        };
        if row.open() {
            row.push(model, sampling, logits.clone())?;
        }
        rows.push(row);
    }
    drop(read);
    done(rows.iter().filter(|row| !row.open()).count())?;
    loop {
        let open: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].open()).collect();
        if open.is_empty() {
            break;
        }
        let runs: Vec<_> = open
            .iter()
            .map(|&i| Run {
                ids: rows[i].ids.last_chunk::<1>().expect("a row has a token"),
                past: &rows[i].slots,
            })
            .collect();
        let (hidden, new) = decoder.extend(&mut prefix.cache, &runs, view)?;
        let logits = decoder.logits(&hidden)?.to_device(&candle_core::Device::Cpu)?;
        for ((&i, slot), at) in open.iter().zip(new).zip(0..) {
            rows[i].slots.push(slot);
            rows[i].push(model, sampling, logits.i(at)?.to_vec1()?)?;
        }
        done(open.iter().filter(|&&i| !rows[i].open()).count())?;
    }
    Ok(rows.into_iter().map(|row| Completion { ids: row.ids, ended: row.ended }).collect())
}

/// A prompt in the cache.
struct Read {
    /// The slots of its tokens.
    slots: Vec<u32>,
    /// The logits after the last.
    logits: Vec<f32>,
}

/// Reads each different prompt once. What was in the cache is forgotten, but for what the first of
/// them begins with.
fn read_prompts<'a>(
    model: &Model,
    prefix: &mut Prefix,
    requests: &[Request<'a>],
    view: WeightView<'_>,
) -> Result<BTreeMap<&'a [u32], Read>> {
    let decoder = model.decoder();
    let mut prompts: Vec<&[u32]> = requests.iter().map(|request| request.prompt).collect();
    prompts.sort_unstable();
    prompts.dedup();
    let to_read: Vec<_> = prompts.iter().map(|ids| ToRead { ids, own: 1 }).collect();
    let groups = alike(&to_read);
    if let Some(Alike { places, common }) = groups.first() {
        prefix.forget_but(&prompts[places[0]][..*common]);
    }
    let mut read = BTreeMap::new();
    for Alike { places, common } in groups {
        let past = prefix.read(model, &prompts[places[0]][..common], view)?.to_vec();
        let runs: Vec<_> = places
            .iter()
            .map(|&place| Run { ids: &prompts[place][common..], past: &past })
            .collect();
        let (hidden, new) = decoder.extend(&mut prefix.cache, &runs, view)?;
        let (mut own, mut end) = (Vec::with_capacity(runs.len()), new.start);
        for run in &runs {
            let start = end;
            end += run.ids.len() as u32;
            own.push(start..end);
        }
        let last: Vec<u32> = own.iter().map(|own| own.end - 1 - new.start).collect();
        let logits = decoder
            .logits(&hidden.index_select(&Tensor::new(last, hidden.device())?, 0)?)?
            .to_vec2::<f32>()?;
        for ((&place, own), logits) in places.iter().zip(own).zip(logits) {
            let slots = past.iter().copied().chain(own).collect();
            read.insert(prompts[place], Read { slots, logits });
        }
    }
    Ok(read)
}

/// The most tokens that an answer to a prompt of this length can have.
fn answer_limit(model: &Model, prompt: usize, sampling: &Sampling) -> Result<usize> {
    let context = model.config().context();
    let room = context.saturating_sub(prompt);
    if room == 0 {
        return Err(no_room(prompt, context));
    }
    Ok(sampling.max_tokens.unwrap_or(room).min(room))
}

/// That a prompt of so many tokens leaves no room for an answer.
pub(crate) fn no_room(prompt: usize, context: usize) -> Error {
    let message = format!(
        "the prompt has {prompt} tokens, which leaves no room for an answer in the model's context \
         of {context}"
    );
    Error::new(ErrorKind::Context, message)
}

/// A conversation's tokens in a separate cache, to which questions and answers are appended.
pub(crate) struct Sequence {
    cache: KvCache,
    ids: Vec<u32>,
}

impl Sequence {
    pub(crate) fn new(model: &Model) -> Result<Self> {
        Ok(Self { cache: model.decoder().cache(256)?, ids: Vec::new() })
    }

    /// Makes the sequence consist of exactly these tokens and returns the logits after the last.
    /// Tokens that it has already are not read again.
    pub(crate) fn read(
        &mut self,
        model: &Model,
        ids: &[u32],
        view: WeightView<'_>,
    ) -> Result<Vec<f32>> {
        let kept = self
            .ids
            .iter()
            .zip(ids)
            .take_while(|(a, b)| a == b)
            .count()
            .min(ids.len().saturating_sub(1));
        self.ids.truncate(kept);
        self.cache.truncate(kept);
        self.push(model, &ids[kept..], view)
    }

    /// Adds tokens and returns the logits after the last.
    pub(crate) fn push(
        &mut self,
        model: &Model,
        ids: &[u32],
        view: WeightView<'_>,
    ) -> Result<Vec<f32>> {
        model.decoder().check_context(self.ids.len() + ids.len())?;
        let mut hidden = None;
        for part in ids.chunks(TOKENS) {
            let past: Vec<u32> = (0..self.ids.len() as u32).collect();
            let (states, _) =
                model.decoder().extend(&mut self.cache, &[Run { ids: part, past: &past }], view)?;
            hidden = Some(states.narrow(0, part.len() - 1, 1)?);
            self.ids.extend_from_slice(part);
        }
        let hidden =
            hidden.ok_or_else(|| Error::new(ErrorKind::Context, "there are no tokens to read"))?;
        Ok(model.decoder().logits(&hidden)?.flatten_all()?.to_vec1()?)
    }

    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The number of its tokens.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The most tokens that an answer may have now.
    pub(crate) fn answer_limit(&self, model: &Model, sampling: &Sampling) -> Result<usize> {
        answer_limit(model, self.len(), sampling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::template::Message;
    use rand::SeedableRng as _;

    fn answers(
        model: &Model,
        prompts: &[Vec<u32>],
        seeds: &[u64],
        sampling: &Sampling,
    ) -> Vec<Completion> {
        let requests = prompts
            .iter()
            .zip(seeds)
            .map(|(prompt, &seed)| Request { prompt, rng: ChaCha8Rng::seed_from_u64(seed) })
            .collect();
        let mut ended = 0;
        let count = |n| {
            ended += n;
            Ok(())
        };
        let answers = complete(model, requests, sampling, WeightView::default(), count).unwrap();
        assert_eq!(ended, prompts.len());
        answers
    }

    #[test]
    fn answers_are_the_same_together_alone_and_token_by_token() {
        let model = Model::tiny().unwrap();
        let document = "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.";
        let questions =
            ["I lost my key", "My lamp is broken", "I lost my key", "What about my shoes?"];
        let prompts: Vec<Vec<u32>> = questions
            .iter()
            .map(|q| model.encode(&Message::question(&document.into(), q)).unwrap())
            .collect();
        let greedy = Sampling::greedy().max_tokens(24);
        let together = answers(&model, &prompts, &[1, 2, 3, 4], &greedy);
        assert_eq!(together[0], together[2]);
        for (prompt, together) in prompts.iter().zip(&together) {
            assert_eq!(&answers(&model, std::slice::from_ref(prompt), &[9], &greedy)[0], together);
            let mut sequence = Sequence::new(&model).unwrap();
            let mut logits = sequence.read(&model, prompt, WeightView::default()).unwrap();
            for &id in &together.ids {
                assert_eq!(greedy.choose(&logits, &mut ChaCha8Rng::seed_from_u64(0)).unwrap(), id);
                logits = sequence.push(&model, &[id], WeightView::default()).unwrap();
            }
        }
    }

    /// The answer to the first of several prompts when all are answered together: the logits before
    /// each of its first tokens, and those tokens.
    fn logits_of_the_first(model: &Model, prompts: &[Vec<u32>], tokens: usize) -> Vec<Vec<f32>> {
        let view = WeightView::default();
        let decoder = model.decoder();
        let sequences: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let common = sequences.iter().map(|ids| common_start(sequences[0], ids)).min().unwrap();
        let common = common.min(sequences[0].len() - 1);
        let mut prefix = Prefix::new(model, TOKENS).unwrap();
        let past = prefix.read(model, &sequences[0][..common], view).unwrap().to_vec();
        let mut slots = vec![past; prompts.len()];
        let mut ids: Vec<Vec<u32>> = prompts.iter().map(|ids| ids[common..].to_vec()).collect();
        let mut seen = Vec::new();
        for _ in 0..tokens {
            let runs: Vec<_> =
                ids.iter().zip(&slots).map(|(ids, past)| Run { ids, past }).collect();
            let (hidden, new) = decoder.extend(&mut prefix.cache, &runs, view).unwrap();
            let (mut new, mut end, mut last) = (new, 0, Vec::new());
            for (ids, slots) in ids.iter().zip(&mut slots) {
                slots.extend(new.by_ref().take(ids.len()));
                end += ids.len() as u32;
                last.push(end - 1);
            }
            let last = hidden.index_select(&Tensor::new(last, hidden.device()).unwrap(), 0);
            let logits: Vec<Vec<f32>> = decoder.logits(&last.unwrap()).unwrap().to_vec2().unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(0);
            let next = logits.iter().map(|logits| Sampling::greedy().choose(logits, &mut rng));
            ids = next.map(|token| vec![token.unwrap()]).collect();
            seen.push(logits[0].clone());
        }
        seen
    }

    #[test]
    fn an_answer_has_the_same_bits_whatever_is_answered_beside_it() {
        let model = Model::tiny().unwrap();
        let document = "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.";
        let prompt =
            |question: &str| model.encode(&Message::question(&document.into(), question)).unwrap();
        let mut prompts = vec![prompt("I lost my key, what should I do now?")];
        prompts.extend((0..40).map(|i| prompt(&format!("What about {}?", "my lamp ".repeat(i)))));
        let alone = logits_of_the_first(&model, &prompts[..1], 8);
        for beside in [3, 40] {
            assert_eq!(logits_of_the_first(&model, &prompts[..=beside], 8), alone, "{beside}");
        }
        // A conversation reads the same prompt token by token.
        let mut sequence = Sequence::new(&model).unwrap();
        let logits = sequence.read(&model, &prompts[0], WeightView::default()).unwrap();
        assert_eq!(logits, alone[0]);
        let greedy = Sampling::greedy().max_tokens(16);
        let first = |count: usize| {
            let seeds: Vec<u64> = (0..count as u64).collect();
            answers(&model, &prompts[..count], &seeds, &greedy).remove(0)
        };
        let alone = first(1);
        assert_eq!(first(4), alone);
        assert_eq!(first(41), alone);
    }

    #[test]
    fn answers_on_a_gpu_are_those_of_the_processor() {
        let document = "## Lost key\nAsk Bob in the blue office.\n\n## Broken lamp\nCall the shop.";
        let greedy = Sampling::greedy().max_tokens(12);
        let all = |model: &Model| {
            let prompt =
                |question| model.encode(&Message::question(&document.into(), question)).unwrap();
            answers(
                model,
                &["I lost my key", "My lamp is broken", "I lost my key"].map(prompt),
                &[1, 2, 3],
                &greedy,
            )
        };
        let want = all(&Model::tiny().unwrap());
        crate::device::gpu::testing::on_gpus(|device| {
            assert_eq!(all(&Model::tiny_at(device).unwrap()), want)
        });
    }

    #[test]
    fn a_sample_depends_on_its_own_random_stream_only() {
        let model = Model::tiny().unwrap();
        let prompt = model.encode(&Message::question(&"".into(), "Tell me something.")).unwrap();
        let sampling = Sampling::temperature(8.0, 0).unwrap().max_tokens(8);
        let of =
            |seeds: &[u64]| answers(&model, &vec![prompt.clone(); seeds.len()], seeds, &sampling);
        let [a, b, c] = &of(&[1, 2, 1])[..] else { panic!("three answers were asked for") };
        assert_eq!(a, c);
        assert_ne!(a, b);
        let swapped = of(&[2, 1, 3]);
        assert_eq!((&swapped[0], &swapped[1]), (b, a));
    }

    #[test]
    fn chunks_hold_what_fits_and_at_least_one() {
        let sizes = [TOKENS + 5, 3, TOKENS - 3, 1, 1];
        assert_eq!(token_chunks(&sizes, |&n| n), [&sizes[..1], &sizes[1..3], &sizes[3..]]);
        assert!(token_chunks(&[] as &[usize], |&n| n).is_empty());
    }
}
