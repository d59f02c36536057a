//! Golden tests: what is planned, in full.

use std::time::Duration;

use serde_json::json;

use super::topic::MAX_RECORD_BYTES;
use super::*;

const DATABASES: &str = "databases:
  default:
    host: mysql.example
    schema: gameodds
    username: gamecast_operator
    passwordFile: /secrets/operator
    connector: {username: debezium, password: \"${directory:/secrets:debezium}\", serverIdBase: 40000}
";

/// A site with one database.
pub(crate) fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("databases.yaml");
    std::fs::write(&path, DATABASES).unwrap();
    let databases = database::Databases::load(&path).unwrap();
    Site {
        prefix: "gamecast".into(),
        routes_topic: route::ROUTES_TOPIC.into(),
        replication: -1,
        bootstrap_servers: "kafka.example:9092".into(),
        connect_address: "http://connect:8083/".into(),
        kafka_client: KafkaClientConfig::default(),
        databases: BTreeMap::from([("default".into(), databases.get("default").unwrap().clone())]),
    }
}

/// A Game from the JSON of its spec.
pub(crate) fn game(name: &str, spec: serde_json::Value) -> Game {
    let mut game = Game::new(name, serde_json::from_value(spec).unwrap());
    game.metadata.namespace = Some("live".into());
    game
}

/// The plan of a dedicated connector.
pub(crate) fn dedicated(name: &str) -> ConnectorPlan {
    let game = game(name, json!({"connector": {"mode": "Dedicated"}}));
    site().game(&game).unwrap().connector
}

/// The plan of the shared connector.
pub(crate) fn shared() -> ConnectorPlan {
    site().game(&game("1", json!({}))).unwrap().connector
}

fn ddl(plan: &GamePlan) -> String {
    match plan.table.change(&[]).unwrap() {
        TableChange::Create(sql) => sql,
        other => panic!("a table that is not there is made: {other:?}"),
    }
}

fn found(columns: &[(&str, &str)]) -> Vec<ColumnFound> {
    let column = |(name, column_type): &(&str, &str)| ColumnFound {
        name: (*name).into(),
        column_type: (*column_type).into(),
        ..ColumnFound::default()
    };
    columns.iter().map(column).collect()
}

/// The columns of the table of the game `id` as the operator makes it, which asks for `odd1`.
fn made(id: &str) -> Vec<ColumnFound> {
    let mut columns = found(&[
        ("row_id", "int(11)"),
        ("game_id", "varchar(50)"),
        ("odd1", "varchar(50)"),
        ("created_at", "timestamp(3)"),
    ]);
    (columns[0].key, columns[0].extra) = ("PRI".into(), "auto_increment".into());
    columns[1].default = Some(id.into());
    columns
}

#[test]
fn a_game_with_nothing_said_is_the_original_application() {
    let plan = site().game(&game("123121", json!({}))).unwrap();
    assert_eq!(
        ddl(&plan),
        "CREATE TABLE IF NOT EXISTS `game_123121` (`row_id` INT AUTO_INCREMENT PRIMARY KEY, \
         `game_id` VARCHAR(50) NOT NULL DEFAULT /*!80013 (*/'123121'/*!80013 )*/, `odd1` VARCHAR(50), \
         `odd2` VARCHAR(50), `odd3` VARCHAR(50), `odd4` VARCHAR(50), `odd5` VARCHAR(50), \
         `created_at` TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3)) DEFAULT CHARSET=utf8mb4"
    );
    assert_eq!(plan.table.drop(), "DROP TABLE IF EXISTS `game_123121`");
    let topic = TopicPlan {
        name: "gamecast.gameodds.game_123121".into(),
        partitions: 1,
        replication: -1,
        config: BTreeMap::from([
            ("cleanup.policy", "compact".into()),
            ("max.compaction.lag.ms", "900000".into()),
            ("max.message.bytes", "2097152".into()),
            ("min.compaction.lag.ms", "600000".into()),
            ("segment.ms", "300000".into()),
        ]),
    };
    assert_eq!(plan.topic, topic);
    assert_eq!(
        plan.route.build("e1", vec![7]).unwrap().encode(),
        concat!(
            r#"{"version":1,"topic":"gamecast.gameodds.game_123121","epoch":"e1","#,
            r#""template":"games/{game_id}","constants":{"game_id":"123121"},"#,
            r#""records":"Debezium","access":"Public","start":[7],"#,
            r#""initial":{"game_id":"123121","name":"123121"},"resumeWindow":600000}"#
        )
    );
    assert_eq!(plan.route.served_topic, "games/123121");
    assert_eq!(plan.key.to_string(), "Game/live/123121");
    assert!(!plan.deletes);
}

