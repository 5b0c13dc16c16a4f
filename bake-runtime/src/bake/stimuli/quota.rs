//! How a number of questions is spread over the sections of a document.

/// The shares of `sections` in `count`: section i, counted from 0, has
/// `count (i + 1) / sections − count i / sections`.
///
/// The shares add up to `count`, no two differ by more than one, and where sections outnumber
/// questions, those that have one are spread evenly over the document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    count: usize,
    sections: usize,
}

impl Quota {
    pub(super) fn new(count: usize, sections: usize) -> Self {
        Self { count, sections }
    }

    /// The share of a section.
    pub(super) fn of(self, section: usize) -> usize {
        self.before(section + 1) - self.before(section)
    }

    /// The shares of all sections before this one.
    fn before(self, section: usize) -> usize {
        // A share is at most the count, so it fits again.
        (self.count as u128 * section as u128 / self.sections.max(1) as u128) as usize
    }
}

/// At most so many of some items, spread evenly from the first to the last.
pub(in crate::bake) fn spread<T>(items: Vec<T>, most: usize) -> Vec<T> {
    let quota = Quota::new(items.len().min(most), items.len());
    items.into_iter().enumerate().filter(|(at, _)| quota.of(*at) > 0).map(|(_, it)| it).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(count: usize, sections: usize) -> Vec<usize> {
        (0..sections).map(|section| Quota::new(count, sections).of(section)).collect()
    }

    #[test]
    fn every_section_has_its_share() {
        for count in [1, 26, 40, 100, 1000] {
            for sections in [1, 2, 3, 26, 33, 60, 99, 100, 1000] {
                let shares = shares(count, sections);
                assert_eq!(shares.iter().sum::<usize>(), count, "{count} over {sections}");
                let (least, most) = (count / sections, count.div_ceil(sections));
                assert!(
                    shares.iter().all(|share| (least..=most).contains(share)),
                    "{count} over {sections}: {shares:?}"
                );
            }
        }
    }

    #[test]
    fn few_questions_are_spread_over_many_sections() {
        let shares = shares(100, 1000);
        for tenth in shares.chunks(100) {
            assert_eq!(tenth.iter().sum::<usize>(), 10);
        }
        let with_one: Vec<usize> = (0..1000).filter(|&section| shares[section] == 1).collect();
        assert!(with_one.windows(2).all(|pair| pair[1] - pair[0] == 10));
    }

    #[test]
    fn numbers_at_the_ends_of_their_range_do_not_overflow() {
        assert_eq!(Quota::new(usize::MAX, 1).of(0), usize::MAX);
        assert_eq!(Quota::new(0, 3).of(2), 0);
        assert_eq!(Quota::new(usize::MAX, 2).of(0) + Quota::new(usize::MAX, 2).of(1), usize::MAX);
    }

    #[test]
    fn items_are_spread_from_the_first_to_the_last() {
        assert_eq!(spread((0..24).collect(), 12), (0..12).map(|i| 2 * i + 1).collect::<Vec<_>>());
        assert_eq!(spread(vec![7, 8], 12), [7, 8]);
        assert_eq!(spread(Vec::<u8>::new(), 12), [0; 0]);
    }
}
