//! Where the operator spent its time, out of its own metrics.

use std::collections::BTreeMap;

use anyhow::Result;

/// Seconds spent in each step since the operator started, and how often.
#[derive(Debug, Clone, Default)]
pub struct Stages(BTreeMap<String, (f64, f64)>);

/// The histogram that the operator keeps of its steps.
const METRIC: &str = "gamecast_operator_step_seconds";

impl Stages {
    /// Reads them at the operator's metrics `url`.
    pub async fn read(url: &str) -> Result<Self> {
        let text = reqwest::get(url).await?.error_for_status()?.text().await?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut stages = BTreeMap::<String, (f64, f64)>::new();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix(METRIC) else {
                continue;
            };
            let step = rest
                .split("step=\"")
                .nth(1)
                .and_then(|s| s.split('"').next());
            let value = rest.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok());
            if let (Some(step), Some(value)) = (step, value) {
                let stage = stages.entry(step.to_owned()).or_default();
                if rest.starts_with("_sum") {
                    stage.0 += value;
                } else if rest.starts_with("_count") {
                    stage.1 += value;
                }
            }
        }
        Self(stages)
    }

    /// The steps since `earlier`: name, times, and milliseconds each time on average.
    pub fn since(&self, earlier: &Self) -> Vec<(String, f64, f64)> {
        let steps = self.0.iter().map(|(step, (seconds, count))| {
            let (before, times) = earlier.0.get(step).copied().unwrap_or_default();
            let count = count - times;
            (step.clone(), count, (seconds - before) / count * 1e3)
        });
        steps.filter(|(_, count, _)| *count > 0.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sums_and_counts_by_step() {
        let text = |sum: f64, count: u32| {
            format!(
                "{METRIC}_sum{{kind=\"Game\",step=\"table\"}} {sum}\n\
                 {METRIC}_count{{kind=\"Game\",step=\"table\"}} {count}\n\
                 {METRIC}_bucket{{kind=\"Game\",step=\"table\",le=\"1\"}} 9\nother 1\n"
            )
        };
        let later = Stages::parse(&text(3.0, 12)).since(&Stages::parse(&text(1.0, 2)));
        assert_eq!(later, [("table".to_owned(), 10.0, 200.0)]);
    }
}
