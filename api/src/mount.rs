//! All that is served, below a path.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use service::PathPrefix;

use crate::error::Error;

/// Serves what `router` serves at `/` below `prefix`, and nothing elsewhere.
pub(crate) fn below(prefix: PathPrefix, router: Router) -> Router {
    if prefix.is_empty() {
        return router;
    }
    // Not nested: routes are known by their paths without the prefix, in metrics too.
    Router::new()
        .fallback_service(router)
        .layer(from_fn_with_state(prefix, enter))
}

async fn enter(State(prefix): State<PathPrefix>, mut request: Request, next: Next) -> Response {
    let target = request.uri().path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let Some(rest) = target.strip_prefix(prefix.as_str()) else {
        return Error::NoPath.into_response();
    };
    if rest.is_empty() || rest.starts_with('?') {
        // The page's own links are relative to its folder.
        return Redirect::permanent(&format!("{prefix}/{rest}")).into_response();
    }
    match rest.parse::<Uri>() {
        Ok(uri) if rest.starts_with('/') => *request.uri_mut() = uri,
        _ => return Error::NoPath.into_response(),
    }
    let mut response = next.run(request).await;
    if let Some(location) = response.headers_mut().get_mut(header::LOCATION)
        && let Some(path) = location.to_str().ok().filter(|path| path.starts_with('/'))
        && let Ok(outside) = HeaderValue::try_from(format!("{prefix}{path}"))
    {
        *location = outside;
    }
    response
}
