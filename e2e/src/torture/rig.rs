//! Kafka and two fanouts.

use anyhow::Result;
use devstack::{Options, Server, Stack};

use crate::program::Program;
use crate::world::logs;

/// What is tortured.
pub(super) struct Rig {
    // Programs go before the servers they use.
    pub(super) fanouts: [Program; 2],
    pub(super) stack: Stack,
    ports: [u16; 2],
}

impl Rig {
    pub(super) async fn up(base_port: u16) -> Result<Self> {
        let options = Options::ephemeral(base_port).only([Server::Kafka]);
        let stack = Stack::up(options).await?;
        let ports = [base_port + 20, base_port + 22];
        let logs = logs("torture")?;
        let fanout = |name: &str, port: u16, ring: &str| -> Result<Program> {
            let ready = format!("http://127.0.0.1:{}/readyz", port + 1);
            Ok(Program::new(name, "fanout", &logs, ready)?
                .flag("--listen", format!("127.0.0.1:{port}"))
                .flag("--admin-listen", format!("127.0.0.1:{}", port + 1))
                .flag("--kafka-bootstrap-servers", &stack.endpoints().kafka)
                .flag("--drain-period", "1s")
                .flag("--topic-grace", "1s")
                .flag("--ring-bytes", ring))
        };
        Ok(Self {
            fanouts: [
                // From memory nearly always, and from Kafka nearly always.
                fanout("fanout-1", ports[0], "16777216")?,
                fanout("fanout-2", ports[1], "16384")?,
            ],
            stack,
            ports,
        })
    }

    pub(super) fn kafka(&self) -> &str {
        &self.stack.endpoints().kafka
    }

    /// Host and port of each fanout.
    pub(super) fn urls(&self) -> [String; 2] {
        self.ports.map(|port| format!("127.0.0.1:{port}"))
    }

    pub(super) async fn start(&mut self) -> Result<()> {
        for fanout in &mut self.fanouts {
            fanout.start()?;
        }
        for fanout in &mut self.fanouts {
            fanout.ready().await?;
        }
        Ok(())
    }
}
