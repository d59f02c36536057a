//! `/sendodd/{id}` and `/games/{id}/odds`, as far as they go without MySQL.

use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use crate::stub::{Kubernetes, game};
use crate::world::{World, problem, refused, send};

async fn world() -> World {
    let columns = || json!([{"name": "odd1", "type": "VARCHAR(50)"}, {"name": "n", "type": "INT"}]);
    let mut deleting = game("deleting", columns(), &[("Ready", "True")]);
    deleting["metadata"]["deletionTimestamp"] = json!("2026-11-21T14:26:00Z");
    let mut elsewhere = game("elsewhere", columns(), &[("Ready", "True")]);
    elsewhere["spec"]["databaseRef"] = json!({"name": "other"});
    let games = vec![
        game("ready", columns(), &[("Ready", "True")]),
        game("waiting", columns(), &[("Ready", "False")]),
        game(
            "whole",
            json!([{"name": "n", "type": "INT"}]),
            &[("Ready", "True")],
        ),
        game(
            "hostile",
            json!([{"name": "a` INT); --", "type": "INT"}]),
            &[("Ready", "True")],
        ),
        deleting,
        elsewhere,
    ];
    World::ready(Kubernetes::with(games).client().await, &[]).await
}

#[tokio::test]
async fn a_game_that_takes_no_rows_says_why() {
    let api = world().await;
    for path in ["/sendodd/waiting", "/games/waiting/odds"] {
        let (problem, again) = problem(api.post(path, Some(json!({"odd1": 1}))).await).await;
        assert_eq!((problem.status, again.as_deref()), (409, Some("1")));
        assert!(
            problem.detail.contains("BecauseOfTheTest: a test"),
            "{problem:?}"
        );
    }
    for (path, expected) in [
        ("/sendodd/none", (404, "no-game")),
        ("/sendodd/deleting", (409, "game-deleting")),
        ("/sendodd/whole", (422, "invalid")),
        ("/sendodd/elsewhere", (500, "misconfigured")),
    ] {
        let (status, kind, _) = refused(api.post(path, None).await).await;
        assert_eq!((status, kind.as_str()), expected, "{path}");
    }
}

#[tokio::test]
async fn a_row_has_declared_columns_and_fitting_values() {
    let api = world().await;
    let row = json!({"odd1": "0.32", "odd9": 1, "n": [1]});
    let (problem, _) = problem(api.post("/games/ready/odds", Some(row)).await).await;
    assert_eq!(problem.status, 422);
    let fields: Vec<_> = problem
        .errors
        .iter()
        .map(|error| error.field.as_str())
        .collect();
    assert_eq!(fields, ["odd9", "n"]);
    assert!(
        problem.errors[0].message.ends_with("odd1, n"),
        "{problem:?}"
    );
    let (status, ..) = refused(api.post("/games/ready/odds", None).await).await;
    assert_eq!(status, 422, "no columns at all");
    let hostile = json!({"a` INT); --": 1});
    let (status, _, fields) = refused(api.post("/games/hostile/odds", Some(hostile)).await).await;
    assert_eq!(
        (status, fields),
        (422, vec!["spec.table.columns[0].name".into()])
    );
}

#[tokio::test]
async fn a_body_is_a_json_object_of_bounded_size() {
    let api = world().await;
    let with = |kind: &str, body: Vec<u8>| {
        let request = api.http.post(api.url("/games/ready/odds"));
        send(request.header(CONTENT_TYPE, kind).body(body))
    };
    for (kind, body, expected) in [
        ("application/json", b"[1]".to_vec(), (400, "malformed")),
        (
            "application/json",
            b"{\"odd1\":".to_vec(),
            (400, "malformed"),
        ),
        (
            "application/json",
            b"{\"odd1\":\"\xff\"}".to_vec(),
            (400, "malformed"),
        ),
        ("text/plain", b"{\"odd1\":1}".to_vec(), (415, "media-type")),
        (
            "application/json",
            vec![b' '; (1 << 20) + 1],
            (413, "too-large"),
        ),
    ] {
        let (status, name, _) = refused(with(kind, body).await).await;
        assert_eq!((status, name.as_str()), expected);
    }
}

#[tokio::test]
async fn without_mysql_rows_are_refused_and_counted() {
    let api = world().await;
    for path in ["/sendodd/ready", "/games/ready/odds"] {
        let (problem, again) = problem(api.post(path, Some(json!({"odd1": 1}))).await).await;
        assert_eq!((problem.status, again.as_deref()), (503, Some("1")));
        assert!(!problem.detail.contains("127.0.0.1"), "{problem:?}");
    }
    let (_, metrics) = api.admin("/metrics").await;
    for line in [
        "gamecast_api_inserts_total{outcome=\"Failed\"} 2",
        "gamecast_api_http_requests_total{method=\"POST\",route=\"/sendodd/{id}\",status=\"503\"} 1",
        "gamecast_api_http_request_duration_seconds_count{method=\"POST\",route=\"/games/{id}/odds\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_act_through_its_visitors() {
    let api = world().await;
    let foreign = api
        .http
        .post(api.url("/sendodd/ready"))
        .header("origin", "https://elsewhere.example")
        .header("sec-fetch-site", "cross-site");
    let (status, kind, _) = refused(send(foreign).await).await;
    assert_eq!((status, kind.as_str()), (403, "cross-origin"));
}
