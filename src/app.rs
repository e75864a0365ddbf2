//! The whole server: its parts made from a configuration, and run until it is told to stop.
//!
//! [`App::builder`] is also how an application embeds Switchboard: it adds typed events and routes of its own, keeps a
//! [`Hub`] to send by, and decides about listener and shutdown.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::AbortHandle,
};
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

mod drain;

use self::drain::drain;
use crate::{
    api,
    backend::{self, Backend, Deliveries},
    config::{Config, ConfigError, Store},
    error::Result,
    http::{
        self, ServerConfig,
        body::BodyLimits,
        origins::{Origins, UnlistedOrigins},
    },
    hub::{CloseReason, Hub, HubSettings, PageLimits},
    telemetry::{Metrics, NodesSeen},
    transport::{
        Doorway, DoorwayConfig, poll,
        socketio::{self, CustomEvents, EventContext, PubSubDriver, SocketIo, SocketIoConfig},
        sse, websocket,
    },
};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong; every problem is named.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The embedded log could not be opened.
    #[error("{0}")]
    Store(#[from] backend::sqlite::OpenError),
    /// The shared log could not be opened.
    #[error("{0}")]
    Redis(#[from] backend::redis::RedisOpenError),
    /// The address for operators could not be listened on.
    #[error(
        "cannot listen on {address}: {source}; is another server running there? `http.internal_listen` chooses another address"
    )]
    ListenInternal {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address could not be listened on.
    #[error(
        "cannot listen on {address}: {source}; is another server running there? `listen` chooses another address"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A server that is ready to run.
pub struct App {
    config: Config,
    hub: Hub,
    io: SocketIo,
    router: Router,
    internal: Option<Internal>,
    backend: Backend,
    deliveries: Deliveries,
    draining: CancellationToken,
    keys: CancellationToken,
}

/// What operators alone can reach.
struct Internal {
    listener: TcpListener,
    router: Router,
}

impl Internal {
    async fn listen(address: SocketAddr, router: Router) -> Result<Self, StartError> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| StartError::ListenInternal { address, source })?;
        Ok(Self { listener, router })
    }

    /// Serves until the end, also while the node is going down.
    async fn serve(self, accepting: ServerConfig, end: CancellationToken) {
        let accepting = ServerConfig {
            trusted_proxies: Arc::default(),
            connections: OPERATORS,
            idle_connections: OPERATORS,
            ..accepting
        };
        http::serve(self.listener, self.router, accepting, end.clone(), end).await;
    }
}

/// Connections of operators, with a request and without.
const OPERATORS: usize = 256;

/// A server in the making.
pub struct Builder {
    config: Config,
    events: CustomEvents,
    routes: Vec<Box<dyn FnOnce(Hub) -> Router>>,
}

impl App {
    /// Begins a server with this configuration.
    pub fn builder(config: Config) -> Builder {
        Builder {
            config,
            events: CustomEvents::default(),
            routes: Vec::new(),
        }
    }

    /// The rules: send to rooms, see who is connected. Cheap to clone.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// socketioxide's own handle, for whatever an application emits itself: to the sockets of all nodes.
    pub fn io(&self) -> &SocketIo {
        &self.io
    }

