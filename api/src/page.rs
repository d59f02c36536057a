//! The web page: its files, and where it finds fanout.

use std::path::PathBuf;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::uri::Authority;
use serde::Serialize;
use tower_http::services::ServeDir;
use url::Url;

use crate::app::DOCS;
use crate::error::Error;

/// Where the build puts files whose names change with their content.
const HASHED: &str = "/assets/";

/// The page's files and its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The folder of the built page; without one, / leads to the documentation.
    pub(crate) files: Option<PathBuf>,
    pub(crate) fanout: Fanout,
}

/// How browsers reach fanout.
#[derive(Debug, Clone)]
pub(crate) struct Fanout {
    /// The whole URL of its MQTT endpoint, where it is known.
    pub(crate) url: Option<Url>,
    /// Else its port on the host that the browser has asked for.
    pub(crate) port: u16,
}

impl Fanout {
    /// Scheme, host and port for a browser that sent these headers: `ws://localhost:8081`.
    ///
    /// # Errors
    /// [`Error::NoHost`] when the request names no host that could stand in a URL.
    pub(crate) fn origin(&self, headers: &HeaderMap) -> Result<String, Error> {
        if let Some(url) = &self.url {
            return Ok(url[..url::Position::BeforePath].to_owned());
        }
        let host = headers
            .get(header::HOST)
            .and_then(|host| Authority::try_from(host.as_bytes()).ok())
            .ok_or(Error::NoHost)?;
        // It becomes part of a header: nothing that could end a directive.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        if host.host().is_empty() || !host.host().bytes().all(plain) {
            return Err(Error::NoHost);
        }
        let secure = headers
            .get("x-forwarded-proto")
            .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"https"));
        let scheme = if secure { "wss" } else { "ws" };
        Ok(format!("{scheme}://{}:{}", host.host(), self.port))
    }

    fn mqtt_url(&self, headers: &HeaderMap) -> Result<String, Error> {
        match &self.url {
            Some(url) => Ok(url.to_string()),
            None => Ok(format!("{}/mqtt", self.origin(headers)?)),
        }
    }
}

/// What `/config.json` tells the page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PageConfig {
    mqtt_url: String,
}

/// `/config.json` and the files.
pub(crate) fn router(page: Page) -> Router {
    let router = Router::new()
        .route("/config.json", get(config))
        .with_state(page.fanout);
    let nothing = async || Error::NoPath.into_response();
    match page.files {
        Some(folder) => {
            let files = ServeDir::new(folder)
                .call_fallback_on_method_not_allowed(true)
                .fallback(Router::new().fallback(nothing));
            router.fallback_service(
                Router::new()
                    .fallback_service(files)
                    .layer(from_fn(cacheable)),
            )
        }
        None => router
            .route("/", get(async || Redirect::temporary(DOCS)))
            .fallback(nothing),
    }
}

async fn config(State(fanout): State<Fanout>, headers: HeaderMap) -> Result<Response, Error> {
    let mqtt_url = fanout.mqtt_url(&headers)?;
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    Ok((no_store, Json(PageConfig { mqtt_url })).into_response())
}

/// A file named after its content never changes; all others are asked for each time.
async fn cacheable(request: Request, next: Next) -> Response {
    let hashed = request.uri().path().starts_with(HASHED);
    let mut response = next.run(request).await;
    let immutable = hashed && response.status().is_success();
    let value = if immutable {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&'static str, &str)]) -> Result<String, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let fanout = Fanout {
            url: None,
            port: 8081,
        };
        fanout.mqtt_url(&headers)
    }

    #[test]
    fn fanout_is_on_the_host_that_was_asked() {
        assert_eq!(
            asked(&[("host", "localhost:8080")]).unwrap(),
            "ws://localhost:8081/mqtt"
        );
        assert_eq!(
            asked(&[("host", "[::1]:8080")]).unwrap(),
            "ws://[::1]:8081/mqtt"
        );
        let secure = [("host", "odds.example"), ("x-forwarded-proto", "https")];
        assert_eq!(asked(&secure).unwrap(), "wss://odds.example:8081/mqtt");
        for bad in ["", "a b", "x;script-src *", "user@"] {
            assert!(asked(&[("host", bad)]).is_err(), "{bad}");
        }
        assert!(asked(&[]).is_err());
    }

    #[test]
    fn a_known_url_is_told_as_it_is() {
        let fanout = Fanout {
            url: Some("wss://live.example/odds/mqtt?v=1".parse().unwrap()),
            port: 8081,
        };
        let headers = HeaderMap::new();
        assert_eq!(
            fanout.mqtt_url(&headers).unwrap(),
            "wss://live.example/odds/mqtt?v=1"
        );
        assert_eq!(fanout.origin(&headers).unwrap(), "wss://live.example");
    }
}
