//! What token sequences begin with, read once for all of them.
//!
//! The prompts of a bake are alike: all of a target have its worked examples, and all questions
//! about a passage the passage. Sorted, they are the leaves of a tree of beginnings, which is read
//! from one side to the other.

use super::TOKENS;
use crate::error::Result;
use crate::model::Model;
use crate::model::block::WeightView;
use crate::model::cache::KvCache;
use crate::model::decoder::Run;

/// About how many tokens could be read in the time that a pass takes beside those it reads.
const PASS: usize = 32;

/// How many tokens two sequences begin with.
pub(crate) fn common_start(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// A sequence that is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToRead<'a> {
    pub(crate) ids: &'a [u32],
    /// So many of its last tokens are read for it alone, at least one: their states are wanted.
    pub(crate) own: usize,
}

/// Sequences that are read in one pass, after what all of them begin with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alike {
    /// Their places among all.
    pub(crate) places: Vec<usize>,
    /// How many tokens all of them begin with, that are read before.
    pub(crate) common: usize,
}

/// The order in which sequences are read, and which of them together: so that few tokens are read
/// in few passes, of at most [`TOKENS`] tokens each or one sequence.
pub(crate) fn alike(sequences: &[ToRead<'_>]) -> Vec<Alike> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|&place| sequences[place].ids);
    let sorted: Vec<ToRead<'_>> = order.iter().map(|&place| sequences[place]).collect();
    let mut groups = Vec::new();
    for Group { first, end, common } in cheapest(&sorted) {
        groups.push(Alike { places: order[first..end].to_vec(), common });
    }
    groups
}

/// Sequences `first..end` of those that are sorted.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: usize,
    end: usize,
    common: usize,
}