    /// Where operators find what is theirs alone, if `http.internal_listen` is set.
    pub fn internal_address(&self) -> Option<SocketAddr> {
        let internal = self.internal.as_ref()?;
        internal.listener.local_addr().ok()
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Serves `listener` until `shutdown` is ready; then clients are told, closed at a pace, and everything that was
    /// accepted is stored before this returns.
    pub async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let accepting = ServerConfig {
            header_timeout: self.config.http.header_timeout,
            // A client that takes nothing for a while is the outboxes' concern, and answers all the same.
            tcp_user_timeout: self.config.limits.stall + Duration::from_secs(20),
            trusted_proxies: self.config.http.trusted_proxies.iter().copied().collect(),
            connections: self.config.limits.connections,
            idle_connections: self.config.limits.idle_connections,
            memory: self.hub.memory().clone(),
            metrics: self.hub.metrics().clone(),
        };
        let delivering = tokio::spawn(self.hub.clone().deliver_all(self.deliveries));
        let tending = tokio::spawn(self.hub.clone().tend());
        let _parts = Parts {
            hub: self.hub.clone(),
            draining: self.draining.clone(),
            tokens: [stop.clone(), end.clone(), self.keys.clone()],
            tasks: [delivering.abort_handle(), tending.abort_handle()],
        };
        if let Some(internal) = self.internal {
            tokio::spawn(internal.serve(accepting.clone(), end.clone()));
        }
        let serving = tokio::spawn(http::serve(
            listener,
            self.router,
            accepting,
            stop.clone(),
            end.clone(),
        ));
        shutdown.await;
        let channels = self.backend.pubsub.as_ref();
        let others = channels.is_some_and(|channels| channels.node_count() > 1);
        if self.config.drain.is_brief(others) {
            // Whoever comes back already is refused by the system, at no cost to those who are still to be closed.
            stop.cancel();
        }
        drain(&self.hub, &self.config.drain, others, &self.draining).await;
        stop.cancel();
        end.cancel();
        // What was accepted is stored whether or not somebody still waits for an answer.
        self.backend.log.close().await;
        self.keys.cancel();
        if tokio::time::timeout(LAST_ANSWERS, serving).await.is_err() {
            tracing::debug!("an HTTP request was still under way at the end");
        }
    }
}

