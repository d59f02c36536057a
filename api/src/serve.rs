//! `api serve`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use database::{DatabaseError, Databases};
use prometheus_client::registry::Registry;
use service::PathPrefix;
use service::admin::{self, Readiness};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::app::{self, App};
use crate::games::Games;
use crate::metrics::Metrics;
use crate::mount::below;
use crate::page::{Fanout, Page};
use crate::tables::Tables;

/// How long requests that are under way may take once the process is to end.
const DRAIN: Duration = Duration::from_secs(10);

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address of the API and the web page.
    #[arg(long, env = "GAMECAST_API_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Address of /livez, /readyz and /metrics; not for the internet.
    #[arg(
        long,
        env = "GAMECAST_API_ADMIN_LISTEN",
        default_value = "0.0.0.0:9082"
    )]
    pub admin_listen: SocketAddr,

    /// The file that names the MySQL servers.
    #[arg(long, env = "GAMECAST_API_DATABASES", value_name = "FILE")]
    pub databases: PathBuf,

    /// The Kubernetes namespace of the Games. Only those in it are seen.
    #[arg(long, env = "GAMECAST_API_NAMESPACE", default_value = "default")]
    pub namespace: String,

    /// The path below which all of it is, as in /live for /live/games, where an ingress has more than
    /// this on its host and does not rewrite paths.
    #[arg(long, env = "GAMECAST_API_PATH_PREFIX", default_value = "")]
    pub path_prefix: PathPrefix,

    /// The folder of the built web page. Without it / leads to the API's documentation.
    #[arg(long, env = "GAMECAST_API_WEB_DIR", value_name = "FOLDER")]
    pub web_dir: Option<PathBuf>,

    /// The URL of fanout's MQTT endpoint as browsers reach it, ws or wss. Without it the page looks
    /// on the host that it came from, at --fanout-port.
    #[arg(long, env = "GAMECAST_API_MQTT_URL", value_name = "URL", value_parser = websocket_url)]
    pub mqtt_url: Option<Url>,

    /// fanout's port where --mqtt-url is not given.
    #[arg(long, env = "GAMECAST_API_FANOUT_PORT", default_value_t = 8081)]
    pub fanout_port: u16,
}

pub(crate) fn websocket_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme() {
        "ws" | "wss" => Ok(url),
        other => Err(format!("the scheme must be ws or wss, not {other}")),
    }
}

/// The sockets to serve on.
#[derive(Debug)]
pub struct Listeners {
    /// The API and the page.
    pub public: TcpListener,
    /// Health and metrics.
    pub admin: TcpListener,
}

impl Listeners {
    /// Listens where the arguments say.
    pub async fn bind(args: &ServeArgs) -> io::Result<Self> {
        Ok(Self {
            public: TcpListener::bind(args.listen).await?,
            admin: TcpListener::bind(args.admin_listen).await?,
        })
    }
}

/// Why the API could not be served.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error("failed to read the databases")]
    Databases(#[from] DatabaseError),
    #[error("{0} holds no built web page: index.html is missing")]
    NoPage(PathBuf),
    #[error("failed to serve")]
    Serve(#[from] io::Error),
}

/// Serves until `shutdown` is cancelled and what is under way is answered.
pub async fn serve(
    args: &ServeArgs,
    client: kube::Client,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    if let Some(folder) = &args.web_dir
        && !folder.join("index.html").is_file()
    {
        return Err(ServeError::NoPage(folder.clone()));
    }
    let tables = Tables::new(&Databases::load(&args.databases)?)?;
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let readiness = Readiness::default();
    let (games, watching) = Games::watch(client, args.namespace.clone(), readiness.clone());
    let app = App {
        games,
        tables: tables.clone(),
        metrics,
    };
    let page = Page {
        files: args.web_dir.clone(),
        fanout: Fanout {
            url: args.mqtt_url.clone(),
            port: args.fanout_port,
        },
    };
    tracing::info!(
        listen = %listeners.public.local_addr()?,
        admin = %listeners.admin.local_addr()?,
        namespace = args.namespace,
        "serving the API",
    );
    let router = below(args.path_prefix.clone(), app::router(app, page));
    let public = axum::serve(listeners.public, router)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let admin = admin::serve(listeners.admin, readiness, registry, shutdown.clone());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = async { tokio::try_join!(public, admin) } => drop(served?),
        () = overdue => tracing::warn!("connections are still open, closing them"),
        () = watching => {}
    }
    tables.close().await;
    Ok(())
}
