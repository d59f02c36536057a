//! What the Kubernetes API server refuses, as an [`Error`] that says which field and why.

use kube::core::Status;

use crate::error::Error;
use crate::problem::FieldError;

/// How the API server begins the message of a rule's violation. What follows is the rule's own.
const PREFIX: &str = "Invalid value: ";

/// What it says next when the value is a whole object, which it does not show.
const OBJECT: &str = r#""object": "#;

/// The error of a call to the API server that was to do `action`: "apply games".
pub(crate) fn of(error: kube::Error, action: &'static str) -> Error {
    let kube::Error::Api(status) = &error else {
        return Error::Kubernetes(Box::new(error));
    };
    match status.code {
        400 | 422 => Error::Invalid {
            summary: "the API server refuses the game".into(),
            errors: causes(status, "spec"),
        },
        409 => Error::Conflict {
            summary: "another manager has set these fields to other values; change them there, or leave them out here".into(),
            errors: causes(status, "metadata"),
        },
        401 | 403 => Error::Forbidden(action, Box::new(error)),
        _ => Error::Kubernetes(Box::new(error)),
    }
}

/// The fields that the API server names, or its whole message under the field `otherwise`.
fn causes(status: &Status, otherwise: &str) -> Vec<FieldError> {
    let named: Vec<_> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| {
            let message = &cause.message;
            let message = message.strip_prefix(PREFIX).unwrap_or(message);
            let message = message.strip_prefix(OBJECT).unwrap_or(message);
            let field = cause.field.trim_start_matches('.');
            let field = if field.is_empty() { otherwise } else { field };
            FieldError::new(field, message)
        })
        .collect();
    if named.is_empty() {
        vec![FieldError::new(otherwise, &status.message)]
    } else {
        named
    }
}
