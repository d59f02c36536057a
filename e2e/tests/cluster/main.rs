//! Gamecast in a cluster: images, the chart, and browsers through the ingress.
//!
//! ```text
//!   helm install --> operator x 2, fanout x 2, api x 2   pods of a cluster of one node
//!                       |                                (devstack up --cluster)
//!   Swarm, Page --> Traefik :443 --> fanout, api
//!                                      ^-- HPA <-- prometheus-adapter <-- Prometheus
//! ```
//!
//! `make e2e-cluster`: it takes root, on Linux. One world for all tests, in the order of an
//! installation's life.

// Tests that print figures.
#![allow(clippy::print_stdout)]

mod certificate;
mod edge;
mod figures;
mod install;
mod removal;
mod rollout;
mod scaling;
mod single;
mod swarm;
mod world;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use e2e::{tests, trials};
use nix::unistd::Uid;
use tokio::runtime::Runtime;

use figures::Figures;
use world::World;

fn main() -> Result<ExitCode> {
    if !Uid::effective().is_root() {
        println!("skipped: a cluster takes root");
        return Ok(ExitCode::SUCCESS);
    }
    let tests = tests![
        World;
        install::helm_installs_all_parts_and_two_games_become_ready,
        edge::chromium_sees_rows_through_the_ingress_over_tls,
        edge::events_stream_and_resume_through_the_ingress,
        edge::clients_have_their_own_addresses_behind_the_ingress,
        rollout::pods_come_and_go_and_no_client_loses_a_row,
        scaling::more_clients_bring_more_pods_and_go_on_hearing,
        removal::uninstalled_it_leaves_data_and_nothing_that_cannot_be_deleted,
        single::a_release_with_all_servers_streams_rows_and_keeps_them,
    ];
    let began = Instant::now();
    let options = world::options()?;
    // Packages come from outside of the cluster's network, which every thread from then on is in.
    Runtime::new()?.block_on(devstack::Stack::install(&options))?;
    if let Some(network) = &options.network {
        network.enter()?;
    }
    let figures = Figures::default();
    let code = trials::run(World::up(options, figures.clone()), tests);
    figures.repeat();
    println!("in all {:.0} s", began.elapsed().as_secs_f32());
    code
}
