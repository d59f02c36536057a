//! How people stop the operator, hurry it, and let go of what it holds.

use anyhow::{Result, ensure};
use devstack::Server;
use e2e::World;
use e2e::games::{connect, game};
use e2e::patience::until;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::deletion::table_exists;

pub(crate) async fn a_paused_game_is_left_alone_and_says_so(world: &mut World) -> Result<()> {
    world
        .ready_game("calmed", json!({"deletionPolicy": "Delete"}))
        .await?;
    let uid = world.uid("game/calmed").await?;
    world
        .kubectl
        .run("annotate game/calmed gamecast.dev/paused=true")
        .await?;
    world
        .condition("game/calmed", "Paused", |c| c["status"] == "True")
        .await?;
    world.event(&uid, "Paused", 1).await?;
    // Ready is what it was, and a new spec is not taken up.
    let columns = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| json!({"name": name, "type": "VARCHAR(50)"}))
            .collect()
    };
    let wider = columns(&["odd1", "odd2", "odd3", "odd4", "odd5", "odd6"]);
    let patch = json!({"spec": {"table": {"columns": wider}}}).to_string();
    world
        .kubectl
        .run(&format!("patch game/calmed --type=merge -p {patch}"))
        .await?;
    world
        .condition("game/calmed", "Paused", |c| c["observedGeneration"] == 2)
        .await?;
    let object = world.kubectl.get("game/calmed").await?;
    ensure!(
        object["status"]["observedGeneration"] == 1,
        "{}",
        object["status"]
    );
    world
        .condition("game/calmed", "Ready", |c| c["status"] == "True")
        .await?;
    let mut conn = connect(&world.mysql).await?;
    let sixth = "SELECT COUNT(*) FROM information_schema.columns
                 WHERE table_name = 'game_calmed' AND column_name = 'odd6'";
    let found: Option<u64> = conn.query_first(sixth).await?;
    ensure!(found == Some(0), "the paused game's table was changed");

    // A deletion waits too, and says how it goes on.
    world.kubectl.run("delete game/calmed --wait=false").await?;
    world
        .condition("game/calmed", "Paused", |c| {
            c["message"]
                .as_str()
                .is_some_and(|text| text.contains("abandon"))
        })
        .await?;
    ensure!(
        table_exists(world, "game_calmed").await?,
        "a paused game's table is gone"
    );
    world
        .kubectl
        .run("annotate game/calmed gamecast.dev/paused-")
        .await?;
    until("the game to go", async || {
        ensure!(
            world.kubectl.get("game/calmed").await.is_err(),
            "it is still there"
        );
        Ok(())
    })
    .await?;
    ensure!(
        !table_exists(world, "game_calmed").await?,
        "the table outlived Delete"
    );
    world.event(&uid, "Deleted", 1).await?;
    Ok(())
}

pub(crate) async fn a_paused_game_goes_on_with_what_it_missed(world: &mut World) -> Result<()> {
    let manifest = |spec: Value| {
        let mut manifest: Value = serde_json::from_str(&game("later", spec)).unwrap_or_default();
        manifest["metadata"]["annotations"] = json!({"gamecast.dev/paused": "true"});
        manifest.to_string()
    };
    world.kubectl.apply(&manifest(json!({}))).await?;
    let ready = world
        .condition("game/later", "Ready", |c| c["reason"] == "Paused")
        .await?;
    ensure!(ready["status"] == "Unknown", "{ready}");
    ensure!(
        !table_exists(world, "game_later").await?,
        "a paused game was set up"
    );
    let uid = world.uid("game/later").await?;
    world
        .kubectl
        .run("annotate game/later gamecast.dev/paused-")
        .await?;
    world.await_ready("game/later").await?;
    world.event(&uid, "Resumed", 1).await?;
    world.discard(&["later"]).await
}

pub(crate) async fn a_deletion_that_cannot_finish_says_how_to_let_go(
    world: &mut World,
) -> Result<()> {
    let spec = json!({"deletionPolicy": "Delete"});
    world.ready_game("held", spec).await?;
    let uid = world.uid("game/held").await?;
    world.stack.stop(Server::MySql).await?;
    let said = async {
        world.kubectl.run("delete game/held --wait=false").await?;
        let ready = world
            .condition("game/held", "Ready", |c| c["reason"] == "DeletionFailed")
            .await?;
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(message.contains("cannot be deleted yet"), "{ready}");
        let command = "annotate game/held -n default gamecast.dev/abandon=true";
        ensure!(message.contains(command), "{ready}");
        let event = world.event(&uid, "DeletionFailed", 1).await?;
        ensure!(event.note.contains(command), "{event:?}");
        world.kubectl.run(command).await?;
        until("the game to go", async || {
            ensure!(
                world.kubectl.get("game/held").await.is_err(),
                "it is still there"
            );
            Ok(())
        })
        .await?;
        let event = world.event(&uid, "Abandoned", 1).await?;
        ensure!(event.note.contains("gameodds.game_held"), "{event:?}");
        Ok(())
    };
    let said: Result<()> = said.await;
    world.stack.start(Server::MySql).await?;
    said?;
    ensure!(
        table_exists(world, "game_held").await?,
        "abandoned data is gone"
    );
    ensure!(
        world
            .operator
            .log()?
            .contains("let go by gamecast.dev/abandon"),
        "nothing in the log"
    );
    // Not data, and so it goes.
    until("the route to go", async || {
        let route = "Game/default/held";
        let last = world.kafka.newest(route::ROUTES_TOPIC, route).await?;
        ensure!(last.is_some_and(|r| r.value.is_none()), "it is still there");
        Ok(())
    })
    .await?;
    // What is left can be taken up again.
    world.ready_game("held", json!({})).await?;
    world.discard(&["held"]).await
}

