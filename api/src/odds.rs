//! Odds made up at random, as the original application made them.

use std::ops::RangeInclusive;

use crds::Column;
use rand::Rng;
use serde_json::{Map, Value};

/// Random odds in hundredths: 0.01 to 0.99.
const HUNDREDTHS: RangeInclusive<u32> = 1..=99;

/// True for a column that holds a number with two decimals exactly as it is given, so that what is
/// answered is what subscribers see.
pub(crate) fn takes_odds(column_type: &str) -> bool {
    let (name, arguments) = column_type.split_once('(').unwrap_or((column_type, ""));
    let mut numbers = arguments
        .trim_end_matches(')')
        .split(',')
        .map(|number| number.parse::<u32>().unwrap_or_default());
    let (first, second) = (numbers.next(), numbers.next());
    match name {
        "TEXT" | "FLOAT" | "DOUBLE" => true,
        // 30.00 in the simulator's odds.
        "CHAR" | "VARCHAR" => first >= Some(5),
        // Two decimals, and two digits before them.
        "DECIMAL" => {
            second >= Some(2)
                && first
                    .zip(second)
                    .is_some_and(|(all, after)| all >= after + 2)
        }
        _ => false,
    }
}

/// A random odd for each column that takes odds.
pub(crate) fn random(columns: &[Column], rng: &mut impl Rng) -> Map<String, Value> {
    columns
        .iter()
        .filter(|column| takes_odds(&column.column_type))
        .map(|column| {
            let odd = f64::from(rng.random_range(HUNDREDTHS)) / 100.0;
            (column.name.clone(), Value::from(odd))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn random_odds_are_numbers_of_two_decimals_within_bounds() {
        let columns = crds::GameSpec::default().table.columns;
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..1000 {
            let odds = random(&columns, &mut rng);
            let names: Vec<_> = odds.keys().map(String::as_str).collect();
            assert_eq!(names, ["odd1", "odd2", "odd3", "odd4", "odd5"]);
            for odd in odds.values() {
                let (number, text) = (odd.as_f64().unwrap(), odd.to_string());
                assert!((0.01..=0.99).contains(&number), "{odd}");
                assert!(text.len() <= 4, "{text}");
            }
        }
    }

    #[test]
    fn only_columns_that_keep_the_value_take_odds() {
        for text in [
            "VARCHAR(50)",
            "CHAR(5)",
            "TEXT",
            "FLOAT",
            "DOUBLE",
            "DECIMAL(10,2)",
            "DECIMAL(4,2)",
        ] {
            assert!(takes_odds(text), "{text}");
        }
        for text in [
            "VARCHAR(3)",
            "INT",
            "BIGINT UNSIGNED",
            "BOOLEAN",
            "DECIMAL(10,0)",
            "DECIMAL(3,2)",
            "BLOB",
            "BINARY(50)",
            "VARBINARY(50)",
            "JSON",
            "DATE",
            "DATETIME(3)",
        ] {
            assert!(!takes_odds(text), "{text}");
        }
    }
}
