//! Gamecast where everything demands TLS and a login, and on two MySQL servers: every test is a
//! sentence that must hold.
//!
//! The accounts of MySQL are those of docs/accounts.sql, here and in every other test:
//! `cargo test -p e2e --test security`.

mod databases;
mod passwords;
mod secrecy;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use e2e::{tests, trials};

use world::World;

fn main() -> Result<ExitCode> {
    let tests = tests![
        World;
        secrecy::the_servers_demand_tls_and_a_login,
        databases::games_of_two_servers_stream_side_by_side,
        passwords::mysql_passwords_change_without_a_restart,
        passwords::a_password_that_mysql_does_not_take_yet_stops_nothing,
        passwords::a_new_password_reaches_debezium_and_no_row_is_lost,
        passwords::a_password_that_nobody_may_see_change_reaches_debezium_too,
        passwords::kafka_passwords_change_without_a_restart,
        passwords::the_connect_password_changes_without_a_restart,
        databases::an_unfit_server_is_named_and_stops_its_own_games_only,
        databases::a_server_that_is_down_stops_its_own_games_only,
        // The last, for it looks at all that the others have left.
        secrecy::no_secret_is_shown,
    ];
    trials::run(World::up(), tests)
}
