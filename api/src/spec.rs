//! The body of `POST /games/{id}`: the `spec` of a Game, as in YAML.
//!
//! Only what the body names is applied, so that the API server fills in its defaults and this
//! program owns no field that it was not asked to set.

use crds::{Game, GameSpec};
use kube::{CustomResourceExt, Resource};
use serde_json::{Value, json};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::Error;
use crate::problem::FieldError;

/// Makes the manifest of the game `id` from a spec, after checking all that the resource's own
/// rules check.
///
/// # Errors
/// [`Error::Invalid`] with every field that is unknown or wrong.
pub(crate) fn manifest(id: &str, spec: &Value) -> Result<Value, Error> {
    let mut unknown = Vec::new();
    let mut ignored = |path: serde_ignored::Path<'_>| {
        let field = format!("spec.{path}");
        unknown.push(FieldError::new(field, "a Game has no such field"));
    };
    let reader = serde_ignored::Deserializer::new(spec, &mut ignored);
    let typed: GameSpec = serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => "spec".into(),
            path => format!("spec.{path}"),
        };
        invalid(vec![FieldError::new(path, error.inner().to_string())])
    })?;
    if !unknown.is_empty() {
        return Err(invalid(unknown));
    }
    check(&Game::new(id, typed))?;
    Ok(json!({
        "apiVersion": Game::api_version(&()),
        "kind": Game::kind(&()),
        "metadata": {"name": id},
        "spec": spec,
    }))
}

/// Checks a Game, whether it comes from a client or from the API server: nothing of one that is
/// wrong may reach a statement.
pub(crate) fn check(game: &Game) -> Result<(), Error> {
    game.check()
        .map_err(|found| invalid(found.into_iter().map(FieldError::from).collect()))
}

fn invalid(errors: Vec<FieldError>) -> Error {
    let summary = match errors.as_slice() {
        [one] => format!("{}: {}", one.field, one.message),
        many => format!("the game is not valid: {} fields are wrong", many.len()),
    };
    Error::Invalid { summary, errors }
}

/// The schema of [`GameSpec`] in the OpenAPI document, taken from the custom resource definition
/// so that there is one source of it.
pub(crate) struct GameSpecSchema;

impl PartialSchema for GameSpecSchema {
    fn schema() -> RefOr<Schema> {
        let definition = json!(Game::crd());
        let spec =
            &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut spec = spec.clone();
        plain(&mut spec);
        // A text that is no schema could only come of a change of the definition; a test reads it.
        serde_json::from_value(spec).unwrap_or_else(|_| ObjectBuilder::new().into())
    }
}

impl ToSchema for GameSpecSchema {
    fn name() -> std::borrow::Cow<'static, str> {
        "GameSpec".into()
    }
}

/// Takes out what Kubernetes adds to a schema and OpenAPI 3.1 does not know.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|key, _| !key.starts_with("x-kubernetes-") && key != "nullable");
            fields.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(spec: Value) -> Vec<FieldError> {
        match manifest("123121", &spec) {
            Err(Error::Invalid { errors, .. }) => errors,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_is_given_is_applied() {
        let spec =
            json!({"displayName": "Flamengo x Palmeiras", "connector": {"mode": "Dedicated"}});
        let manifest = manifest("123121", &spec).unwrap();
        assert_eq!(manifest["apiVersion"], "gamecast.dev/v1alpha1");
        assert_eq!(manifest["kind"], "Game");
        assert_eq!(manifest["spec"], spec);
    }

    #[test]
    fn each_wrong_field_is_named() {
        let column =
            json!({"table": {"columns": [{"name": "odd1", "type": "VARCHAR(50)); DROP"}]}});
        assert_eq!(errors(column)[0].field, "spec.table.columns[0].type");
        let typed = errors(json!({"connector": {"mode": "Both"}}));
        assert_eq!(typed[0].field, "spec.connector.mode");
        assert!(typed[0].message.contains("Dedicated"), "{typed:?}");
        let unknown = errors(json!({"displayname": "x", "serve": {"window": "1m"}}));
        let fields: Vec<_> = unknown.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["spec.displayname", "spec.serve.window"]);
    }

    #[test]
    fn the_schema_is_the_resource_definitions() {
        let schema = serde_json::to_value(GameSpecSchema::schema()).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert!(properties.contains_key("displayName"), "{schema}");
        let column = &properties["table"]["properties"]["columns"]["items"];
        assert_eq!(column["properties"]["type"]["maxLength"], 32, "{schema}");
        assert!(!schema.to_string().contains("x-kubernetes"));
    }
}
