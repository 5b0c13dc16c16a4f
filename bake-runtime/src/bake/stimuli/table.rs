//! Drawing from a table of requests.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// So many of the requests of a table, in its order; which they are depends on the seed.
pub(super) fn some_of(
    table: &'static [&'static str],
    count: usize,
    seed: u64,
) -> Vec<&'static str> {
    let mut order: Vec<usize> = (0..table.len()).collect();
    if count < table.len() {
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        order.truncate(count);
        order.sort_unstable();
    }
    order.into_iter().map(|at| table[at]).collect()
}
