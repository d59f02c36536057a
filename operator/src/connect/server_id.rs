//! Which `database.server.id` a connector gets. Two of one id end each other's connections, so
//! ids are looked up among all connectors, never worked out from a name.

use std::collections::BTreeMap;

use super::{ConnectError, Listing};
use crate::plan::{ConnectorPlan, SERVER_ID_KEY, ServerId};

/// How many ids there are above a base.
const RANGE: u32 = 10_000;

/// The id for the connector: the one it has where that is allowed, else the lowest free one.
/// `given` are those that were given out lately and may not be listed yet, `reserved` those of the
/// shared connectors, whether or not they are there.
pub(super) fn choose(
    plan: &ConnectorPlan,
    listing: &Listing,
    given: &BTreeMap<String, u32>,
    reserved: &[u32],
) -> Result<u32, ConnectError> {
    let listed = listing
        .iter()
        .filter_map(|(name, connector)| Some((name, connector.server_id()?)));
    let ids: Vec<(&String, u32)> = listed
        .chain(given.iter().map(|(name, id)| (name, *id)))
        .collect();
    let used = |id: u32| {
        ids.iter()
            .find(|(name, other)| **name != plan.name && *other == id)
            .map(|(name, _)| *name)
    };
    match plan.server_id {
        ServerId::Fixed(id) => match used(id) {
            None => Ok(id),
            Some(other) => Err(ConnectError::ServerIdTaken {
                id,
                connector: plan.name.clone(),
                other: other.clone(),
            }),
        },
        ServerId::FreeAbove(base) => {
            let range = base.saturating_add(1)..=base.saturating_add(RANGE);
            let free = |id: &u32| used(*id).is_none() && !reserved.contains(id);
            let current = ids
                .iter()
                .filter(|(name, _)| **name == plan.name)
                .map(|(_, id)| *id)
                .find(|id| range.contains(id) && free(id));
            current
                .or_else(|| range.clone().find(free))
                .ok_or_else(|| ConnectError::NoServerId {
                    connector: plan.name.clone(),
                })
        }
    }
}

impl super::Connector {
    fn server_id(&self) -> Option<u32> {
        self.info.config.get(SERVER_ID_KEY)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Connector, Info};
    use super::*;
    use crate::plan::tests::dedicated;

    fn listing(ids: &[(&str, u32)]) -> Listing {
        let connector = |id: u32| Connector {
            info: Info {
                config: [(SERVER_ID_KEY.to_owned(), id.to_string())].into(),
            },
            ..Connector::default()
        };
        ids.iter()
            .map(|(name, id)| ((*name).to_owned(), connector(*id)))
            .collect()
    }

    #[test]
    fn a_dedicated_connector_gets_the_lowest_free_id_and_keeps_it() {
        let plan = dedicated("7");
        let choose = |ids: &[(&str, u32)], reserved: &[u32]| {
            super::choose(&plan, &listing(ids), &BTreeMap::new(), reserved).unwrap()
        };
        assert_eq!(choose(&[], &[40_000]), 40_001);
        assert_eq!(choose(&[("a", 40_001), ("b", 40_003)], &[40_000]), 40_002);
        assert_eq!(choose(&[("a", 40_001)], &[40_000, 40_002]), 40_003);
        assert_eq!(choose(&[(&plan.name, 40_009)], &[40_000]), 40_009);
        // One that somebody else has, or that is out of range, is given up.
        assert_eq!(choose(&[(&plan.name, 40_009), ("a", 40_009)], &[]), 40_001);
        assert_eq!(choose(&[(&plan.name, 7)], &[]), 40_001);
    }

    #[test]
    fn an_id_that_was_just_given_out_is_not_free() {
        let plan = dedicated("7");
        let given = BTreeMap::from([("gamecast.default.solo.8".to_owned(), 40_001)]);
        assert_eq!(choose(&plan, &listing(&[]), &given, &[]).unwrap(), 40_002);
        let given = BTreeMap::from([(plan.name.clone(), 40_005)]);
        assert_eq!(choose(&plan, &listing(&[]), &given, &[]).unwrap(), 40_005);
    }

    #[test]
    fn a_shared_connector_has_the_base_or_says_who_has_it() {
        let (plan, none) = (crate::plan::tests::shared(), BTreeMap::new());
        assert_eq!(choose(&plan, &listing(&[]), &none, &[]).unwrap(), 40_000);
        let error = choose(&plan, &listing(&[("other", 40_000)]), &none, &[]).unwrap_err();
        assert!(matches!(error, ConnectError::ServerIdTaken { other, .. } if other == "other"));
    }
}
