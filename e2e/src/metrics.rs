//! What a program counts, as Prometheus reads it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// The values of one moment, by name and labels.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Vec<Sample>);

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads them at `url`.
    ///
    /// # Errors
    /// When nobody answers there, or what comes is not what Prometheus reads.
    pub async fn read(url: &str) -> Result<Self> {
        let text = reqwest::get(url).await?.error_for_status()?.text().await?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| sample(line).with_context(|| format!("no sample: {line}")));
        Ok(Self(samples.collect::<Result<_>>()?))
    }

    /// The sum of all values of `name` whose labels include `labels`.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            let mut wanted = labels.iter();
            wanted.all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
        };
        let named = self.0.iter().filter(|sample| sample.name == name);
        named.filter(has).map(|sample| sample.value).sum()
    }

    /// The sums of `name` for each value of `label`.
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.0.iter().filter(|sample| sample.name == name) {
            if let Some(value) = sample.labels.get(label) {
                *sums.entry(value.clone()).or_default() += sample.value;
            }
        }
        sums
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    // The values of Gamecast's labels hold no quotes and no commas behind quotes.
    let labels = labels.split("\",").filter(|label| !label.is_empty());
    let labels = labels.map(|label| {
        let (label, value) = label.split_once("=\"")?;
        Some((label.to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Some(Sample {
        name: name.into(),
        labels: labels.collect::<Option<_>>()?,
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_summed_by_their_labels() {
        let text = "# HELP a b\n\
            a_count{x=\"1\",y=\"GET /{n}\"} 2\na_count{x=\"1\",y=\"b\"} 3\na_count{x=\"2\",y=\"b\"} 4\nc 5\n# EOF\n";
        let metrics = Metrics::parse(text).unwrap();
        assert_eq!(metrics.sum("a_count", &[]), 9.0);
        assert_eq!(metrics.sum("a_count", &[("x", "1")]), 5.0);
        assert_eq!(metrics.sum("a_count", &[("y", "GET /{n}")]), 2.0);
        assert_eq!(metrics.sum("c", &[]), 5.0);
        let by = metrics.by("a_count", "x");
        assert_eq!(by, BTreeMap::from([("1".into(), 5.0), ("2".into(), 4.0)]));
    }
}
