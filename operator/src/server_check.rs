//! What is looked at on the database's side before a connector is made or kept.
//!
//! ```text
//!   fit? --no--> the condition names what is wrong
//!    |
//!   Debezium's password changed since its task has started?
//!    | yes: PUT with the new mark; Connect tries the password that its config provider finds now
//!    |        taken:   the task starts anew where it was, and knows the password
//!    |        refused: Connect does not have it yet; the task runs on, and the condition says so
//! ```
//!
//! A task resolves its password when it starts and keeps it; one that was changed shows only when
//! its connection breaks, and then stops every game of the connector.

use crate::connect::{Connect, ConnectError, Connector, State};
use crate::failure::{Failure, chain};
use crate::mysql::Server;
use crate::plan::ConnectorPlan;

/// What was found of the database of a connector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// When the password of Debezium's account was changed; none where that is not shown.
    pub(crate) password: Option<String>,
    /// What should be put right.
    advice: Option<String>,
}

/// A connector as it is to be, given what was found.
pub(crate) struct Renewal {
    /// The plan, with the mark of the password that its task is to know.
    pub(crate) plan: ConnectorPlan,
    /// True when the task was started anew with another password.
    pub(crate) restarted: bool,
    /// What should be put right, where anything should.
    pub(crate) note: Option<String>,
}

/// Looks at the server.
///
/// # Errors
/// When it cannot be asked or is not fit.
pub(crate) async fn check(server: &Server, plan: &ConnectorPlan) -> Result<Checked, Failure> {
    let fitness = server.check_fitness().await?;
    Ok(Checked {
        password: server.password_changed(plan.account()).await?,
        advice: fitness.advice(),
    })
}

/// Has a connector that runs log in anew where its account has another password by now.
///
/// # Errors
/// When Connect cannot be asked.
pub(crate) async fn renew(
    connect: &Connect,
    reserved: &[u32],
    plan: &ConnectorPlan,
    checked: &Checked,
) -> Result<Renewal, Failure> {
    let listing = connect.list().await?;
    let running = listing
        .get(&plan.name)
        .filter(|connector| connector.state() == State::Running);
    let known = running.map(Connector::password);
    let mut renewal = Renewal {
        plan: plan.with_password(checked.password.clone()),
        restarted: false,
        note: checked.advice.clone(),
    };
    // One that does not run gets the new mark with whatever else is put right.
    let Some(known) = known.filter(|known| *known != checked.password) else {
        return Ok(renewal);
    };
    match connect.ensure_connector(&renewal.plan, reserved).await {
        Ok(_) => {
            tracing::info!(
                connector = plan.name,
                account = plan.account(),
                "the password of Debezium's account has changed, its task starts anew with it"
            );
            renewal.restarted = true;
        }
        Err(error @ ConnectError::Refused { .. }) => {
            let note = format!(
                "the password of {} was changed, and Kafka Connect does not have the new one yet: {}",
                plan.account(),
                chain(&error)
            );
            tracing::warn!(connector = plan.name, "{note}");
            renewal.note = Some(note);
            renewal.plan = plan.with_password(known);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(renewal)
}
