//! Annotations by which people tell the operator something about one object.

/// `true`: the operator leaves the object and all that belongs to it alone, and its status says
/// so. A deletion that would delete data waits.
pub const PAUSED: &str = "gamecast.dev/paused";

/// Any text, by custom a time: a new one has the object looked at once, at once. The status tells
/// the last one that was handled.
pub const RECONCILE_AT: &str = "gamecast.dev/reconcile-at";

/// `true`: when the object is deleted its data stays, whatever its deletion policy says, and
/// nothing is waited for.
pub const ABANDON: &str = "gamecast.dev/abandon";

/// A time (RFC 3339) that is later than that of the last such wish: the connector of the Game begins
/// anew with a snapshot of all its tables.
pub const RESNAPSHOT_AT: &str = "gamecast.dev/resnapshot-at";

/// When the object was released from its finalizer, because the operator is being uninstalled
/// (RFC 3339). Written and removed by the operator.
pub const RELEASED: &str = "gamecast.dev/released";

/// All of them.
pub const ALL: [&str; 5] = [PAUSED, RECONCILE_AT, ABANDON, RESNAPSHOT_AT, RELEASED];
