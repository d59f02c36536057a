//! A Game as the API shows it, and whether it takes rows.

use crds::{Condition, ConditionType, Game};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The reason of a Game that the operator has said nothing of yet.
const PENDING: &str = "Pending";

/// A game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Game)]
pub struct GameView {
    /// The game id.
    #[schema(example = "123121")]
    pub id: String,
    /// The name that people see; the id where the Game has none.
    #[schema(example = "Flamengo x Palmeiras")]
    pub display_name: String,
    /// True when every row that is committed from now on reaches subscribers.
    pub ready: bool,
    /// The reason of the condition Ready.
    pub reason: String,
    /// The message of the condition Ready.
    pub message: String,
    /// The topic that subscribers see; absent until the operator has looked at the Game.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "games/123121")]
    pub topic: Option<String>,
    /// The table's columns beside row_id, game_id and created_at.
    pub columns: Vec<ColumnView>,
    /// When the Game was created, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11-21T14:26:00Z")]
    pub created_at: Option<String>,
}

/// A column of a game's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Column)]
pub struct ColumnView {
    /// The column's name.
    #[schema(example = "odd1")]
    pub name: String,
    /// The column's MySQL type.
    #[serde(rename = "type")]
    #[schema(example = "VARCHAR(50)")]
    pub column_type: String,
}

/// A page of games, by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GameList {
    /// The games of this page.
    pub items: Vec<GameView>,
    /// The parameter `continue` of the next page; absent on the last one.
    #[serde(rename = "continue", default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl From<&Game> for GameView {
    fn from(game: &Game) -> Self {
        let id = game.metadata.name.clone().unwrap_or_default();
        let (ready, reason, message) = readiness(game);
        let status = game.status.as_ref();
        let column = |column: &crds::Column| ColumnView {
            name: column.name.clone(),
            column_type: column.column_type.clone(),
        };
        Self {
            display_name: game.spec.display_name.clone().unwrap_or_else(|| id.clone()),
            id,
            ready,
            reason,
            message,
            topic: status.and_then(|status| status.served_topic.clone()),
            columns: game.spec.table.columns.iter().map(column).collect(),
            created_at: game
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0.to_string()),
        }
    }
}

fn condition(game: &Game, wanted: ConditionType) -> Option<&Condition> {
    let conditions = &game.status.as_ref()?.conditions;
    conditions.iter().find(|c| c.type_ == wanted.as_str())
}

fn is_true(game: &Game, wanted: ConditionType) -> bool {
    condition(game, wanted).is_some_and(|c| c.status == "True")
}

/// Ready, with its reason and message. A condition that speaks of an older generation is no
/// answer, as in kstatus.
fn readiness(game: &Game) -> (bool, String, String) {
    if game.metadata.deletion_timestamp.is_some() {
        return (false, "Deleting".into(), "the game is being deleted".into());
    }
    let observed = game.status.as_ref().and_then(|s| s.observed_generation);
    match condition(game, ConditionType::Ready) {
        None => {
            let message = "the operator has not looked at the game yet";
            (false, PENDING.into(), message.into())
        }
        Some(_) if observed < game.metadata.generation => {
            let message = "the operator has not looked at the game's last change yet";
            (false, PENDING.into(), message.into())
        }
        Some(ready) => (
            ready.status == "True",
            ready.reason.clone(),
            ready.message.clone(),
        ),
    }
}

/// Whether rows may be inserted; if not, the reason and the message of the condition Ready.
///
/// A game that was Ready and for the moment is not, say as Kafka Connect restarts, takes rows: its
/// table exists and its route was published after the table was seen to be captured, so the rows
/// arrive later, and refusing them would lose them.
pub(crate) fn takes_rows(game: &Game) -> Result<(), (String, String)> {
    let captured =
        is_true(game, ConditionType::TableReady) && is_true(game, ConditionType::RouteReady);
    if captured || is_true(game, ConditionType::Ready) {
        return Ok(());
    }
    let (_, reason, message) = readiness(game);
    Err((reason, message))
}

#[cfg(test)]
mod tests {
    use crds::{GameSpec, GameStatus};
    use serde_json::json;

    use super::*;

    fn game(generation: i64, conditions: &[(&str, &str)]) -> Game {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(kind, status)| {
                json!({"type": kind, "status": status, "reason": "R", "message": "m",
                       "lastTransitionTime": "2026-11-21T14:26:00Z"})
            })
            .collect();
        let mut game = Game::new("123121", GameSpec::default());
        game.metadata.generation = Some(generation);
        game.status = Some(GameStatus {
            observed_generation: Some(1),
            conditions: serde_json::from_value(json!(conditions)).unwrap(),
            ..GameStatus::default()
        });
        game
    }

    #[test]
    fn ready_is_of_this_generation() {
        let view = GameView::from(&game(1, &[("Ready", "True")]));
        assert_eq!((view.ready, view.reason.as_str()), (true, "R"));
        assert_eq!(view.display_name, "123121");
        let view = GameView::from(&game(2, &[("Ready", "True")]));
        assert_eq!((view.ready, view.reason.as_str()), (false, PENDING));
        let view = GameView::from(&Game::new("1", GameSpec::default()));
        assert_eq!((view.ready, view.reason.as_str()), (false, PENDING));
    }

    #[test]
    fn rows_are_taken_once_the_table_is_captured() {
        assert!(takes_rows(&game(1, &[])).is_err());
        let made = [("Ready", "False"), ("TableReady", "True")];
        let (reason, message) = takes_rows(&game(1, &made)).unwrap_err();
        assert_eq!((reason.as_str(), message.as_str()), ("R", "m"));
        assert!(takes_rows(&game(2, &[("Ready", "True")])).is_ok());
        let outage = [
            ("Ready", "False"),
            ("TableReady", "True"),
            ("ConnectorReady", "False"),
            ("RouteReady", "True"),
        ];
        assert!(takes_rows(&game(1, &outage)).is_ok());
    }
}
