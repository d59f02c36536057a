//! Several operators shown to be one, on the real servers: every test is a sentence that must hold.
//!
//! Two operators stand for one Lease: `cargo test -p e2e --test ha`. Its last test kills leaders for
//! a few rounds, and for twenty with `make test-ha`.

// Tests that print how long things took.
#![allow(clippy::print_stdout)]

mod frozen;
mod handover;
mod killed;
mod statements;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use e2e::{tests, trials};

use world::World;

fn main() -> Result<ExitCode> {
    let tests = tests![
        World;
        handover::one_leads_and_the_other_is_ready_to,
        handover::a_leader_that_is_told_to_end_hands_over_at_once,
        frozen::a_leader_frozen_before_it_deletes_a_route_harms_nothing_of_the_next_game,
        frozen::a_leader_frozen_before_it_drops_a_table_harms_nothing_of_the_next_game,
        frozen::a_leader_frozen_before_it_deletes_a_topic_harms_nothing_of_the_next_game,
        killed::leaders_killed_under_changes_do_nothing_twice,
        handover::two_without_an_election_say_that_there_is_one_too_many,
        handover::a_leader_without_the_api_server_stops_and_stands_again,
    ];
    trials::run(World::up(), tests)
}
