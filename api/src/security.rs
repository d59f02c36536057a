//! Headers that tell browsers what a page of this origin may do.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::page::Fanout;

/// The Content-Security-Policy of /docs, whose style sheets and icons are in its script.
pub(crate) const DOCS_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Sets the Content-Security-Policy of all else: nothing from elsewhere but fanout's WebSocket.
pub(crate) async fn page_policy(
    State(fanout): State<Fanout>,
    request: Request,
    next: Next,
) -> Response {
    let origin = fanout.origin(request.headers()).unwrap_or_default();
    let policy = format!(
        "default-src 'self'; connect-src 'self' {origin}; img-src 'self' data:; \
         object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = next.run(request).await;
    if let Ok(policy) = HeaderValue::try_from(policy) {
        response
            .headers_mut()
            .entry(header::CONTENT_SECURITY_POLICY)
            .or_insert(policy);
    }
    response
}

/// Sets the headers that every response has.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}
