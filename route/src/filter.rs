//! Topic filters: what a subscriber asks for.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::name::MAX_TOPIC_BYTES;
use crate::template::TopicTemplate;

/// A valid MQTT topic filter (MQTT 5.0 section 4.7).
///
/// `+` stands for exactly one level, a trailing `#` for the level before it and all below.
/// Neither, as the first level, matches a topic that begins with `$` (section 4.7.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter(Box<str>);

/// Why a text is no topic filter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FilterError {
    #[error("a topic filter must not be empty")]
    Empty,
    #[error("a topic filter has at most {MAX_TOPIC_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    #[error("a topic filter must not contain U+0000")]
    Nul,
    #[error("# must be the last level of a topic filter and stand alone in it, as in games/#")]
    MisplacedHash,
    #[error("+ must stand alone in its level, as in US/+/AAPL")]
    MisplacedPlus,
}

impl TopicFilter {
    /// The filter as the subscriber wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The filter's levels, wildcards included.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// True when the filter holds a wildcard, so that it may match more than one topic.
    pub fn has_wildcard(&self) -> bool {
        self.0.contains(['+', '#'])
    }

    /// True when `topic` is matched (MQTT 5.0 sections 4.7.1 and 4.7.2).
    pub fn matches(&self, topic: &str) -> bool {
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut names = topic.split('/');
        for level in self.levels() {
            match (level, names.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (literal, Some(name)) if literal == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }

    /// True unless no record can ever render `template` to a topic that this filter matches.
    pub fn may_match(&self, template: &TopicTemplate) -> bool {
        let mut patterns = template.levels();
        for level in self.levels() {
            match (level, patterns.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (literal, Some(pattern)) if pattern.may_render(literal) => {}
                _ => return false,
            }
        }
        patterns.next().is_none()
    }
}

impl FromStr for TopicFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.is_empty() {
            return Err(FilterError::Empty);
        }
        if text.len() > MAX_TOPIC_BYTES {
            return Err(FilterError::TooLong(text.len()));
        }
        if text.contains('\0') {
            return Err(FilterError::Nul);
        }
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            if level.contains('#') && (level != "#" || levels.peek().is_some()) {
                return Err(FilterError::MisplacedHash);
            }
            if level.contains('+') && level != "+" {
                return Err(FilterError::MisplacedPlus);
            }
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> TopicFilter {
        text.parse().unwrap()
    }

    /// The examples of MQTT 5.0 section 4.7.1.2, multi-level wildcard.
    #[test]
    fn multi_level_wildcard_examples_of_the_standard() {
        let tennis = filter("sport/tennis/player1/#");
        assert!(tennis.matches("sport/tennis/player1"));
        assert!(tennis.matches("sport/tennis/player1/ranking"));
        assert!(tennis.matches("sport/tennis/player1/score/wimbledon"));
        assert!(filter("sport/#").matches("sport"));
        assert!(filter("#").matches("sport/tennis"));
        assert!("sport/tennis/#".parse::<TopicFilter>().is_ok());
        assert_eq!(
            "sport/tennis#".parse::<TopicFilter>(),
            Err(FilterError::MisplacedHash)
        );
        assert_eq!(
            "sport/tennis/#/ranking".parse::<TopicFilter>(),
            Err(FilterError::MisplacedHash)
        );
    }

    /// The examples of MQTT 5.0 section 4.7.1.3, single-level wildcard.
    #[test]
    fn single_level_wildcard_examples_of_the_standard() {
        let tennis = filter("sport/tennis/+");
        assert!(tennis.matches("sport/tennis/player1"));
        assert!(tennis.matches("sport/tennis/player2"));
        assert!(!tennis.matches("sport/tennis/player1/ranking"));
        assert!(!filter("sport/+").matches("sport"));
        assert!(filter("sport/+").matches("sport/"));
        assert!("+".parse::<TopicFilter>().is_ok());
        assert!("+/tennis/#".parse::<TopicFilter>().is_ok());
        assert!("sport/+/player1".parse::<TopicFilter>().is_ok());
        assert_eq!(
            "sport+".parse::<TopicFilter>(),
            Err(FilterError::MisplacedPlus)
        );
        assert!(filter("+/+").matches("/finance"));
        assert!(filter("/+").matches("/finance"));
        assert!(!filter("+").matches("/finance"));
    }

    /// The examples of MQTT 5.0 section 4.7.2, topics beginning with $.
    #[test]
    fn dollar_examples_of_the_standard() {
        assert!(!filter("#").matches("$SYS/monitor/Clients"));
        assert!(!filter("+/monitor/Clients").matches("$SYS/monitor/Clients"));
        assert!(filter("$SYS/#").matches("$SYS/monitor/Clients"));
        assert!(filter("$SYS/monitor/+").matches("$SYS/monitor/Clients"));
    }

    /// MQTT 5.0 section 4.7.3: names are case sensitive, and a slash makes another topic.
    #[test]
    fn semantics_of_the_standard() {
        assert!(!filter("ACCOUNTS").matches("Accounts"));
        assert!(filter("Accounts payable").matches("Accounts payable"));
        assert!(!filter("/finance").matches("finance"));
        assert_eq!("".parse::<TopicFilter>(), Err(FilterError::Empty));
        assert_eq!("a\0".parse::<TopicFilter>(), Err(FilterError::Nul));
    }

    #[test]
    fn knows_which_templates_it_can_never_match() {
        let stocks: TopicTemplate = "{countryCode}/NASDAQ/{tickerSymbol}".parse().unwrap();
        for yes in ["#", "US/#", "+/NASDAQ/+", "US/NASDAQ/AAPL", "US/+/+"] {
            assert!(filter(yes).may_match(&stocks), "{yes}");
        }
        for no in ["US", "US/NYSE/+", "US/NASDAQ", "US/NASDAQ/AAPL/x", "+"] {
            assert!(!filter(no).may_match(&stocks), "{no}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_the_text(text in "[a-b/+#$\\x00é]{0,12}") {
            if let Ok(filter) = text.parse::<TopicFilter>() {
                prop_assert_eq!(filter.as_str(), text.as_str());
                filter.matches(&text);
            }
        }

        #[test]
        fn a_topic_matches_itself_and_its_widenings(
            levels in proptest::collection::vec("[a-c]{1,2}", 1..5),
            at in 0usize..5,
        ) {
            let topic = levels.join("/");
            let at = at % levels.len();
            let mut plus = levels.clone();
            plus[at] = "+".into();
            let mut hash = levels[..at].to_vec();
            hash.push("#".into());
            prop_assert!(filter(&topic).matches(&topic));
            prop_assert!(filter(&plus.join("/")).matches(&topic));
            prop_assert!(filter(&hash.join("/")).matches(&topic));
        }
    }
}
