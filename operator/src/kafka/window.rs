//! How long a topic keeps every record, read from its configuration.

use std::time::Duration;

use rdkafka::admin::ConfigEntry;

/// The longest window that is told: what is kept for ever is kept for this long too, and a reader
/// can subtract it from any time.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long a topic with this configuration keeps every record; none where it may compact a record
/// away at once, or where the configuration does not say.
pub(super) fn kept(entries: &[ConfigEntry]) -> Option<Duration> {
    let value = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name)?;
        entry.value.as_deref()
    };
    let policies: Vec<&str> = value("cleanup.policy")?.split(',').map(str::trim).collect();
    let bound = |policy: &str, setting: &str| {
        if !policies.contains(&policy) {
            return Some(LONGEST);
        }
        let millis: i64 = value(setting)?.parse().ok()?;
        // -1 is for ever.
        u64::try_from(millis).map_or(Some(LONGEST), |millis| Some(Duration::from_millis(millis)))
    };
    let window = bound("compact", "min.compaction.lag.ms")?
        .min(bound("delete", "retention.ms")?)
        .min(LONGEST);
    (!window.is_zero()).then_some(window)
}

#[cfg(test)]
mod tests {
    use rdkafka::admin::ConfigSource;

    use super::*;

    fn window(policy: &str, lag: &str, retention: &str) -> Option<Duration> {
        let entry = |(name, value): (&str, &str)| ConfigEntry {
            name: name.into(),
            value: Some(value.into()),
            source: ConfigSource::Default,
            is_read_only: false,
            is_default: false,
            is_sensitive: false,
        };
        let config = [
            ("cleanup.policy", policy),
            ("min.compaction.lag.ms", lag),
            ("retention.ms", retention),
        ];
        kept(&config.map(entry))
    }

    #[test]
    fn the_policy_says_which_setting_counts() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        assert_eq!(window("compact", "60000", "1"), Some(minute));
        assert_eq!(window("compact", "0", "3600000"), None);
        assert_eq!(window("delete", "0", "3600000"), Some(hour));
        assert_eq!(window("compact,delete", "60000", "3600000"), Some(minute));
        assert_eq!(window("delete, compact", "3600000", "60000"), Some(minute));
        assert_eq!(window("delete", "0", "-1"), Some(LONGEST));
        assert_eq!(window("compact", "9223372036854775807", "1"), Some(LONGEST));
        assert_eq!(window("delete", "0", "x"), None);
        assert_eq!(kept(&[]), None);
    }
}
