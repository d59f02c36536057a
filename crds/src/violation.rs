//! What is wrong with an object, said of the field that is wrong.

use std::fmt;

/// A field and what it should be, as an API server would say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's path, `spec.table.columns[2].type`.
    pub field: String,
    /// What the field must be.
    pub message: String,
}

impl Violation {
    pub(crate) fn new(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            field: field.into(),
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
