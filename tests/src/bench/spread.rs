//! Medians, and how sure they are.

use serde::Serialize;

/// The middle of some values, their ends, and an interval for the median.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Median.
    pub median: f64,
    /// An interval that holds the median of all values that could have been with 95 %, whatever their distribution:
    /// between two of the sorted values. Absent below six values.
    pub interval: Option<[f64; 2]>,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// How many.
    pub count: usize,
}

impl Spread {
    /// `None` of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let cut = interval_cut(sorted.len());
        Some(Self {
            median: quantile(&sorted, 0.5),
            interval: cut.map(|cut| [sorted[cut], sorted[sorted.len() - 1 - cut]]),
            min: first,
            max: last,
            count: sorted.len(),
        })
    }
}

/// A quantile of sorted values, between the two that are nearest.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len().saturating_sub(1)) as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // an index of the slice
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}

/// How many values may be cut off at each end: of `count` fair coins no more than that show heads with 2.5 % at most.
fn interval_cut(count: usize) -> Option<usize> {
    const TAIL: f64 = 0.025;
    let mut chance = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut sum = chance;
    let mut cut = None;
    for heads in 0..count / 2 {
        if sum > TAIL {
            break;
        }
        cut = Some(heads);
        chance *= (count - heads) as f64 / (heads + 1) as f64;
        sum += chance;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_sign_test() {
        // From tables of the binomial distribution: 20 values, the 6th and the 15th; 6 values, the ends.
        let cuts = [5, 6, 10, 20, 40].map(interval_cut);
        assert_eq!(cuts, [None, Some(0), Some(1), Some(5), Some(13)]);
        let spread = Spread::of((1..=20).map(f64::from)).expect("values");
        assert_eq!((spread.median, spread.interval), (10.5, Some([6.0, 15.0])));
    }

    #[test]
    fn a_median_lies_between_two_values_or_on_one() {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).map(|spread| spread.median);
        assert_eq!(
            [median(&[]), median(&[3.0]), median(&[4.0, 1.0]), median(&[9.0, 1.0, 2.0])],
            [None, Some(3.0), Some(2.5), Some(2.0)]
        );
    }
}
