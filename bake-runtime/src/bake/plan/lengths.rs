//! How long sequences are, of which only some are known.

/// The lengths of some sequences, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Lengths {
    pub(super) count: usize,
    pub(super) mean: f64,
    variance: f64,
    pub(super) longest: usize,
}

/// How many standard deviations above its mean the largest of many sums is.
const LARGEST: f64 = 2.5;

impl Lengths {
    pub(super) fn of(lengths: impl IntoIterator<Item = usize>) -> Self {
        let one = |length| Self { count: 1, mean: length as f64, variance: 0.0, longest: length };
        lengths.into_iter().map(one).fold(Self::default(), Self::and)
    }

    /// These sequences and others.
    pub(super) fn and(self, other: Self) -> Self {
        let count = self.count + other.count;
        let share = |of: Self| of.count as f64 / count.max(1) as f64;
        let mean = share(self) * self.mean + share(other) * other.mean;
        let around = |of: Self| share(of) * (of.variance + (of.mean - mean).powi(2));
        let variance = around(self) + around(other);
        Self { count, mean, variance, longest: self.longest.max(other.longest) }
    }

    /// As many sequences of such lengths.
    pub(super) fn times(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// These sequences, each with one of the others after it.
    pub(super) fn followed_by(self, other: Self) -> Self {
        Self {
            count: self.count,
            mean: self.mean + other.mean,
            variance: self.variance + other.variance,
            longest: self.longest + other.longest,
        }
    }

    /// The sum of all.
    pub(super) fn sum(&self) -> f64 {
        self.count as f64 * self.mean
    }

    /// About the largest sum that so many of them have together, of all groups that are made of
    /// them.
    pub(super) fn largest_sum(&self, together: usize) -> usize {
        let together = together.min(self.count);
        let spread = match together < self.count {
            true => LARGEST * (together as f64 * self.variance).sqrt(),
            false => 0.0,
        };
        let most = together as f64 * self.longest as f64;
        (together as f64 * self.mean + spread).min(most).ceil() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_lengths() {
        let few = Lengths::of([2, 4, 6]);
        assert_eq!((few.count, few.mean, few.longest, few.sum()), (3, 4.0, 6, 12.0));
        assert!((few.variance - 8.0 / 3.0).abs() < 1e-12);
        assert_eq!((few.largest_sum(3), few.largest_sum(9), few.largest_sum(1)), (12, 12, 6));
        let more = few.times(300);
        assert_eq!(more.sum(), 1200.0);
        // More than a group of the mean, and less than one of the longest only.
        assert!((401..600).contains(&more.largest_sum(100)), "{more:?}");
        let all = few.and(Lengths::of([10]));
        assert_eq!((all.mean, all.longest), (5.5, 10));
        assert_eq!(all, Lengths::of([10, 2, 4, 6]));
        let longer = few.followed_by(Lengths::of([1, 3]));
        assert_eq!((longer.count, longer.mean, longer.longest), (3, 6.0, 9));
        assert_eq!(Lengths::default().largest_sum(5), 0);
    }
}
