//! The API server's requests, counted.

use http::{Method, Request, Uri};
use kube::Client;
use kube::client::Body;
use tower::service_fn;

use crate::calls::Calls;

/// `client`, each of whose requests is counted.
pub(crate) fn observed(client: Client, calls: Calls) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| {
        let (client, calls) = (client.clone(), calls.clone());
        async move {
            let call = call(request.method(), request.uri());
            let exchange = async {
                match client.send(request).await {
                    Ok(answer) if answer.status().as_u16() < 400 => Ok(answer),
                    failed => Err(failed),
                }
            };
            let exchanged = calls.observe(call, exchange).await;
            exchanged.or_else(|failed| failed)
        }
    });
    Client::new(service, namespace)
}

const WATCH: &str = "watch";
const LEASE: &str = "lease";

/// The name of a request in metrics and traces, whatever object it is about.
fn call(method: &Method, uri: &Uri) -> &'static str {
    let parts: Vec<&str> = uri.path().split('/').collect();
    let of = |resource| parts.contains(&resource);
    match *method {
        _ if of("leases") => LEASE,
        Method::POST if of("events") => "create event",
        Method::PATCH if of("events") => "patch event",
        Method::PATCH if parts.last() == Some(&"status") => "patch status",
        Method::GET
            if uri
                .query()
                .is_some_and(|query| query.contains("watch=true")) =>
        {
            WATCH
        }
        Method::GET => "get",
        Method::PATCH => "patch",
        Method::PUT => "replace",
        Method::POST => "create",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_without_its_object() {
        let call = |method, path: &str| call(&method, &path.parse().unwrap());
        let games = "/apis/gamecast.dev/v1alpha1/namespaces/a/games";
        assert_eq!(
            call(Method::PATCH, &format!("{games}/1/status?force=true")),
            "patch status"
        );
        assert_eq!(call(Method::PATCH, &format!("{games}/1")), "patch");
        assert_eq!(call(Method::GET, &format!("{games}?&watch=true")), WATCH);
        assert_eq!(call(Method::GET, &format!("{games}/1")), "get");
        let lease = "/apis/coordination.k8s.io/v1/namespaces/a/leases/x";
        assert_eq!(call(Method::PUT, lease), LEASE);
    }
}
