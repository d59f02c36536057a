//! Picks a few scalar fields out of a JSON document without building the document.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The path of a field below the document's root, `a.b` as `["a", "b"]`.
pub(crate) type Path = Vec<String>;

/// Reads `json` whole, so that a malformed tail is noticed, and returns the text of each path:
/// a string as it is, a number or boolean as JSON writes it, and `None` for a field that is
/// missing, null, an object or an array. Of a repeated key the last one counts.
pub(crate) fn pick(json: &[u8], paths: &[Path]) -> Result<Vec<Option<String>>, serde_json::Error> {
    let mut found = vec![None; paths.len()];
    let mut document = serde_json::Deserializer::from_slice(json);
    let wanted: Vec<usize> = (0..paths.len()).collect();
    Node {
        paths,
        wanted: &wanted,
        depth: 0,
        found: &mut found,
    }
    .deserialize(&mut document)?;
    document.end()?;
    Ok(found)
}

/// A value at `depth`, which the paths in `wanted` have led to.
struct Node<'a> {
    paths: &'a [Path],
    wanted: &'a [usize],
    depth: usize,
    found: &'a mut [Option<String>],
}

impl Node<'_> {
    fn set(self, text: Option<&dyn fmt::Display>) {
        for &index in self.wanted {
            if self.paths[index].len() == self.depth {
                self.found[index] = text.map(ToString::to_string);
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.set(Some(&text));
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.set(Some(&value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.set(Some(&value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.set(Some(&value));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.set(Some(&value));
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.set(None);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.set(None);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(key) = entries.next_key::<std::borrow::Cow<'de, str>>()? {
            let wanted: Vec<usize> = self
                .wanted
                .iter()
                .copied()
                .filter(|&index| {
                    self.paths[index]
                        .get(self.depth)
                        .is_some_and(|name| *name == key)
                })
                .collect();
            if wanted.is_empty() {
                entries.next_value::<IgnoredAny>()?;
            } else {
                for &index in &wanted {
                    self.found[index] = None;
                }
                entries.next_value_seed(Node {
                    paths: self.paths,
                    wanted: &wanted,
                    depth: self.depth + 1,
                    found: self.found,
                })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(json: &str, paths: &[&str]) -> Vec<Option<String>> {
        let paths: Vec<Path> = paths
            .iter()
            .map(|path| path.split('.').map(Into::into).collect())
            .collect();
        pick(json.as_bytes(), &paths).unwrap()
    }

    #[test]
    fn reads_scalars_at_any_depth() {
        let json = r#"{"a":"x","b":{"c":7,"d":{"e":true}},"f":-1.5,"a\u0062":"escaped"}"#;
        assert_eq!(
            picked(json, &["a", "b.c", "b.d.e", "f", "ab"]),
            [
                Some("x".into()),
                Some("7".into()),
                Some("true".into()),
                Some("-1.5".into()),
                Some("escaped".into())
            ]
        );
    }

    #[test]
    fn what_is_no_scalar_is_missing() {
        let json = r#"{"a":null,"b":[1],"c":{"x":1}}"#;
        assert_eq!(
            picked(json, &["a", "b", "c", "d", "b.x"]),
            [None, None, None, None, None]
        );
        assert_eq!(picked("42", &["a"]), [None]);
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        assert_eq!(picked(r#"{"a":1,"a":2}"#, &["a"]), [Some("2".into())]);
        assert_eq!(picked(r#"{"a":{"b":1},"a":{}}"#, &["a.b"]), [None]);
    }

    #[test]
    fn a_malformed_tail_is_an_error() {
        for json in ["", "{", r#"{"a":1}x"#, r#"{"a":1,"b":}"#, "\u{1}"] {
            assert!(
                pick(json.as_bytes(), &[vec!["a".into()]]).is_err(),
                "{json}"
            );
        }
    }
}
