//! The end of a process.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGINT or SIGTERM cancels. The second ends the process at once, with the
/// exit code that shells give to a signal.
///
/// # Errors
/// When the signal handlers cannot be installed. Must be called within a tokio runtime.
pub fn signal_token() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut either = async move || {
        tokio::select! {
            _ = interrupt.recv() => ("SIGINT", SignalKind::interrupt()),
            _ = terminate.recv() => ("SIGTERM", SignalKind::terminate()),
        }
    };
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        let (name, _) = either().await;
        tracing::info!("received {name}, shutting down");
        cancel.cancel();
        let (name, kind) = either().await;
        tracing::warn!("received {name} again, ending at once");
        std::process::exit(128 + kind.as_raw_value());
    });
    Ok(token)
}