/// What runs beside [`App::run`]. It ends with that, also where an application lets go of it before its end: nobody
/// would be left to deliver to those who are connected, and the port would stay taken.
struct Parts {
    hub: Hub,
    draining: CancellationToken,
    tokens: [CancellationToken; 3],
    tasks: [AbortHandle; 2],
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.draining.cancel();
        self.tokens.iter().for_each(CancellationToken::cancel);
        // Let go of behind its runtime, it has no connections left, and closing them would need one.
        if tokio::runtime::Handle::try_current().is_ok() {
            for connection in self.hub.connections() {
                connection.close(CloseReason::Draining);
            }
        }
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// How long HTTP requests may still be answered when everything else is done.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

impl Builder {
    /// Adds a Socket.IO event of the application's own: `handler` is called with the event's one argument, in order
    /// with the connection's other events, and what it returns goes into the ack beside `ok: true`. One that takes longer than
    /// `socketio.handler_timeout` is dropped at the await where it stands, and its client is told `unavailable`.
    ///
    /// # Panics
    /// If the name is one of the server's own events.
    #[must_use]
    pub fn event<F, Fut, T, R>(mut self, name: &str, handler: F) -> Self
    where
        F: Fn(EventContext, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        T: DeserializeOwned,
        R: Serialize + 'static,
    {
        self.events.insert(name, handler);
        self
    }

    /// Adds HTTP routes of the application's own, beside the server's; `routes` is given the hub to send by.
    #[must_use]
    pub fn routes(mut self, routes: impl FnOnce(Hub) -> Router + 'static) -> Self {
        self.routes.push(Box::new(routes));
        self
    }

    /// Opens the log and the keys, and puts the parts together. Needs a tokio runtime.
    pub async fn build(self) -> Result<App, StartError> {
        let config = self.config;
        config.check()?;
        let authority = config.auth.authority().map_err(ConfigError::from)?;
        let keys = CancellationToken::new();
        authority.start(keys.clone()).await;
        let (backend, deliveries) = open_backend(&config).await?;
        let metrics = Arc::new(Metrics::new());
        if let Some(channels) = backend.pubsub.as_ref().map(Arc::downgrade) {
            metrics.watch_nodes(move || {
                let channels = channels.upgrade();
                let seen = channels.map(|channels| NodesSeen {
                    nodes: channels.node_count().try_into().unwrap_or(u32::MAX),
                    dropped: channels.dropped(),
                });
                seen.unwrap_or_default()
            });
        }
        let (health, keys_known) = (backend.health.clone(), authority.clone());
        metrics.watch_ready(move || {
            let mut checks = health.checks();
            checks.push(("keys", keys_known.ready().is_ok()));
            checks
        });
        let pages = PageLimits {
            messages: config.history.page,
            bytes: config.history.page_bytes.bytes(),
        };
        let others = match (authority.is_open(), config.auth.allow_anyone) {
            (false, _) => UnlistedOrigins::WithToken,
            (true, false) => UnlistedOrigins::OfThisMachine,
            (true, true) => UnlistedOrigins::Own {
                on_loopback: config.listen.ip().is_loopback(),
            },
        };
        let origins = Origins::new(&config.http.origins, others);
        let settings = HubSettings {
            limits: config.limits.clone(),
            pages,
            recovery: config.recovery.clone(),
            presence: config.presence.clone(),
            typing: config.typing.clone(),
            grace: config.auth.grace,
        };
        let hub = Hub::new(backend.clone(), authority, settings, metrics);
        let draining = CancellationToken::new();
        let doorway = Arc::new(Doorway::new(
            &hub,
            DoorwayConfig {
                origins: origins.clone(),
                cookie: config.auth.cookie.clone(),
                early_tokens: config.auth.http,
                draining: draining.clone(),
                node: config.node.clone().unwrap_or_else(made_up_name),
            },
        ));
        let (door, io) = socketio::open(
            &doorway,
            SocketIoConfig {
                settings: &config.socketio,
                body_timeout: config.http.body_timeout,
                custom: self.events,
                pubsub: PubSubDriver::new(backend.pubsub.as_ref()),
            },
        )
        .await;
        let streams = sse::routes(&doorway, &config.events)
            .merge(poll::routes(&doorway, &config.poll))
            .merge(websocket::routes(
                &doorway,
                &config.websocket,
                config.socketio.read_buffer.bytes(),
            ));
        let metrics_key = config.http.metrics_key().unwrap_or_default();
        let (public, operators) =
            api::routes(&doorway, metrics_key, config.http.internal_listen.is_some());
        let internal = match config.http.internal_listen {
            Some(address) => Some(Internal::listen(address, operators).await?),
            None => None,
        };
        let mut router = door.merge(streams).merge(public);
        for routes in self.routes {
            router = router.merge(routes(hub.clone()));
        }
        let bodies = BodyLimits {
            bytes: config.http.body_bytes.bytes(),
            time: config.http.body_timeout,
            memory: hub.memory().clone(),
        };
        let router = router
            .fallback(api::no_route)
            .method_not_allowed_fallback(http::method_not_allowed)
            .layer(Extension(bodies))
            .layer(cors(origins));
        Ok(App {
            config,
            hub,
            io,
            router,
            internal,
            backend,
            deliveries,
            draining,
            keys,
        })
    }
}

async fn open_backend(config: &Config) -> Result<(Backend, Deliveries), StartError> {
    let retention = config.history.retention();
    Ok(match config.store() {
        Store::Memory => backend::memory::open(backend::memory::MemoryConfig {
            retention,
            idempotency: config.history.idempotency,
            session_window: config.recovery.window,
        }),
        Store::Sqlite => backend::sqlite::open(backend::sqlite::SqliteConfig {
            folder: config.data.clone(),
            synchronous: config.sqlite.synchronous,
            readers: config.sqlite.readers,
            hot_bytes: config.history.hot_bytes.bytes(),
            retention,
            idempotency: config.history.idempotency,
            session_window: config.recovery.window,
        })?,
        Store::Redis => {
            backend::redis::open(backend::redis::RedisConfig {
                url: config.redis.url.clone().unwrap_or_else(|| "".into()),
                prefix: config.redis.prefix.clone(),
                retention,
                idempotency: config.history.idempotency,
                session_window: config.recovery.window,
                lease: config.presence.lease,
                grace: config.presence.grace,
            })
            .await?
        }
    })
}

/// A name for a node that was given none, so that its connections can be told from another's.
fn made_up_name() -> String {
    format!("node-{}", crate::model::Epoch::generate())
}

/// CORS from the same list that WebSocket upgrades are checked against.
fn cors(origins: Origins) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([http::REQUEST_ID, ::http::header::RETRY_AFTER])
        .max_age(Duration::from_secs(3600));
    if origins.allows_any() {
        return layer.allow_origin(AllowOrigin::any());
    }
    layer
        .allow_credentials(true)
        .allow_origin(AllowOrigin::predicate(move |origin, request| {
            origins.is_trusted(origin, &request.headers, &request.extensions)
        }))
}

/// Ready when the process is told to stop, by Ctrl-C or SIGTERM. The second time ends it at once.
///
/// Signals are caught from this call on, so call it before whatever must not be cut short.
pub fn stop_signal() -> impl Future<Output = ()> {
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            tracing::error!("signals cannot be received; the server runs until it is killed");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("stopping: clients are told and closed; once more to stop at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    }
}
