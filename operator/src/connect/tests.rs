//! Against a Connect of a few lines, on a socket.

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::Uri;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::metrics::Metrics;
use crate::plan::tests::{dedicated, shared};
use crate::plan::{ConnectorPlan, SERVER_ID_KEY};

/// Answers what it is told to, in this order for each path, and the last of them for ever.
#[derive(Default)]
struct Stub {
    answers: StdMutex<BTreeMap<String, VecDeque<(u16, Value)>>>,
    /// The requests other than GET, with their bodies.
    orders: StdMutex<Vec<(String, Value)>>,
}

type Request = (axum::http::Method, Uri);

async fn answer(
    Shared(stub): Shared<Arc<Stub>>,
    (method, uri): Request,
    body: Bytes,
) -> (StatusCode, String) {
    let line = format!("{method} {}", uri.path());
    if method != axum::http::Method::GET {
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        stub.orders.lock().unwrap().push((line.clone(), body));
    }
    let mut answers = stub.answers.lock().unwrap();
    let (status, body) = match answers.get_mut(&line) {
        None => (204, Value::Null),
        Some(queue) if queue.len() > 1 => queue.pop_front().unwrap(),
        Some(queue) => queue[0].clone(),
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, body.to_string())
}

async fn connect(answers: &[(&str, &[(u16, Value)])]) -> (Connect, Arc<Stub>) {
    let stub = Arc::new(Stub::default());
    for (line, answer) in answers {
        let queue = answer.iter().cloned().collect();
        stub.answers.lock().unwrap().insert((*line).into(), queue);
    }
    let router = Router::new()
        .fallback(async |shared, method, uri, body| answer(shared, (method, uri), body).await)
        .with_state(stub.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });
    let calls = Calls::new(Backend::Connect, Metrics::new(&mut Registry::default()));
    let connect = Connect::new(
        url.parse().unwrap(),
        &ConnectFlags::default(),
        Duration::from_secs(2),
        &Term::unlimited(),
        calls,
    )
    .unwrap();
    (connect, stub)
}

fn lines(stub: &Stub) -> Vec<String> {
    let orders = stub.orders.lock().unwrap();
    orders.iter().map(|(line, _)| line.clone()).collect()
}

fn listed(plan: &ConnectorPlan, id: u32, state: &str, tasks: Value) -> Value {
    let mut config = json!(plan.config);
    config["name"] = json!(plan.name);
    config[SERVER_ID_KEY] = json!(id.to_string());
    json!({ &plan.name: {
        "info": {"name": plan.name, "config": config},
        "status": {"connector": {"state": state}, "tasks": tasks},
    } })
}

const LIST: &str = "GET /connectors";

#[tokio::test]
async fn a_rebalance_is_waited_for() {
    let busy = (409, json!({"error_code": 409, "message": "rebalance"}));
    let put = "PUT /connectors/gamecast.default/config";
    let answers: [(&str, &[(u16, Value)]); 2] = [
        (LIST, &[busy.clone(), (200, json!({}))]),
        (put, &[busy.clone(), busy, (201, json!({}))]),
    ];
    let (connect, stub) = connect(&answers).await;
    assert!(connect.ensure_connector(&shared(), &[]).await.unwrap());
    assert_eq!(lines(&stub), [put; 3]);
    let orders = stub.orders.lock().unwrap();
    assert_eq!(orders[2].1[SERVER_ID_KEY], "40000");
    assert_eq!(orders[2].1["snapshot.mode"], "initial");
}

#[tokio::test]
async fn a_rebalance_without_end_is_no_failure_of_a_server() {
    let busy = (409, json!({"message": "rebalance"}));
    let (connect, _) = connect(&[(LIST, &[busy])]).await;
    let failure = Failure::from(connect.list().await.unwrap_err());
    assert_eq!(failure.reason, Reason::ConnectRebalancing);
    assert_eq!((failure.retry, failure.backend), (Retry::Soon, None));
}

#[tokio::test]
async fn what_is_as_planned_is_left_alone_and_what_is_not_is_put_right() {
    let plan = shared();
    let as_planned = listed(&plan, 40_000, "RUNNING", json!([]));
    let mut edited = as_planned.clone();
    edited[&plan.name]["info"]["config"]["poll.interval.ms"] = json!("5000");
    let mut extended = as_planned.clone();
    extended[&plan.name]["info"]["config"]["table.exclude.list"] = json!("x");
    for (list, changed) in [(as_planned, false), (edited, true), (extended, true)] {
        let (connect, stub) = connect(&[(LIST, &[(200, list)])]).await;
        let put = connect.ensure_connector(&plan, &[]).await.unwrap();
        assert_eq!(put, changed);
        assert_eq!(lines(&stub).len(), usize::from(changed));
    }
}

