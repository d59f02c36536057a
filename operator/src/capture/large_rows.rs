//! Rows that are too large for a record.
//!
//! Kafka's producer refuses such a record, and the connector fails at it again and again. So the
//! operator lets the connector leave it out, and finds out whose row it was: nobody else knows, as
//! neither the error nor the record names the table.

use super::record::Record;
use super::{Capture, Parts};
use crate::failure::Failure;
use crate::mysql::{LargeRow, Server};
use crate::plan::{ConnectorPlan, MAX_RECORD_BYTES};

/// JSON needs at most so many bytes for one of a text's (`\u0001`).
const ESCAPED: u32 = 6;

impl Parts {
    /// Notes the tables with rows that are surely too large for a record, and where there are none,
    /// those with rows that may be.
    pub(super) async fn find_large_rows(
        &self,
        plan: &ConnectorPlan,
        record: &Record,
    ) -> Result<(), Failure> {
        let server = self.server(plan)?;
        let may_be = MAX_RECORD_BYTES / ESCAPED;
        let mut wide = server.wide_tables(&plan.tables, may_be).await?;
        wide.retain(|table, _| plan.captures(table));
        for bytes in [MAX_RECORD_BYTES, may_be] {
            let mut found = Vec::new();
            for (table, columns) in &wide {
                if server.largest_row(table, columns, bytes).await?.is_some() {
                    found.push(table.clone());
                }
            }
            if !found.is_empty() {
                tracing::warn!(connector = plan.name, tables = ?found, "left out rows that are too large");
                record.leave_out(found);
                return Ok(());
            }
        }
        tracing::warn!(
            connector = plan.name,
            "left out a row that is gone from its table"
        );
        Ok(())
    }
}

impl Capture {
    /// The row of the table that is too large and was left out, as long as it is there. `told` where
    /// the Game's status tells of one, of which this process may not know.
    pub(crate) async fn left_out(
        &self,
        plan: &ConnectorPlan,
        server: &Server,
        table: &str,
        told: bool,
    ) -> Result<Option<LargeRow>, Failure> {
        let record = self.lane(plan).record.clone();
        if !told && !record.has_left_out(table) {
            return Ok(None);
        }
        let bytes = MAX_RECORD_BYTES / ESCAPED;
        let wide = server.wide_tables(table, bytes).await?;
        let found = match wide.get(table) {
            Some(columns) => server.largest_row(table, columns, bytes).await?,
            None => None,
        };
        if found.is_none() {
            record.is_whole(table);
        }
        Ok(found)
    }
}