#[test]
fn a_hyphenated_name_is_quoted_and_a_name_of_its_own_is_shown() {
    let spec = json!({
        "displayName": "A x B",
        "table": {"columns": [{"name": "home", "type": "DECIMAL(10,2)"}]},
        "serve": {"topic": "odds/{game_id}/{home}", "fallbackTopic": "unrouted", "resumeWindow": "10s",
            "conflate": {"interval": "200ms"}},
        "deletionPolicy": "Delete",
    });
    let plan = site().game(&game("a-b", spec)).unwrap();
    assert!(ddl(&plan).starts_with("CREATE TABLE IF NOT EXISTS `game_a-b` ("));
    assert!(
        ddl(&plan)
            .contains("DEFAULT /*!80013 (*/'a-b'/*!80013 )*/, `home` DECIMAL(10,2), `created_at`")
    );
    assert_eq!(plan.topic.config["segment.ms"], "60000");
    assert_eq!(plan.topic.config["max.compaction.lag.ms"], "70000");
    let route = plan.route.build("e", vec![0]).unwrap();
    assert_eq!(route.fallback(), Some("unrouted"));
    assert_eq!(route.resume_window(), Some(Duration::from_secs(10)));
    assert_eq!(route.conflation(), Some(Duration::from_millis(200)));
    assert_eq!(
        route.initial(),
        Some(&json!({"game_id": "a-b", "name": "A x B"}))
    );
    assert_eq!(plan.route.served_topic, "odds/a-b/{home}");
    assert!(plan.deletes);
}

#[test]
fn a_template_without_the_game_id_binds_nothing() {
    let spec = json!({"serve": {"topic": "cup/final"}});
    let plan = site().game(&game("1", spec)).unwrap();
    let route = plan.route.build("e", vec![]).unwrap();
    assert_eq!(route.template().constant().as_deref(), Some("cup/final"));
}

#[test]
fn the_shared_connector_in_full() {
    let plan = shared();
    assert_eq!(plan.name, "gamecast.default");
    assert_eq!(plan.marker_table, "gamecast_marker");
    assert_eq!(plan.server_id, ServerId::Fixed(40_000));
    let names = plan.topics().map(|topic| topic.name.as_str());
    assert_eq!(
        names,
        [
            "gamecast.gameodds.gamecast_marker",
            "__debezium-heartbeat.gamecast",
            "gamecast.history.default"
        ]
    );
    assert_eq!(plan.history_topic.partitions, 1);
    assert_eq!(plan.history_topic.config["retention.ms"], "-1");
    assert_eq!(plan.history_topic.config["cleanup.policy"], "delete");
    let text: String = plan
        .config
        .iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect();
    assert_eq!(text, include_str!("shared_connector.golden"));
    assert_eq!(
        plan.config["producer.override.max.request.size"],
        MAX_RECORD_BYTES.to_string()
    );
}

