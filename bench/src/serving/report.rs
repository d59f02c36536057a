//! What was measured, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::run::Figures;

/// The repetitions of one scenario.
#[derive(Debug, Default)]
pub struct Report {
    /// By row, in the order of their first appearance: its name and its repetitions.
    rows: Vec<(String, Vec<Figures>)>,
}

impl Report {
    /// Adds a repetition of `row`.
    pub fn add(&mut self, row: &str, figures: Figures) {
        match self.rows.iter_mut().find(|(name, _)| name == row) {
            Some((_, repetitions)) => repetitions.push(figures),
            None => self.rows.push((row.to_owned(), vec![figures])),
        }
    }

    /// A table of medians.
    #[must_use]
    pub fn table(&self) -> String {
        let mut columns: Vec<&str> = Vec::new();
        for (name, _) in self.rows.iter().flat_map(|(_, all)| all.iter().flatten()) {
            if !columns.contains(name) {
                columns.push(name);
            }
        }
        let first = self.rows.iter().map(|(name, _)| name.len()).max();
        let first = first.unwrap_or_default();
        let mut table = " ".repeat(first);
        for column in &columns {
            let _ = write!(table, "  {column:>4}");
        }
        for (row, repetitions) in &self.rows {
            let _ = write!(table, "\n{row:first$}");
            for column in &columns {
                let width = column.len().max(4) + 2;
                match median(repetitions, column) {
                    Some(value) => {
                        let digits = if value.abs() < 100.0 { 2 } else { 0 };
                        let _ = write!(table, "{value:width$.digits$}");
                    }
                    None => {
                        let _ = write!(table, "{:>width$}", "-");
                    }
                }
            }
        }
        table.push('\n');
        table
    }

    /// All repetitions.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(row, repetitions)| {
            let repetitions = repetitions.iter().map(|figures| {
                let figures = figures
                    .iter()
                    .map(|(name, value)| (name.to_string(), json!(value)));
                Value::Object(Map::from_iter(figures))
            });
            json!({ "row": row, "repetitions": repetitions.collect::<Vec<_>>() })
        });
        Value::Array(rows.collect())
    }
}

/// The median of `column`, the lower one of two.
fn median(repetitions: &[Figures], column: &str) -> Option<f64> {
    let named = repetitions
        .iter()
        .flatten()
        .filter(|(name, _)| *name == column);
    let mut values: Vec<f64> = named.map(|(_, value)| *value).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_show_medians_and_json_shows_all() {
        let mut report = Report::default();
        for value in [3.0, 1.0, 200.0] {
            report.add("floor", vec![("a", value)]);
            report.add("fanout", vec![("b ms", value * 10.0)]);
        }
        assert_eq!(
            report.table(),
            "           a  b ms\nfloor   3.00     -\nfanout     - 30.00\n"
        );
        assert_eq!(report.json()[1]["repetitions"][2]["b ms"], 2000.0);
    }
}
