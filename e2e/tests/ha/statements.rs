//! The statements that changed tables, as MySQL's binary log has them.

use anyhow::Result;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row};

use crate::world::World;

/// All statements about tables of games, in their order.
pub(crate) async fn of_games(world: &World) -> Result<Vec<String>> {
    let endpoint = &world.stack.endpoints().mysql;
    let password = std::fs::read_to_string(&endpoint.root_password_file)?;
    // Only an administrator and a replica may read the log.
    let options = OptsBuilder::default()
        .ip_or_hostname(endpoint.host.clone())
        .tcp_port(endpoint.port)
        .user(Some("root"))
        .pass(Some(password.trim_end()))
        .prefer_socket(false);
    let mut conn = Conn::new(options).await?;
    let logs: Vec<Row> = conn.query("SHOW BINARY LOGS").await?;
    let mut statements = Vec::new();
    for log in logs {
        let name: String = log.get(0).unwrap_or_default();
        let events: Vec<Row> = conn
            .query(format!("SHOW BINLOG EVENTS IN '{name}'"))
            .await?;
        let texts = events.iter().filter_map(|event| event.get::<String, _>(5));
        statements.extend(texts.filter(|text| text.contains("`game_")));
    }
    conn.disconnect().await?;
    Ok(statements)
}
