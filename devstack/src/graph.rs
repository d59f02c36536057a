//! Runs one action per server, side by side, each as soon as those before it are done.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use tokio::sync::watch;

use crate::server::Server;

/// Runs `action` for each of `servers` once it is done for all that the server needs.
///
/// The first failure is returned, and the actions still under way are dropped.
pub(crate) async fn needed_first<E, F>(
    servers: &BTreeSet<Server>,
    action: impl Fn(Server) -> F,
) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    in_order(servers, |server| server.needs().to_vec(), action).await
}

/// Runs `action` for each of `servers` once it is done for all that need the server.
pub(crate) async fn needed_last<E, F>(
    servers: &BTreeSet<Server>,
    action: impl Fn(Server) -> F,
) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let needed_by = |server| {
        let mut needed_by = Server::ALL.to_vec();
        needed_by.retain(|other| other.needs().contains(&server));
        needed_by
    };
    in_order(servers, needed_by, action).await
}

async fn in_order<E, F>(
    servers: &BTreeSet<Server>,
    before: impl Fn(Server) -> Vec<Server>,
    action: impl Fn(Server) -> F,
) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
{
    let done: BTreeMap<Server, watch::Sender<bool>> = servers
        .iter()
        .map(|server| (*server, watch::Sender::new(false)))
        .collect();
    try_join_all(done.iter().map(|(server, sender)| {
        // What is not among `servers` is not waited for: its caller answers for it.
        let before: Vec<_> = before(*server)
            .iter()
            .filter_map(|other| done.get(other))
            .map(watch::Sender::subscribe)
            .collect();
        let action = &action;
        async move {
            for mut other in before {
                // The senders outlive this future, so the wait ends only with `true`.
                let _ = other.wait_for(|done| *done).await;
            }
            action(*server).await?;
            sender.send_replace(true);
            Ok(())
        }
    }))
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use super::*;

    /// The order in which the actions ran when each yields a few times.
    async fn order(forward: bool, servers: &BTreeSet<Server>) -> Vec<Server> {
        let seen = Mutex::new(Vec::new());
        let action = async |server| {
            tokio::task::yield_now().await;
            seen.lock().unwrap().push(server);
            Ok::<(), Infallible>(())
        };
        let done = if forward {
            needed_first(servers, action).await
        } else {
            needed_last(servers, action).await
        };
        assert_eq!(done, Ok(()));
        seen.into_inner().unwrap()
    }

    #[tokio::test]
    async fn starts_what_is_needed_first_and_ends_it_last() {
        let all = BTreeSet::from(Server::ALL);
        let up = order(true, &all).await;
        let down = order(false, &all).await;
        assert_eq!(up.len(), Server::ALL.len());
        assert_eq!(down.len(), Server::ALL.len());
        let at = |order: &[Server], server| order.iter().position(|s| *s == server).unwrap();
        for server in Server::ALL {
            for need in server.needs() {
                assert!(at(&up, *need) < at(&up, server), "{up:?}");
                assert!(at(&down, *need) > at(&down, server), "{down:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_server_alone_waits_for_nothing() {
        let alone = BTreeSet::from([Server::Connect]);
        assert_eq!(order(true, &alone).await, [Server::Connect]);
    }

    #[tokio::test]
    async fn the_first_failure_ends_the_rest() {
        let all = BTreeSet::from(Server::ALL);
        let result = needed_first(&all, async |server| match server {
            Server::Etcd => Err("etcd failed"),
            Server::ApiServer => panic!("started without etcd"),
            _ => std::future::pending().await,
        });
        assert_eq!(result.await, Err("etcd failed"));
    }
}
