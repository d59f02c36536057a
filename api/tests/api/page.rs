//! The web page.

use reqwest::Response;
use serde_json::{Value, json};

use crate::stub::Kubernetes;
use crate::world::{World, refused, send};

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[tokio::test]
async fn the_page_is_served_with_fitting_headers() {
    let api = World::ready(Kubernetes::default().client().await, &["--web-dir={web}"]).await;
    let index = api.get("/").await;
    assert_eq!(index.status(), 200);
    assert_eq!(header(&index, "cache-control"), "no-cache");
    assert_eq!(header(&index, "x-content-type-options"), "nosniff");
    let policy = header(&index, "content-security-policy");
    assert!(
        policy.contains("connect-src 'self' ws://127.0.0.1:8081;"),
        "{policy}"
    );
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(index.text().await.unwrap().contains("<title>Odds</title>"));
    let script = api.get("/assets/index-4f2a.js").await;
    assert_eq!(script.status(), 200);
    assert_eq!(
        header(&script, "cache-control"),
        "public, max-age=31536000, immutable"
    );
    let missing = api.get("/assets/index-0000.js").await;
    assert_eq!(header(&missing, "cache-control"), "no-cache");
    let (status, kind, _) = refused(missing).await;
    assert_eq!((status, kind.as_str()), (404, "no-path"));
    let (status, ..) = refused(api.get("/../../etc/passwd").await).await;
    assert_eq!(status, 404);
    let (status, ..) = refused(api.post("/index.html", None).await).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn all_of_it_is_below_the_path_prefix() {
    let flags = ["--web-dir={web}", "--path-prefix=/live"];
    let api = World::ready(Kubernetes::default().client().await, &flags).await;
    for path in [
        "/live/",
        "/live/assets/index-4f2a.js",
        "/live/config.json",
        "/live/docs/",
    ] {
        assert_eq!(api.get(path).await.status(), 200, "{path}");
    }
    assert_eq!(api.get("/live/games?limit=2").await.status(), 200);
    let bare = api.get("/live?a=b").await;
    assert_eq!(
        (bare.status().as_u16(), header(&bare, "location")),
        (308, "/live/?a=b")
    );
    let docs = api.get("/live/docs").await;
    assert_eq!(
        (docs.status().as_u16(), header(&docs, "location")),
        (303, "/live/docs/")
    );
    for path in [
        "/",
        "/games",
        "/config.json",
        "/livegames",
        "/live/live/games",
    ] {
        assert_eq!(refused(api.get(path).await).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn the_page_learns_where_fanout_is() {
    let api = World::ready(
        Kubernetes::default().client().await,
        &["--fanout-port=9999"],
    )
    .await;
    let request = api.http.get(api.url("/config.json"));
    let response = send(request.header("host", "odds.example:8080")).await;
    assert_eq!(header(&response, "cache-control"), "no-store");
    let config: Value = response.json().await.unwrap();
    assert_eq!(config, json!({"mqttUrl": "ws://odds.example:9999/mqtt"}));

    let flags = ["--mqtt-url=wss://live.example/mqtt"];
    let api = World::ready(Kubernetes::default().client().await, &flags).await;
    let response = api.get("/config.json").await;
    let policy = header(&response, "content-security-policy");
    assert!(
        policy.contains("connect-src 'self' wss://live.example;"),
        "{policy}"
    );
    let config: Value = response.json().await.unwrap();
    assert_eq!(config, json!({"mqttUrl": "wss://live.example/mqtt"}));
}

#[tokio::test]
async fn without_a_page_the_documentation_is_shown() {
    let api = World::ready(Kubernetes::default().client().await, &[]).await;
    let response = api.get("/").await;
    assert_eq!(response.status(), 307);
    assert_eq!(header(&response, "location"), "/docs");
    let (status, kind, _) = refused(api.get("/nothing").await).await;
    assert_eq!((status, kind.as_str()), (404, "no-path"));
}