#[test]
fn a_dedicated_connector_differs_in_its_name_tables_and_pace() {
    let (own, shared) = (dedicated("a-b"), shared());
    assert_eq!(own.name, "gamecast.default.solo.a-b");
    assert_eq!(own.marker_table, "solo_marker_a-b");
    assert_eq!(own.marker_topic.name, "gamecast.gameodds.solo_marker_a-b");
    assert_eq!(own.history_topic.name, "gamecast.history.default.solo.a-b");
    assert_eq!(own.server_id, ServerId::FreeAbove(40_000));
    let different: BTreeMap<&str, &str> = own
        .config
        .iter()
        .filter(|(key, value)| shared.config.get(*key) != Some(*value))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let expected = BTreeMap::from([
        (
            "custom.metric.tags",
            "database=default,connector=gamecast.default.solo.a-b",
        ),
        ("gamecast.owner", "Game/live/a-b"),
        (
            "message.key.columns",
            r"gameodds\.solo_a-b:game_id;gameodds\.solo_marker_a-b:game_id",
        ),
        ("poll.interval.ms", "100"),
        (
            "schema.history.internal.kafka.topic",
            "gamecast.history.default.solo.a-b",
        ),
        (
            "table.include.list",
            r"gameodds\.solo_a-b,gameodds\.solo_marker_a-b",
        ),
    ]);
    assert_eq!(different, expected);
}

#[test]
fn a_table_that_fits_is_left_alone_whatever_the_server_calls_its_types() {
    let types = [
        ("a", "INT UNSIGNED", "int(10) unsigned"),
        ("b", "BOOLEAN", "tinyint(1)"),
        ("c", "TINYINT", "tinyint(4)"),
        ("d", "TINYINT", "tinyint"),
        ("f", "DATETIME(0)", "datetime"),
        ("g", "DATETIME(3)", "datetime(3)"),
        ("h", "DECIMAL(10,2)", "decimal(10,2)"),
        ("i", "VARBINARY(9)", "varbinary(9)"),
        ("j", "JSON", "json"),
    ];
    let columns: Vec<_> = types
        .iter()
        .map(|(name, wanted, _)| json!({"name": name, "type": wanted}))
        .collect();
    let plan = site()
        .game(&game("1", json!({"table": {"columns": columns}})))
        .unwrap();
    let mut there = vec![
        ("row_id", "int(11)"),
        ("game_id", "varchar(50)"),
        ("created_at", "timestamp(3)"),
        ("handmade", "geometry"),
    ];
    there.extend(types.iter().map(|(name, _, is)| (*name, *is)));
    assert_eq!(plan.table.change(&found(&there)), Ok(TableChange::Nothing));

    there.retain(|(name, _)| !["b", "h"].contains(name));
    let extended = "ALTER TABLE `game_1` ADD COLUMN `b` TINYINT(1), ADD COLUMN `h` DECIMAL(10,2)";
    assert_eq!(
        plan.table.change(&found(&there)),
        Ok(TableChange::AddColumns(extended.into()))
    );
}

#[test]
fn a_table_that_does_not_fit_is_not_touched() {
    let plan = site().game(&game("1", json!({}))).unwrap();
    let there = [
        ("row_id", "int"),
        ("game_id", "varchar(20)"),
        ("odd1", "float"),
    ];
    let message = plan.table.change(&found(&there)).unwrap_err().to_string();
    assert!(
        message.contains(
            "game_id is varchar(20), not VARCHAR(50), created_at is missing, odd1 is float, not VARCHAR(50)"
        ),
        "{message}"
    );
}

