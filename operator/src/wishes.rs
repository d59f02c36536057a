//! What people ask of the operator by annotations of one object ([`crds::annotations`]).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crds::annotations::{ABANDON, ALL, PAUSED, RECONCILE_AT, RELEASED};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

/// How long a released object stays without its finalizer: longer than uninstalling takes. An
/// operator that runs after that, because it was installed again or never went, takes it back.
const RELEASE_LASTS: Duration = Duration::from_secs(600);

/// The longest part of a text that a status repeats.
const TEXT_CHARS: usize = 64;

fn text<'a>(object: &'a impl ResourceExt, name: &str) -> Option<&'a str> {
    object.annotations().get(name).map(String::as_str)
}

/// True when the object is to be left alone.
pub(crate) fn is_paused(object: &impl ResourceExt) -> bool {
    text(object, PAUSED) == Some("true")
}

/// True when the object is to go without its data.
pub(crate) fn is_abandoned(object: &impl ResourceExt) -> bool {
    text(object, ABANDON) == Some("true")
}

/// The run that is asked for.
pub(crate) fn reconcile_at(object: &impl ResourceExt) -> Option<String> {
    text(object, RECONCILE_AT).map(|text| text.chars().take(TEXT_CHARS).collect())
}

/// True when the object was released from its finalizer a short time before `now`.
pub(crate) fn is_released(object: &impl ResourceExt, now: Timestamp) -> bool {
    let released = text(object, RELEASED).and_then(|text| text.parse::<Timestamp>().ok());
    released.is_some_and(|released| {
        // What lies in the future, as clocks differ, is no time ago.
        let ago = now.duration_since(released).as_secs();
        u64::try_from(ago).unwrap_or_default() < RELEASE_LASTS.as_secs()
    })
}

/// What a reconcile depends on: statuses and finalizers that are written change nothing of it.
pub(crate) fn version(object: &impl ResourceExt) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    object.meta().generation.hash(&mut hasher);
    ALL.map(|name| text(object, name)).hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crds::annotations::RESNAPSHOT_AT;
    use crds::{Game, GameSpec};

    use super::*;

    fn game(name: &str, value: &str) -> Game {
        let mut game = Game::new("1", GameSpec::default());
        game.annotations_mut().insert(name.into(), value.into());
        game
    }

    #[test]
    fn only_true_is_a_wish() {
        assert!(is_paused(&game(PAUSED, "true")));
        assert!(is_abandoned(&game(ABANDON, "true")));
        for value in ["", "false", "yes", "True"] {
            assert!(!is_paused(&game(PAUSED, value)), "{value}");
            assert!(!is_abandoned(&game(ABANDON, value)), "{value}");
        }
    }

    #[test]
    fn a_release_lasts_as_long_as_uninstalling_takes() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        for (at, released) in [
            ("2026-01-01T11:59:00Z", true),
            ("2026-01-01T12:00:05Z", true),
            ("2026-01-01T11:49:00Z", false),
            ("soon", false),
        ] {
            assert_eq!(is_released(&game(RELEASED, at), now), released, "{at}");
        }
        assert!(!is_released(&game(PAUSED, "true"), now));
    }

    #[test]
    fn annotations_of_others_change_nothing() {
        let plain = version(&Game::new("1", GameSpec::default()));
        assert_eq!(version(&game("example.com/note", "x")), plain);
        // Each of ours changes it, and differently: what a watch shows is then reconciled at once.
        let ours = ALL.map(|name| version(&game(name, "x")));
        let different: HashSet<_> = ours.iter().chain([&plain]).collect();
        assert_eq!(different.len(), ALL.len() + 1);
        let now = "2026-11-22T00:00:00Z";
        assert_ne!(version(&game(RESNAPSHOT_AT, now)), plain);
    }

    #[test]
    fn a_long_text_is_repeated_in_part() {
        let long = game(RECONCILE_AT, &"é".repeat(100));
        assert_eq!(reconcile_at(&long), Some("é".repeat(64)));
    }
}