#[tokio::test]
async fn two_at_a_time_get_two_server_ids_though_the_list_lags_behind() {
    let (connect, stub) = connect(&[(LIST, &[(200, json!({}))])]).await;
    let (one, two) = (dedicated("1"), dedicated("2"));
    let made = tokio::join!(
        connect.ensure_connector(&one, &[40_000]),
        connect.ensure_connector(&two, &[40_000]),
    );
    assert!(made.0.unwrap() && made.1.unwrap());
    let orders = stub.orders.lock().unwrap();
    let mut ids: Vec<&Value> = orders
        .iter()
        .map(|(_, body)| &body[SERVER_ID_KEY])
        .collect();
    ids.sort_by_key(|id| id.to_string());
    assert_eq!(ids, ["40001", "40002"]);
}

#[tokio::test]
async fn offsets_are_deleted_once_the_connector_has_stopped() {
    let plan = dedicated("7");
    let running = listed(&plan, 40_001, "RUNNING", json!([{"state": "RUNNING"}]));
    let stopping = listed(&plan, 40_001, "STOPPED", json!([{"state": "RUNNING"}]));
    let stopped = listed(&plan, 40_001, "STOPPED", json!([]));
    let answers = [(200, running), (200, stopping), (200, stopped)];
    let (connect, stub) = connect(&[(LIST, &answers)]).await;
    connect.stop_and_forget(&plan.name).await.unwrap();
    connect.delete_connector(&plan.name).await.unwrap();
    let path = "/connectors/gamecast.default.solo.7";
    assert_eq!(
        lines(&stub),
        [
            format!("PUT {path}/stop"),
            format!("DELETE {path}/offsets"),
            format!("DELETE {path}")
        ]
    );
    // Only the last answer is left: all before were asked for.
    assert_eq!(stub.answers.lock().unwrap()[LIST].len(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_deleted() {
    let gone = (404, json!({"message": "not found"}));
    let path = "/connectors/gamecast.default.solo.7";
    let (stop, offsets, delete) = (
        format!("PUT {path}/stop"),
        format!("DELETE {path}/offsets"),
        format!("DELETE {path}"),
    );
    let answers: [(&str, &[(u16, Value)]); 4] = [
        (LIST, &[(200, json!({}))]),
        (&stop, std::slice::from_ref(&gone)),
        (&offsets, std::slice::from_ref(&gone)),
        (&delete, std::slice::from_ref(&gone)),
    ];
    let (connect, _) = connect(&answers).await;
    let name = dedicated("7").name;
    connect.stop_and_forget(&name).await.unwrap();
    connect.delete_connector(&name).await.unwrap();
}

#[tokio::test]
async fn a_refusal_says_what_connect_said() {
    let message = "Connector configuration is invalid: Unable to connect";
    let refusal = (400, json!({"error_code": 400, "message": message}));
    let put = "PUT /connectors/gamecast.default/config";
    let answers: [(&str, &[(u16, Value)]); 2] = [(LIST, &[(200, json!({}))]), (put, &[refusal])];
    let (connect, _) = connect(&answers).await;
    let error = connect.ensure_connector(&shared(), &[]).await.unwrap_err();
    let failure = Failure::from(error);
    assert_eq!(failure.reason, Reason::ConnectRefused);
    assert!(failure.message.ends_with(message), "{failure}");
}

#[tokio::test]
async fn the_committed_offset_is_the_position_that_debezium_goes_on_from() {
    let plan = shared();
    let line = "GET /connectors/gamecast.default/offsets";
    let partition = json!({"server": "gamecast"});
    let at = json!({"ts_sec": 1_795_283_816, "file": "binlog.000002", "pos": 342_807,
        "gtids": "e28bf32d-e5d4-11f1-9c55-02fc00000001:1-1016", "row": 7, "server_id": 1, "event": 100});
    let offsets = [
        json!({"offsets": [{"partition": partition, "offset": at}]}),
        // Deleted, and never written.
        json!({"offsets": [{"partition": partition, "offset": null}]}),
        json!({"offsets": []}),
    ];
    let answers = offsets.map(|offsets| (200, offsets));
    let (there, _) = connect(&[(line, &answers)]).await;
    let position = Position::new("binlog.000002", 342_807);
    assert_eq!(there.committed(&plan).await.unwrap(), position);
    assert_eq!(there.committed(&plan).await.unwrap(), None);
    assert_eq!(there.committed(&plan).await.unwrap(), None);
    // No such connector.
    let gone = (404, json!({"message": "not found"}));
    let (gone, _) = connect(&[(line, &[gone])]).await;
    assert_eq!(gone.committed(&plan).await.unwrap(), None);
    let lost = Failure::from(
        connect(&[(line, &[(500, json!({}))])])
            .await
            .0
            .committed(&plan)
            .await
            .unwrap_err(),
    );
    assert_eq!(lost.reason, Reason::ConnectUnavailable);
}
