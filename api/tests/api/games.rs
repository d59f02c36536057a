//! `/games`.

use serde_json::{Value, json};

use crate::stub::{Kubernetes, client, game};
use crate::world::{World, problem, refused};

fn columns() -> Value {
    json!([{"name": "odd1", "type": "VARCHAR(50)"}])
}

#[tokio::test]
async fn applying_tells_a_creation_from_a_change() {
    let kubernetes = Kubernetes::default();
    let api = World::ready(kubernetes.client().await, &[]).await;
    let created = api.post("/games/new", None).await;
    assert_eq!(created.status(), 201);
    let created: Value = created.json().await.unwrap();
    assert_eq!(created["id"], "new");
    assert_eq!(created["ready"], false);
    let spec = json!({"displayName": "Flamengo x Palmeiras"});
    let changed = api.post("/games/known", Some(spec.clone())).await;
    assert_eq!(changed.status(), 200);
    let changed: Value = changed.json().await.unwrap();
    assert_eq!(changed["ready"], true);
    assert_eq!(changed["topic"], "games/known");
    assert_eq!(changed["createdAt"], "2026-11-21T14:26:00Z");

    let asked = kubernetes.asked();
    assert_eq!(
        asked[0].body["spec"],
        json!({}),
        "defaults are the API server's"
    );
    assert_eq!(asked[1].body["spec"], spec);
    for asked in asked {
        assert_eq!(asked.method, "PATCH");
        assert_eq!(asked.content_type, "application/apply-patch+yaml");
        assert!(
            asked.query.contains("fieldManager=gamecast-api"),
            "{asked:?}"
        );
        assert!(!asked.query.contains("force"), "{asked:?}");
        assert_eq!(asked.body["metadata"], json!({"name": asked.name}));
    }
    api.end().await.unwrap();
}

#[tokio::test]
async fn what_the_api_server_refuses_is_explained() {
    let api = World::ready(Kubernetes::default().client().await, &[]).await;
    let (invalid, _) = problem(api.post("/games/immutable", None).await).await;
    assert_eq!(invalid.status, 422);
    assert_eq!(invalid.errors[0].field, "spec");
    assert_eq!(
        invalid.errors[0].message,
        "connector cannot be changed: create another Game for another mode"
    );
    let (taken, _) = problem(api.post("/games/taken", None).await).await;
    assert_eq!(taken.status, 409);
    assert_eq!(taken.errors[0].field, "spec.displayName");
    assert!(taken.errors[0].message.contains("kubectl"), "{taken:?}");
    let (deleting, again) = problem(api.post("/games/deleting", None).await).await;
    assert_eq!((deleting.status, again.as_deref()), (409, Some("1")));
    let (down, again) = problem(api.post("/games/down", None).await).await;
    assert_eq!((down.status, again.as_deref()), (503, Some("1")));
    assert!(!down.detail.contains("proxy"), "{down:?}");
    let (status, kind, _) = refused(api.post("/games/forbidden", None).await).await;
    assert_eq!((status, kind.as_str()), (500, "misconfigured"));
}

#[tokio::test]
async fn what_is_wrong_never_reaches_the_api_server() {
    let kubernetes = Kubernetes::default();
    let api = World::ready(kubernetes.client().await, &[]).await;
    for id in [
        "1;%20DROP%20TABLE%20x",
        "A",
        "a_b",
        "-a",
        "%ff",
        &"a".repeat(51),
    ] {
        let path = format!("/games/{id}");
        for response in [
            api.get(&path).await,
            api.post(&path, None).await,
            api.delete(&path).await,
            api.post(&format!("/sendodd/{id}"), None).await,
            api.post(&format!("{path}/odds"), Some(json!({"odd1": 1})))
                .await,
        ] {
            let (status, kind, fields) = refused(response).await;
            assert_eq!((status, kind.as_str()), (422, "invalid"), "{id}");
            assert_eq!(fields, ["id"], "{id}");
        }
    }
    let column = json!({"table": {"columns": [{"name": "odd1", "type": "VARCHAR(50)); DROP"}]}});
    let (status, _, fields) = refused(api.post("/games/new", Some(column)).await).await;
    assert_eq!(
        (status, fields),
        (422, vec!["spec.table.columns[0].type".into()])
    );
    let unknown = json!({"displayname": "x"});
    let (status, _, fields) = refused(api.post("/games/new", Some(unknown)).await).await;
    assert_eq!((status, fields), (422, vec!["spec.displayname".into()]));
    assert_eq!(kubernetes.asked().len(), 0);
}

#[tokio::test]
async fn games_come_in_pages_by_id() {
    let ids = ["c", "a", "e", "b", "d"];
    let games = ids
        .map(|id| game(id, columns(), &[("Ready", "True")]))
        .into();
    let api = World::ready(Kubernetes::with(games).client().await, &[]).await;
    let mut seen = Vec::new();
    let mut path = "/games?limit=2".to_owned();
    loop {
        let page: Value = api.get(&path).await.json().await.unwrap();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(
            items
                .iter()
                .map(|game| game["id"].as_str().unwrap().to_owned()),
        );
        match page["continue"].as_str() {
            Some(next) => path = format!("/games?limit=2&continue={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    for (query, expected) in [
        ("limit=0", 422),
        ("limit=1001", 422),
        ("limit=x", 400),
        ("page=2", 400),
    ] {
        let (status, ..) = refused(api.get(&format!("/games?{query}")).await).await;
        assert_eq!(status, expected, "{query}");
    }
}

#[tokio::test]
async fn a_game_is_shown_and_deleted_or_not_there() {
    let games = vec![game("a", columns(), &[("Ready", "False")])];
    let api = World::ready(Kubernetes::with(games).client().await, &[]).await;
    let shown: Value = api.get("/games/a").await.json().await.unwrap();
    assert_eq!(shown["displayName"], "Game a");
    assert_eq!(shown["reason"], "BecauseOfTheTest");
    assert_eq!(shown["columns"], columns());
    assert_eq!(api.delete("/games/a").await.status(), 202);
    for response in [api.get("/games/b").await, api.delete("/games/b").await] {
        let (status, kind, _) = refused(response).await;
        assert_eq!((status, kind.as_str()), (404, "no-game"));
    }
}

#[tokio::test]
async fn without_an_api_server_it_is_not_ready_and_says_so() {
    // Nobody listens on the port of a socket that is bound and not listened on.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let api = World::start(client(&url), &[]).await;
    for response in [
        api.post("/games/new", None).await,
        api.get("/games").await,
        api.get("/games/a").await,
        api.delete("/games/a").await,
        api.post("/sendodd/a", None).await,
    ] {
        let (problem, again) = problem(response).await;
        assert_eq!(
            (problem.status, again.as_deref()),
            (503, Some("1")),
            "{problem:?}"
        );
    }
    let (status, why) = api.admin("/readyz").await;
    assert_eq!(status, 503);
    assert!(why.starts_with("games: "), "{why}");
    assert_eq!(api.admin("/livez").await.0, 200);
    api.end().await.unwrap();
}