/// How to divide sorted sequences into groups at little cost, in tokens: what a group begins with
/// as far as the group before it does not, the rest of each, and its pass.
fn cheapest(sorted: &[ToRead<'_>]) -> Vec<Group> {
    // What each has in common with the next.
    let beside: Vec<usize> =
        sorted.windows(2).map(|two| common_start(two[0].ids, two[1].ids)).collect();
    // The least cost of all before each place, and the last group of them.
    let mut best: Vec<(usize, Option<Group>)> = vec![(0, None)];
    for end in 1..=sorted.len() {
        let mut least = (usize::MAX, None);
        let (mut common, mut tokens) = (usize::MAX, 0);
        for first in (0..end).rev() {
            let ToRead { ids, own } = sorted[first];
            if first + 1 < end {
                common = common.min(beside[first]);
            }
            common = common.min(ids.len() - own);
            tokens += ids.len();
            let (cost, last) = best[first];
            let there = last.map_or(0, |last| last.common.min(beside[first - 1]).min(common));
            // One sequence has nothing that would be read before it for others.
            let count = end - first;
            let before = if count == 1 { there } else { common };
            let rest = tokens - count * before;
            if count > 1 && rest > TOKENS {
                break;
            }
            let cost = cost + before - there + rest + PASS;
            if cost < least.0 {
                least = (cost, Some(Group { first, end, common: before }));
            }
        }
        best.push(least);
    }
    let mut groups = Vec::new();
    let mut end = sorted.len();
    while let Some(group) = best[end].1 {
        end = group.first;
        groups.push(group);
    }
    groups.reverse();
    groups
}

/// How many tokens are read of sequences that are read in the order of [`alike`].
#[cfg(feature = "train")]
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ReadTokens {
    /// What several begin with, all of it together.
    pub(crate) shared: usize,
    /// The most that any begins with that is shared.
    pub(crate) before: usize,
    /// What is read for each alone, in their order.
    pub(crate) own: Vec<usize>,
}

#[cfg(feature = "train")]
impl ReadTokens {
    /// Of prompts.
    pub(crate) fn of(prompts: &[Vec<u32>]) -> Self {
        let to_read: Vec<_> = prompts.iter().map(|ids| ToRead { ids, own: 1 }).collect();
        let mut read = Self { own: vec![0; prompts.len()], ..Self::default() };
        let mut last: &[u32] = &[];
        for Alike { places, common } in alike(&to_read) {
            let start = &prompts[places[0]][..common];
            read.shared += common - common_start(last, start);
            read.before = read.before.max(common);
            last = start;
            for place in places {
                read.own[place] = prompts[place].len() - common;
            }
        }
        read
    }
}

/// What sequences begin with, in a cache, in which others may follow it.
pub(crate) struct Prefix {
    pub(crate) cache: KvCache,
    /// The tokens, and the slots that they have.
    ids: Vec<u32>,
    slots: Vec<u32>,
}

impl Prefix {
    /// A cache with room for this many tokens at first.
    pub(crate) fn new(model: &Model, room: usize) -> Result<Self> {
        let cache = model.decoder().cache(room)?;
        Ok(Self { cache, ids: Vec::new(), slots: Vec::new() })
    }

    /// Forgets what is in the cache, but for the beginning of these tokens.
    pub(crate) fn forget_but(&mut self, ids: &[u32]) {
        // What was read after something else stands behind it.
        let in_place = self.slots.iter().zip(0..).take_while(|(slot, at)| **slot == *at).count();
        let kept = common_start(&self.ids, ids).min(in_place);
        self.ids.truncate(kept);
        self.slots.truncate(kept);
        self.cache.truncate(kept);
    }

    /// Reads these tokens, as far as they are not what was read last; everything in the cache
    /// stays. Returns their slots.
    pub(crate) fn read(
        &mut self,
        model: &Model,
        ids: &[u32],
        view: WeightView<'_>,
    ) -> Result<&[u32]> {
        let kept = common_start(&self.ids, ids);
        self.ids.truncate(kept);
        self.slots.truncate(kept);
        for part in ids[kept..].chunks(TOKENS) {
            let run = Run { ids: part, past: &self.slots };
            let (_, new) = model.decoder().extend(&mut self.cache, &[run], view)?;
            self.slots.extend(new);
            self.ids.extend_from_slice(part);
        }
        Ok(&self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(sequences: &[Vec<u32>], own: usize) -> Vec<(Vec<usize>, usize)> {
        let to_read: Vec<_> = sequences.iter().map(|ids| ToRead { ids, own }).collect();
        alike(&to_read).into_iter().map(|group| (group.places, group.common)).collect()
    }

    /// `start`, and then tokens that no other number has.
    fn from(start: &[&[u32]], number: u32, own: usize) -> Vec<u32> {
        let rest = (0..own as u32).map(|i| 1000 + 100 * number + i);
        start.concat().into_iter().chain(rest).collect()
    }

    #[test]
    fn what_many_begin_with_is_read_before_them() {
        let (system, shown, passage) = (&[1; 20][..], &[2; 200][..], &[3; 60][..]);
        let told = |number| from(&[system], number, 15);
        let asked = |number| from(&[system, shown, passage], number, 15);
        let other = |number| from(&[system, shown], number, 75);
        let mixed: Vec<_> =
            (0..5).flat_map(|i| [told(3 * i), asked(3 * i + 1), other(3 * i + 2)]).collect();
        assert_eq!(
            groups(&mixed, 1),
            [
                (vec![1, 4, 7, 10, 13], 280),
                (vec![2, 5, 8, 11, 14], 220),
                (vec![0, 3, 6, 9, 12], 20)
            ]
        );
        // A passage is not worth a pass for two questions whose rest is all that they share.
        let few = vec![from(&[system, &[4; 10]], 0, 9), from(&[system, &[5; 10]], 1, 9)];
        assert_eq!(groups(&few, 1), [(vec![0, 1], 20)]);
    }

    #[cfg(feature = "train")]
    #[test]
    fn tokens_are_counted_once_where_they_are_read_once() {
        let prompts: Vec<_> =
            (0..4).map(|i| from(&[&[1; 50], &[2 + i % 2; 80]], i, 10 + i as usize)).collect();
        let read = ReadTokens::of(&prompts);
        assert_eq!(read, ReadTokens { shared: 210, before: 130, own: vec![10, 11, 12, 13] });
        assert_eq!(ReadTokens::of(&[]), ReadTokens::default());
    }

    #[test]
    fn the_last_tokens_are_of_each_alone() {
        assert_eq!(groups(&[vec![1, 2, 3], vec![1, 2, 3]], 1), [(vec![0, 1], 2)]);
        assert_eq!(groups(&[vec![1, 2, 3], vec![1, 2, 3, 4]], 2), [(vec![0, 1], 1)]);
        assert_eq!(groups(&[vec![7]], 1), [(vec![0], 0)]);
        assert!(groups(&[], 1).is_empty());
    }

    #[test]
    fn a_pass_has_so_many_tokens_or_one_sequence() {
        let start = &[1; 100][..];
        let long: Vec<_> = (0..10).map(|i| from(&[start], i, 90)).collect();
        let all: Vec<_> = (0..6).flat_map(|_| long.clone()).collect();
        for (places, common) in groups(&all, 50) {
            let rest: usize = places.iter().map(|&place| all[place].len() - common).sum();
            assert!(rest <= TOKENS, "{rest}");
        }
        let longer = vec![vec![1; TOKENS + 100], vec![2; TOKENS + 5]];
        assert_eq!(groups(&longer, 1), [(vec![0], 0), (vec![1], 0)]);
    }
}
