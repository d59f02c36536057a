//! A sample of durations and its quantiles.

use std::fmt;
use std::time::Duration;

/// Durations in milliseconds, sorted.
#[derive(Debug, Clone)]
pub struct Quantiles(Vec<f64>);

impl Quantiles {
    /// Of a sample in milliseconds, which may hold negative ones.
    pub fn of_millis(mut millis: Vec<f64>) -> Self {
        millis.sort_unstable_by(f64::total_cmp);
        Self(millis)
    }

    /// Of a sample of durations.
    pub fn of(sample: impl IntoIterator<Item = Duration>) -> Self {
        let millis = sample.into_iter().map(|d| d.as_secs_f64() * 1e3);
        Self::of_millis(millis.collect())
    }

    /// The smallest value that at least `share` (0 to 1) of the sample does not exceed; NaN of
    /// an empty sample.
    pub fn at(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        let value = self.0.get(rank.saturating_sub(1));
        value.copied().unwrap_or(f64::NAN)
    }

    /// The heading above rows of quantiles.
    pub fn heading() -> String {
        format!("{:>8} {:>8} {:>8} {:>8}", "p50", "p95", "p99", "max")
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, p99, max] = [0.5, 0.95, 0.99, 1.0].map(|share| self.at(share));
        write!(f, "{p50:>8.1} {p95:>8.1} {p99:>8.1} {max:>8.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let quantiles = Quantiles::of((1..=100).map(Duration::from_millis));
        assert_eq!(
            [0.0, 0.5, 0.99, 1.0].map(|q| quantiles.at(q)),
            [1.0, 50.0, 99.0, 100.0]
        );
        assert!(Quantiles::of([]).at(0.5).is_nan());
    }
}
