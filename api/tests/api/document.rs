//! The OpenAPI document and the page that shows it.

use serde_json::Value;

use crate::stub::Kubernetes;
use crate::world::{World, refused, send};

#[tokio::test]
async fn the_document_names_every_path_and_resolves() {
    let api = World::ready(Kubernetes::default().client().await, &[]).await;
    let document: Value = api.get("/openapi.json").await.json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut operations: Vec<_> = paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    operations.sort();
    assert_eq!(
        operations,
        [
            "delete /games/{id}",
            "get /games",
            "get /games/{id}",
            "post /games/{id}",
            "post /games/{id}/odds",
            "post /sendodd/{id}",
        ]
    );
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let spec = &document["components"]["schemas"]["GameSpec"]["properties"];
    assert!(
        spec["serve"]["properties"]["resumeWindow"].is_object(),
        "{spec}"
    );
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(Into::into));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[tokio::test]
async fn the_documentation_needs_no_other_server() {
    let api = World::ready(Kubernetes::default().client().await, &[]).await;
    assert_eq!(api.get("/docs").await.status(), 303);
    let page = api.get("/docs/").await.text().await.unwrap();
    let starter = api
        .get("/docs/swagger-initializer.js")
        .await
        .text()
        .await
        .unwrap();
    assert!(starter.contains("/openapi.json"), "{starter}");
    assert!(starter.contains(r#""validatorUrl": "none""#), "{starter}");
    for text in [&page, &starter] {
        assert!(
            !text.contains("//cdn") && !text.contains("https:"),
            "{text}"
        );
    }
    for file in ["swagger-ui.css", "swagger-ui-bundle.js"] {
        let response = api.get(&format!("/docs/{file}")).await;
        assert_eq!(response.status(), 200, "{file}");
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_there_names_those_that_are() {
    let api = World::ready(Kubernetes::default().client().await, &[]).await;
    let response = send(api.http.put(api.url("/games/1"))).await;
    let allowed = response.headers()["allow"].to_str().unwrap();
    assert!(
        allowed.contains("POST") && allowed.contains("DELETE"),
        "{allowed}"
    );
    let (status, kind, _) = refused(response).await;
    assert_eq!((status, kind.as_str()), (405, "method"));
}
