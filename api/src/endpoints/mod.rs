//! The endpoints, with what the OpenAPI document says of them.

mod games;
mod odds;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// The document's head; the endpoints add themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Gamecast",
        description = "Live events, each a Kubernetes object and a MySQL table whose rows reach browsers as messages. Errors are problem documents of RFC 9457."
    ),
    // Beside the document, wherever that is.
    servers((url = ".")),
    tags(
        (name = "games", description = "The games"),
        (name = "odds", description = "Rows of the games' tables"),
    )
)]
struct Document;

/// The endpoints and their document.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(games::list))
        .routes(routes!(games::show, games::apply, games::delete))
        .routes(routes!(odds::given))
        .routes(routes!(odds::random))
}
