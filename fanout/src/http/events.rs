//! `GET /events`: a stream of Server-Sent Events, which begins with the response's head.

use http::{HeaderMap, Method, Request};

use super::origin::{self, AllowOrigin};
use super::refusal::{Answer, Refusal};
use super::{Endpoint, Opening, Rules, query};

/// What is served here.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// The id of the last event that a browser has had. One that is not this server's tells nothing.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn open(request: &Request<()>, rules: &Rules<'_>) -> Result<Opening, Answer> {
    let cors = cors(request.headers(), rules.origins).map_err(|refusal| refusal.answer(""))?;
    let query = request.uri().query();
    let refuse = |refusal: Refusal| refusal.answer(&cors);
    let filters = || query::each_topic(query, rules.filters).map_err(refuse);
    let positions = || {
        // A browser that connects again has come further than its URL says.
        let id = request.headers().get(LAST_EVENT_ID);
        let id = id.and_then(|id| id.to_str().ok()?.parse().ok());
        match id {
            Some(positions) => Ok(positions),
            None => query::since(request.uri().query()).map_err(|refusal| refusal.answer(&cors)),
        }
    };
    match *request.method() {
        Method::GET => Ok(Opening {
            endpoint: Endpoint::Events(filters()?, positions()?),
            max_rate: query::max_rate(query).map_err(refuse)?,
            client: rules.client(request.headers()),
            response: head(&cors).into(),
            deflate: false,
        }),
        Method::HEAD => filters().and_then(|_| {
            Err(Answer {
                name: "head",
                response: head(&cors).into(),
            })
        }),
        // EventSource never asks first. Programs that use fetch() to send a Last-Event-ID do.
        Method::OPTIONS => Err(Answer {
            name: "preflight",
            response: format!(
                "HTTP/1.1 204 No Content\r\nAllow: {METHODS}\r\n{cors}\
                 Access-Control-Allow-Methods: GET, HEAD\r\n\
                 Access-Control-Allow-Headers: Cache-Control, Last-Event-ID\r\n\
                 Access-Control-Max-Age: 86400\r\nConnection: close\r\n\r\n"
            )
            .into_bytes(),
        }),
        _ => Err(Refusal::Method(METHODS).answer(&cors)),
    }
}

/// The head of a stream that lasts. `X-Accel-Buffering` is what nginx asks for to pass each event
/// on at once.
fn head(cors: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
         X-Accel-Buffering: no\r\n{cors}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
}

/// The lines by which a browser lets a page of another origin read the response. They name the
/// one origin that asks, because `*` would tell every page that it may read what an error says.
fn cors(headers: &HeaderMap, origins: &[AllowOrigin]) -> Result<String, Refusal> {
    let Some(origin) = origin::check(headers, origins)? else {
        return Ok(String::new());
    };
    let origin = origin.to_str().map_err(|_| Refusal::Malformed)?;
    Ok(format!(
        "Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n"
    ))
}