#[test]
fn a_table_that_was_there_before_is_adopted_only_as_it_would_have_been_made() {
    let columns = json!([{"name": "odd1", "type": "VARCHAR(50)"}]);
    let game = game("1", json!({"table": {"columns": columns}}));
    let table = site().game(&game).unwrap().table;
    assert_eq!(table.check_adoptable(&[]), Ok(()));
    assert_eq!(table.check_adoptable(&made("1")), Ok(()));
    // As MySQL tells a default in parentheses from 8.0.13 on.
    let with_expression = |default: &str| {
        let mut columns = made("1");
        columns[1].default = Some(default.into());
        columns[1].extra = "DEFAULT_GENERATED".into();
        columns
    };
    let expression = with_expression(r"_utf8mb4\'1\'");
    assert_eq!(table.check_adoptable(&expression), Ok(()));
    let refusal = |found: &[ColumnFound]| table.check_adoptable(found).unwrap_err().to_string();

    let mut narrow = made("1");
    narrow.remove(2);
    let message = refusal(&narrow);
    assert!(message.contains("odd1 is missing"), "{message}");
    let remedy = "ALTER TABLE `game_1` ADD COLUMN `odd1` VARCHAR(50)";
    assert!(message.contains(remedy), "{message}");
    // The Game's own table is given what it lacks.
    let addition = TableChange::AddColumns(remedy.into());
    assert_eq!(table.change(&narrow), Ok(addition));

    let message = refusal(&made("2"));
    assert!(
        message.contains("the default of game_id is not '1'"),
        "{message}"
    );
    for other in [r"_utf8mb4\'2\'", "1", "uuid()"] {
        let message = refusal(&with_expression(other));
        assert!(message.contains("the default of game_id"), "{message}");
    }
    let mut unnumbered = made("1");
    unnumbered[0].extra.clear();
    let message = refusal(&unnumbered);
    assert!(message.contains("auto-increment"), "{message}");
}

#[test]
fn what_passed_the_api_server_unchecked_is_refused() {
    let refused = |game: &Game| site().game(game).unwrap_err();
    let hostile = game(
        "1; DROP TABLE x",
        json!({"table": {"columns": [{"name": "a`", "type": "VARCHAR(50)); DROP"}]}}),
    );
    let message = refused(&hostile).to_string();
    for field in [
        "metadata.name:",
        "spec.table.columns[0].name:",
        "spec.table.columns[0].type:",
    ] {
        assert!(message.contains(field), "{message}");
    }
    let elsewhere = game("1", json!({"databaseRef": {"name": "other"}}));
    assert_eq!(
        refused(&elsewhere).to_string(),
        "spec.databaseRef.name: no database `other` is configured; there are: default"
    );
    for name in ["", "a`b", "a b", "a;b", &"x".repeat(65)] {
        assert!(quote(name).is_err(), "{name}");
    }
}

#[test]
fn a_feed_has_its_topic_made_only_when_it_asks() {
    let feed = |json: serde_json::Value| {
        let mut feed = Feed::new("prices", serde_json::from_value(json).unwrap());
        feed.metadata.namespace = Some("live".into());
        site().feed(&feed)
    };
    let serve = json!({"topic": "{country}/{symbol}"});
    let plan = feed(json!({"kafkaTopic": {"name": "prices"}, "serve": serve})).unwrap();
    assert_eq!((plan.create, plan.deletes), (None, false));
    let minute = Some(Duration::from_secs(60));
    for window in [None, minute] {
        // Kafka's own configuration tells, where it does.
        let route = plan.route.clone().with_resume_window(window);
        let route = route.build("e", vec![]).unwrap();
        assert_eq!((route.resume_window(), route.conflation()), (window, None));
    }

    let create = json!({"partitions": 3, "cleanupPolicy": "Delete", "resumeWindow": "1h"});
    let plan = feed(json!({
        "kafkaTopic": {"name": "prices", "create": create},
        "serve": serve,
        "deletionPolicy": "Delete",
    }))
    .unwrap();
    let topic = plan.create.unwrap();
    assert_eq!(topic.partitions, 3);
    assert_eq!(topic.config["cleanup.policy"], "delete");
    assert_eq!(topic.config["retention.ms"], "3600000");
    assert!(plan.deletes);
    assert_eq!(
        plan.route.build("e", vec![0, 0, 0]).unwrap().encode(),
        r#"{"version":1,"topic":"prices","epoch":"e","template":"{country}/{symbol}","records":"Plain","access":"Public","start":[0,0,0],"resumeWindow":3600000}"#
    );

    for own in [
        "gamecast.routes",
        "gamecast.gameodds.gamecast_marker",
        "gamecast.gameodds.solo_marker_1",
        "gamecast.history.default",
    ] {
        let error = feed(json!({"kafkaTopic": {"name": own}, "serve": serve})).unwrap_err();
        assert!(matches!(error, PlanError::OwnTopic(_)), "{own}");
    }
}
