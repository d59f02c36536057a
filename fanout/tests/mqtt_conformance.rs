//! Holds `docs/mqtt-conformance.md` to what it says of itself: every numbered statement of both
//! standards is there once, and the tests that it names exist.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How many statements each section has: Appendix B of MQTT 5.0.
const V5: &[(&str, u32)] = &[
    ("1.5.4", 3),
    ("1.5.5", 1),
    ("1.5.7", 1),
    ("2.1.3", 1),
    ("2.2.1", 6),
    ("2.2.2", 1),
    ("3.1.0", 2),
    ("3.1.2", 30),
    ("3.1.3", 12),
    ("3.1.4", 6),
    ("3.2.0", 2),
    ("3.2.2", 22),
    ("3.3.1", 13),
    ("3.3.2", 20),
    ("3.3.4", 10),
    ("3.4.2", 3),
    ("3.5.2", 3),
    ("3.6.1", 1),
    ("3.6.2", 3),
    ("3.7.2", 3),
    ("3.8.1", 1),
    ("3.8.3", 5),
    ("3.8.4", 8),
    ("3.9.2", 2),
    ("3.9.3", 2),
    ("3.10.1", 1),
    ("3.10.3", 2),
    ("3.10.4", 6),
    ("3.11.2", 2),
    ("3.11.3", 2),
    ("3.12.4", 1),
    ("3.14.0", 1),
    ("3.14.1", 1),
    ("3.14.2", 4),
    ("3.14.4", 3),
    ("3.15.1", 1),
    ("3.15.2", 3),
    ("4.1.0", 2),
    ("4.2.0", 1),
    ("4.3.1", 1),
    ("4.3.2", 5),
    ("4.3.3", 13),
    ("4.4.0", 2),
    ("4.5.0", 2),
    ("4.6.0", 6),
    ("4.7.0", 1),
    ("4.7.1", 2),
    ("4.7.2", 1),
    ("4.7.3", 4),
    ("4.8.2", 6),
    ("4.9.0", 3),
    ("4.12.0", 7),
    ("4.12.1", 2),
    ("4.13.1", 1),
    ("4.13.2", 1),
    ("6.0.0", 4),
];

/// Appendix B of MQTT 3.1.1.
const V3: &[(&str, u32)] = &[
    ("1.5.3", 3),
    ("2.2.2", 2),
    ("2.3.1", 7),
    ("3.1.0", 2),
    ("3.1.2", 24),
    ("3.1.3", 11),
    ("3.1.4", 5),
    ("3.2.0", 1),
    ("3.2.2", 6),
    ("3.3.1", 12),
    ("3.3.2", 3),
    ("3.3.4", 1),
    ("3.3.5", 2),
    ("3.6.1", 1),
    ("3.8.1", 1),
    ("3.8.3", 4),
    ("3.8.4", 6),
    ("3.9.3", 2),
    ("3.10.1", 1),
    ("3.10.3", 2),
    ("3.10.4", 6),
    ("3.12.4", 1),
    ("3.14.1", 1),
    ("3.14.4", 3),
    ("4.1.0", 2),
    ("4.3.1", 1),
    ("4.3.2", 2),
    ("4.3.3", 2),
    ("4.4.0", 1),
    ("4.5.0", 2),
    ("4.6.0", 6),
    ("4.7.1", 3),
    ("4.7.2", 1),
    ("4.7.3", 4),
    ("4.8.0", 2),
    ("6.0.0", 4),
    ("7.0.0", 2),
    ("7.1.1", 2),
    ("7.1.2", 2),
];

struct Row {
    v5: String,
    v3: String,
    shown_by: String,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mqtt-conformance.md");
    let text = fs::read_to_string(path).unwrap();
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_string()).collect()
    };
    let lines = text.lines().filter(|line| line.starts_with("| "));
    let rows = lines.map(cells).filter(|cells| cells[0] != "5.0");
    rows.map(|cells| {
        let [v5, v3, _, shown_by] = cells.try_into().unwrap();
        Row { v5, v3, shown_by }
    })
    .collect()
}

/// The statements of a cell such as `3.1.0-1, 3.1.2-4 to 3.1.2-6`.
fn statements(cell: &str) -> Vec<(String, u32)> {
    let statement = |text: &str| {
        let (section, number) = text.split_once('-').unwrap_or_else(|| panic!("{text}"));
        (section.to_string(), number.parse().unwrap())
    };
    let mut statements = Vec::new();
    for part in cell.split(", ").filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once(" to ").unwrap_or((part, part));
        let ((section, first), (end, last)) = (statement(from), statement(to));
        assert_eq!(section, end, "{part}");
        statements.extend((first..=last).map(|number| (section.clone(), number)));
    }
    statements
}

fn check(version: &str, named: impl Iterator<Item = (String, u32)>, sections: &[(&str, u32)]) {
    let mut times = BTreeMap::new();
    for (section, count) in sections {
        for number in 1..=*count {
            times.insert((section.to_string(), number), 0);
        }
    }
    if version == "5.0" {
        // The standard has no such number.
        times.remove(&("2.2.1".to_string(), 1));
    }
    for statement in named {
        let times = times.get_mut(&statement);
        *times.unwrap_or_else(|| panic!("MQTT {version} has no {statement:?}")) += 1;
    }
    let wrong: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    assert!(
        wrong.is_empty(),
        "MQTT {version}, not named once: {wrong:?}"
    );
}

/// The names of all tests in a folder.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            for attribute in ["#[test]", "#[tokio::test]"] {
                for after in text.split(attribute).skip(1) {
                    let name = after
                        .split_once("fn ")
                        .and_then(|(_, rest)| rest.split_once('('));
                    found.extend(name.map(|(name, _)| name.to_string()));
                }
            }
        }
    }
}

#[test]
fn every_statement_is_named_once() {
    let rows = rows();
    let named = |cell: fn(&Row) -> &str| {
        let statements = rows.iter().flat_map(|row| statements(cell(row)));
        statements.collect::<Vec<_>>().into_iter()
    };
    check("5.0", named(|row| &row.v5), V5);
    check("3.1.1", named(|row| &row.v3), V3);
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for folder in ["src", "tests", "../route/src"] {
        tests(&root.join(folder), &mut found);
    }
    for row in rows() {
        let names: Vec<&str> = row.shown_by.split('`').skip(1).step_by(2).collect();
        for name in &names {
            assert!(found.contains(*name), "there is no test {name}");
        }
        let reason = row.shown_by.starts_with("**Departs**")
            || row.shown_by.starts_with("does not apply")
            || row.shown_by.split(' ').count() > 3;
        assert!(!names.is_empty() || reason, "{}{}", row.v5, row.v3);
    }
}
