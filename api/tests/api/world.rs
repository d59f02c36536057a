//! The API as a test runs it.

use std::fs;
use std::net::SocketAddr;

use api::{Cli, Command, Listeners, Problem, ServeArgs, ServeError};
use clap::Parser;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An API that serves, and a client of it.
pub(crate) struct World {
    pub(crate) http: reqwest::Client,
    public: SocketAddr,
    admin: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), ServeError>>,
    folder: TempDir,
}

impl World {
    /// Serves with the given flags, once ready.
    pub(crate) async fn ready(client: kube::Client, flags: &[&str]) -> Self {
        let world = Self::start(client, flags).await;
        while world.admin("/readyz").await.0 != 200 {
            tokio::task::yield_now().await;
        }
        world
    }

    /// Serves with the given flags, ready or not. In flags, `{web}` is the folder of a page.
    pub(crate) async fn start(client: kube::Client, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let args = arguments(&folder, flags);
        let listeners = Listeners::bind(&args).await.expect("free ports");
        let public = listeners.public.local_addr().expect("an address");
        let admin = listeners.admin.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let served = tokio::spawn(async move { api::serve(&args, client, listeners, token).await });
        Self {
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("a client"),
            public,
            admin,
            shutdown,
            served,
            folder,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        send(self.http.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: Option<Value>) -> Response {
        let request = self.http.post(self.url(path));
        send(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        send(self.http.delete(self.url(path))).await
    }

    /// The status and the text of a path of the admin port.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.admin);
        let response = send(self.http.get(url)).await;
        let status = response.status().as_u16();
        (status, response.text().await.expect("a text"))
    }

    /// Ends the API and returns what it ended with.
    pub(crate) async fn end(self) -> Result<(), ServeError> {
        self.shutdown.cancel();
        let served = self.served.await.expect("no panic");
        drop(self.folder);
        served
    }
}

/// The flags as the command line reads them, with a database that nobody listens for.
fn arguments(folder: &TempDir, flags: &[&str]) -> ServeArgs {
    let databases = folder.path().join("databases.yaml");
    let password = folder.path().join("password");
    let web = folder.path().join("web");
    fs::create_dir_all(web.join("assets")).expect("a folder");
    fs::write(web.join("index.html"), "<!doctype html><title>Odds</title>").expect("a file");
    fs::write(web.join("assets/index-4f2a.js"), "1").expect("a file");
    fs::write(&password, "secret\n").expect("a file");
    let file = format!(
        "databases: {{default: {{host: 127.0.0.1, port: 1, schema: gameodds, username: gamecast_api, passwordFile: {}}}}}",
        password.display()
    );
    fs::write(&databases, file).expect("a file");
    let mut line: Vec<String> = [
        "api",
        "serve",
        "--listen=127.0.0.1:0",
        "--admin-listen=127.0.0.1:0",
    ]
    .map(str::to_owned)
    .into();
    line.push(format!("--databases={}", databases.display()));
    let web = web.display().to_string();
    line.extend(flags.iter().map(|flag| flag.replace("{web}", &web)));
    match Cli::try_parse_from(line).expect("valid flags").command {
        Command::Serve(args) => args,
        _ => unreachable!("the line says serve"),
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// The problem document that a response must be, and whether it says when to try again.
pub(crate) async fn problem(response: Response) -> (Problem, Option<String>) {
    let status = response.status().as_u16();
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    assert_eq!(
        header("content-type").as_deref(),
        Some("application/problem+json")
    );
    let retry_after = header("retry-after");
    let problem: Problem = response.json().await.expect("a problem document");
    assert_eq!(problem.status, status);
    assert!(
        problem.problem_type.starts_with("tag:gamecast.dev,2026:"),
        "{problem:?}"
    );
    (problem, retry_after)
}

/// The kind of a problem and its fields.
pub(crate) async fn refused(response: Response) -> (u16, String, Vec<String>) {
    let (problem, _) = problem(response).await;
    let (_, kind) = problem.problem_type.rsplit_once(':').expect("a tag URI");
    let fields = problem.errors.into_iter().map(|error| error.field);
    (problem.status, kind.to_owned(), fields.collect())
}
