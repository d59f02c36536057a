//! All that is served on the public port, put together.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::endpoints;
use crate::error::Error;
use crate::games::Games;
use crate::metrics::{self, Metrics};
use crate::page::{self, Page};
use crate::request::MAX_BODY_BYTES;
use crate::security;
use crate::tables::Tables;

/// Where the OpenAPI document is.
const DOCUMENT: &str = "/openapi.json";

/// Where people read it.
pub(crate) const DOCS: &str = "/docs";

/// What the endpoints work with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) games: Games,
    pub(crate) tables: Tables,
    pub(crate) metrics: Metrics,
}

/// The endpoints, their documentation and the page.
pub(crate) fn router(app: App, page: Page) -> Router {
    let metrics = app.metrics.clone();
    let (endpoints, document) = endpoints::router().with_state(app).split_for_parts();
    let endpoints = endpoints
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        // The API asks nobody who they are, so a foreign page must not act through its visitors.
        .layer(
            CsrfLayer::new()
                .with_rejection_response(|_: ProtectionError| Error::CrossOrigin.into_response()),
        );
    // The files are part of the program. Without "none" the page would ask a server of its
    // maker's to validate the document. The document is named from where the page is.
    let docs = SwaggerUi::new(DOCS)
        .url(DOCUMENT, document)
        .config(Config::new([format!("..{DOCUMENT}")]).validator_url("none"));
    let docs = Router::from(docs).layer(SetResponseHeaderLayer::overriding(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(security::DOCS_POLICY),
    ));
    let policy = page.fanout.clone();
    Router::new()
        .merge(endpoints)
        .merge(docs)
        .merge(page::router(page))
        .method_not_allowed_fallback(async |request: Request| -> Response {
            Error::Method(request.method().to_string()).into_response()
        })
        .layer(from_fn_with_state(policy, security::page_policy))
        .layer(from_fn(security::headers))
        .layer(from_fn_with_state(metrics, metrics::observe))
}
