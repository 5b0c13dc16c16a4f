//! The parts of a step that are computed side by side.
//!
//! Products of a small model are over before a second thread has woken up. So the sequences of a
//! step are divided into shards, each of which goes through all layers and back on threads of its
//! own, and the gradients are added up at the end. How many shards there are depends on the
//! sequences alone, and they are added in their order: the result has the same bits on any number
//! of threads.

use std::sync::Mutex;

use candle_core::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::StudentSequence;
use super::batch::shared_start;
use crate::device::gpu::Gpu;
use crate::error::{Error, ErrorKind, Result};

/// About the fewest tokens that make a shard: so many that products still fill the registers.
const FEWEST_TOKENS: usize = 96;

/// How many times as many a shard's own tokens are at least as those that all sequences share,
/// which each shard computes again.
const TIMES_SHARED: usize = 8;

/// The most shards. Each has gradients of its own.
const MOST: usize = 4;

/// Threads for shards.
pub(super) struct Shards {
    pools: Vec<ThreadPool>,
}

impl Shards {
    /// All threads, divided among as many shards as can run at once.
    pub(super) fn new() -> Result<Self> {
        let (threads, pools) = (rayon::current_num_threads(), at_once());
        let pool = |number: usize| {
            let own = threads / pools + usize::from(number < threads % pools);
            ThreadPoolBuilder::new().num_threads(own).build().map_err(|e| {
                Error::with_source(ErrorKind::Training, format!("cannot start {own} threads"), e)
            })
        };
        Ok(Self { pools: (0..pools).map(pool).collect::<Result<_>>()? })
    }

    /// What `work` makes of each shard, in their order. One alone has all threads.
    pub(super) fn run<T: Send>(&self, shards: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
        if shards == 1 {
            return vec![work(0)];
        }
        let mut done: Vec<Option<T>> = (0..shards).map(|_| None).collect();
        let mut places: Vec<Vec<(usize, &mut Option<T>)>> =
            self.pools.iter().map(|_| Vec::new()).collect();
        for (shard, place) in done.iter_mut().enumerate() {
            places[shard % self.pools.len()].push((shard, place));
        }
        side_by_side(&self.pools, places, &|(shard, place)| *place = Some(work(shard)));
        done.into_iter().map(|done| done.expect("every shard is worked on")).collect()
    }
}

/// Runs the work of each pool, one piece after the other on the pool's first thread: allocators
/// keep what was freed for the thread that had it, and on others a step would take its memory
/// again.
fn side_by_side<W: Send>(pools: &[ThreadPool], mut works: Vec<Vec<W>>, run: &(impl Fn(W) + Sync)) {
    let (Some((pool, pools)), Some(work)) = (pools.split_last(), works.pop()) else { return };
    let work = Mutex::new(work);
    pool.in_place_scope(|scope| {
        scope.spawn_broadcast(|_, context| {
            if context.index() == 0 {
                let work = std::mem::take(&mut *work.lock().unwrap_or_else(|e| e.into_inner()));
                work.into_iter().for_each(run);
            }
        });
        side_by_side(pools, works, run);
    });
}

/// How many shards there are for so many sequences that share their first tokens, and have so many
/// of their own: on a GPU, whose threads share each product, one.
pub(super) fn count(device: &Device, sequences: usize, shared: usize, own: usize) -> usize {
    let most = if Gpu::of_device(device).is_none() { MOST } else { 1 };
    let fewest = FEWEST_TOKENS.saturating_sub(shared).max(TIMES_SHARED * shared);
    // Of three, one of two threads would have two.
    let shards = (own / fewest).clamp(1, most).next_power_of_two();
    shards.min(sequences.max(1))
}

/// How many shards run at once.
pub(super) fn at_once() -> usize {
    rayon::current_num_threads().min(MOST)
}

/// Divides sequences into shards of about as many tokens each, by dealing out the longest first:
/// the places of those of each shard, in their order.
pub(super) fn divide(device: &Device, sequences: &[&StudentSequence]) -> Vec<Vec<usize>> {
    let shared = shared_start(device, sequences);
    let tokens = |place: usize| sequences[place].ids.len() - shared;
    let own = (0..sequences.len()).map(tokens).sum();
    let mut shards = vec![(0, Vec::new()); count(device, sequences.len(), shared, own)];
    let mut longest_first: Vec<usize> = (0..sequences.len()).collect();
    longest_first.sort_by_key(|&place| std::cmp::Reverse(tokens(place)));
    for place in longest_first {
        let shortest = shards.iter_mut().min_by_key(|(tokens, _)| *tokens);
        let (sum, places) = shortest.expect("there is at least one shard");
        *sum += tokens(place);
        places.push(place);
    }
    let in_order = |(_, mut places): (usize, Vec<usize>)| {
        places.sort_unstable();
        places
    };
    shards.into_iter().map(in_order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(lengths: &[usize]) -> Vec<StudentSequence> {
        let sequence = |(number, &length): (usize, &usize)| StudentSequence {
            ids: vec![number as u32; length],
            answer: 1,
            first_state: number,
            token_weight: 1.0,
        };
        lengths.iter().enumerate().map(sequence).collect()
    }

    #[test]
    fn sequences_are_divided_into_shards_of_like_size() {
        let lengths: Vec<usize> = (0..16).map(|i| 20 + 7 * i % 50).collect();
        let sequences = sequences(&lengths);
        let shards = divide(&Device::Cpu, &sequences.iter().collect::<Vec<_>>());
        let sizes = |shard: &Vec<usize>| shard.iter().map(|&place| lengths[place]).sum();
        let sizes: Vec<usize> = shards.iter().map(sizes).collect();
        assert_eq!(shards.len(), MOST);
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() < 20, "{sizes:?}");
        for shard in &shards {
            assert!(shard.is_sorted());
        }
        let mut all = shards.concat();
        all.sort_unstable();
        assert_eq!(all, (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn few_tokens_are_one_shard_and_many_are_not_more_than_there_are_sequences() {
        for (lengths, want) in [
            (&[][..], 1),
            (&[30, 40], 1),
            (&[5000], 1),
            (&[5000, 9], 2),
            (&[30; 10], MOST),
            (&[900; 9], MOST),
        ] {
            let sequences = sequences(lengths);
            let all: Vec<_> = sequences.iter().collect();
            assert_eq!(divide(&Device::Cpu, &all).len(), want, "{lengths:?}");
        }
    }

    #[test]
    fn what_sequences_share_is_not_computed_by_many_shards() {
        let with_prompt = |prompt: usize| {
            let mut sequences = sequences(&[60; 8]);
            for sequence in &mut sequences {
                sequence.ids.splice(0..0, vec![99; prompt]);
            }
            divide(&Device::Cpu, &sequences.iter().collect::<Vec<_>>()).len()
        };
        assert_eq!([0, 12, 27, 500].map(with_prompt), [4, 4, 2, 1]);
    }

    #[test]
    fn what_shards_give_comes_in_their_order_on_any_number_of_threads() {
        for threads in [1, 2, 3, 9] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let shards = pool.install(Shards::new).unwrap();
            assert_eq!(shards.pools.len(), threads.min(MOST));
            let own: usize = shards.pools.iter().map(ThreadPool::current_num_threads).sum();
            assert_eq!(own, threads);
            for count in [1, 3, 7] {
                let squares = || shards.run(count, |shard| shard * shard);
                let want: Vec<usize> = (0..count).map(|shard| shard * shard).collect();
                assert_eq!(squares(), want);
                assert_eq!(pool.install(squares), want);
            }
        }
    }
}
