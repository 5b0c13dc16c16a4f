//! Tables of requests.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

/// Requests of many kinds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table(pub(super) &'static [&'static str]);

impl Table {
    /// So many of them, or all, in the order of the table; which they are depends on the seed.
    pub(crate) fn some(self, count: Option<usize>, seed: u64) -> Vec<&'static str> {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        if let Some(count) = count.filter(|count| *count < order.len()) {
            order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            order.truncate(count);
            order.sort_unstable();
        }
        order.into_iter().map(|at| self.0[at]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bake_spec::recipe::normalised_question;

    use crate::bake::stimuli::everyday::EVERYDAY;
    use crate::bake::stimuli::general::GENERAL;

    #[test]
    fn tables_have_many_requests_and_none_in_common() {
        let mut seen = HashSet::from([String::new()]);
        for (table, least) in [(EVERYDAY, 60), (GENERAL, 120)] {
            assert!(table.0.len() >= least);
            for request in table.0 {
                assert!(seen.insert(normalised_question(request)), "{request}");
            }
        }
    }

    #[test]
    fn some_requests_of_a_table_depend_on_the_seed() {
        assert_eq!(GENERAL.some(None, 1), GENERAL.0);
        assert_eq!(GENERAL.some(Some(1000), 1), GENERAL.0);
        let some = GENERAL.some(Some(20), 1);
        assert!(some.len() == 20 && some != GENERAL.some(Some(20), 2));
        let place = |request: &str| GENERAL.0.iter().position(|one| *one == request);
        assert!(some.is_sorted_by_key(|request| place(request)));
    }
}