pub(crate) async fn a_namespace_with_games_that_delete_goes(world: &mut World) -> Result<()> {
    world.kubectl.run("create namespace passing").await?;
    for id in ["passing-1", "passing-2"] {
        let mut manifest: Value =
            serde_json::from_str(&game(id, json!({"deletionPolicy": "Delete"})))?;
        manifest["metadata"]["namespace"] = json!("passing");
        world.kubectl.apply(&manifest.to_string()).await?;
    }
    for id in ["passing-1", "passing-2"] {
        world
            .kubectl
            .run(&format!(
                "wait --for=condition=Ready game/{id} -n passing --timeout=60s"
            ))
            .await?;
    }
    world
        .kubectl
        .run("delete namespace passing --timeout=60s")
        .await?;
    for id in ["passing-1", "passing-2"] {
        ensure!(
            !table_exists(world, &format!("game_{id}")).await?,
            "{id} left its table"
        );
    }
    Ok(())
}

async fn finalizers(world: &World, object: &str) -> Result<Value> {
    let found = world.kubectl.get(object).await?;
    Ok(found["metadata"]["finalizers"].clone())
}

pub(crate) async fn released_games_go_without_an_operator(world: &mut World) -> Result<()> {
    const IDS: [&str; 3] = ["free-1", "free-2", "free-3"];
    let release = async |world: &World| {
        let kubeconfig = world.kubectl.kubeconfig.clone();
        let arguments = ["release", "--grace", "1s"];
        e2e::run_to_end("operator", &arguments, &[("KUBECONFIG", &kubeconfig)]).await
    };
    for id in IDS {
        world
            .ready_game(id, json!({"deletionPolicy": "Delete"}))
            .await?;
    }
    // One is being deleted while there is nobody who does it.
    world.operator.kill().await?;
    world.kubectl.run("delete game/free-1 --wait=false").await?;
    world.operator.start_ready().await?;
    until("the deletion to be done", async || {
        ensure!(
            world.kubectl.get("game/free-1").await.is_err(),
            "it is still there"
        );
        Ok(())
    })
    .await?;

    let uid = world.uid("game/free-2").await?;
    release(world).await?;
    // The operator, which still runs, does not take them back.
    for id in ["free-2", "free-3"] {
        let object = format!("game/{id}");
        world.reconcile_now(&object, "released").await?;
        let held = finalizers(world, &object).await?;
        ensure!(held.is_null(), "{held}");
        world.await_ready(&object).await?;
    }
    world.event(&uid, "Released", 1).await?;
    world.operator.kill().await?;
    world.delete("game/free-2").await?;
    ensure!(
        table_exists(world, "game_free-2").await?,
        "without an operator data stays"
    );

    // Installed again, it takes back what was released long ago, and sweeps.
    let note = "annotate --overwrite game/free-3 gamecast.dev/released=2020-01-01T00:00:00Z";
    world.kubectl.run(note).await?;
    world.operator.start_ready().await?;
    until("the finalizer to be back", async || {
        let object = world.kubectl.get("game/free-3").await?;
        let metadata = &object["metadata"];
        ensure!(
            metadata["finalizers"][0] == "gamecast.dev/cleanup",
            "{metadata}"
        );
        let note = &metadata["annotations"]["gamecast.dev/released"];
        ensure!(note.is_null(), "{note}");
        Ok(())
    })
    .await?;
    until("the route of the one that went to go", async || {
        let route = "Game/default/free-2";
        let last = world.kafka.newest(route::ROUTES_TOPIC, route).await?;
        ensure!(last.is_some_and(|r| r.value.is_none()), "it is still there");
        Ok(())
    })
    .await?;

    // A deletion under way that nobody finishes is let go too.
    world.operator.kill().await?;
    world.kubectl.run("delete game/free-3 --wait=false").await?;
    release(world).await?;
    ensure!(world.kubectl.get("game/free-3").await.is_err(), "it hangs");
    ensure!(
        table_exists(world, "game_free-3").await?,
        "let go with its data deleted"
    );
    world.operator.start_ready().await?;
    for id in ["free-2", "free-3"] {
        world.ready_game(id, json!({})).await?;
    }
    world.discard(&["free-2", "free-3"]).await
}

pub(crate) async fn what_games_left_while_there_was_no_operator_goes(
    world: &mut World,
) -> Result<()> {
    let dedicated = json!({"connector": {"mode": "Dedicated"}});
    world.ready_game("bygone", dedicated).await?;
    world.ready_game("present", json!({})).await?;
    world.operator.kill().await?;
    world.delete("game/bygone").await?;
    world.operator.start_ready().await?;
    let connectors = format!("{}/connectors", world.stack.endpoints().connect);
    until("route and connector to go", async || {
        let routes = world.kafka.records(route::ROUTES_TOPIC).await?;
        let live = |key: &str| {
            let last = routes.iter().rfind(|r| r.key.as_deref() == Some(key));
            last.is_some_and(|r| r.value.is_some())
        };
        ensure!(!live("Game/default/bygone"), "its route is still there");
        ensure!(live("Game/default/present"), "another's route is gone");
        let names: Vec<String> = reqwest::get(&connectors).await?.json().await?;
        ensure!(
            !names.iter().any(|name| name.contains("bygone")),
            "{names:?}"
        );
        Ok(())
    })
    .await?;
    ensure!(
        table_exists(world, "solo_bygone").await?,
        "Retain lost its table"
    );
    let dedicated = json!({"connector": {"mode": "Dedicated"}});
    world.ready_game("bygone", dedicated).await?;
    world.discard(&["bygone", "present"]).await
}
