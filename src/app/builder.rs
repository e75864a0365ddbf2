//! Assembles a server from its configuration and from what the embedding application adds.

use std::sync::Arc;

use ::http::request::Parts;
use axum::Router;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    App,
    crypto::install_default_provider,
    internal::InternalListener,
    routes::{OwnRoutes, body_limits},
    start_error::StartError,
};
use crate::{
    api::{self, ApiConfig},
    auth::{ApplicationAuth, Authority, Principal, Reject},
    backend::{self, Backend, Deliveries, RedisSettings, Retention},
    config::{Config, ConfigError, Identities, Problem, Store},
    error::Result,
    events::EventOwners,
    hooks::Hooks,
    http::{
        CertificateReload, RouteGroup,
        origins::{Origins, UnlistedOrigins},
    },
    hub::{Hub, HubSettings, NodeInfo, PageLimits},
    policies::{CurrentPolicies, RoomPolicies},
    telemetry::{ClusterStats, Metrics},
    transport::{
        AdmissionConfig, AdmissionControl,
        socketio::{
            self, EventHandler, Handlers, NamespaceBuilder, PubSubDriver, SocketIo, SocketIoConfig,
        },
    },
};

/// Configures a server before it starts: events and routes of the embedding application.
///
/// ```no_run
/// use axum::{Router, extract::{Path, State}, routing::post};
/// use switchboard::{
///     App, Data, EventContext, Result,
///     config::Config,
///     hub::{Hub, Publish},
///     model::{Namespace, RoomName},
/// };
///
/// async fn greet(context: EventContext, Data(name): Data<String>) -> Result<()> {
///     let publish = Publish::new(RoomName::parse("lobby")?, "greeting", &name)?;
///     context.publish(publish).await?.settled().await.map(drop)
/// }
///
/// async fn bell(State(hub): State<Hub>, Path(room): Path<RoomName>) -> Result<()> {
///     let publish = Publish::new(room, "bell", &"ding")?;
///     let outcome = hub.publish_as(&Namespace::root(), publish, None).await?;
///     outcome.settled().await.map(drop)
/// }
///
/// # async fn run() -> Result<(), switchboard::StartError> {
/// let app = App::builder(Config::default())
///     .event("greet", greet)
///     .routes(|hub, _io| Router::new().route("/bell/{room}", post(bell)).with_state(hub))
///     .build()
///     .await?;
/// # Ok(())
/// # }
/// ```
pub struct AppBuilder {
    config: Config,
    handlers: Handlers,
    routes: Vec<ApplicationRoutes>,
    authenticate: Option<ApplicationAuth>,
    stands_alone: bool,
}

/// Makes routes of the embedding application.
type ApplicationRoutes = Box<dyn FnOnce(Hub, SocketIo) -> Router + Send>;

impl AppBuilder {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            handlers: Handlers::default(),
            routes: Vec::new(),
            authenticate: None,
            stands_alone: false,
        }
    }

    /// There is no application in this process.
    pub(crate) fn standing_alone(mut self) -> Self {
        self.stands_alone = true;
        self
    }

    /// Changes the configuration.
    pub(crate) fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Handles an event of Socket.IO clients. `handler` is an async function of [extractors](crate::FromEvent), in any order; it is
    /// called in order with the other events of the connection, and what it returns is the ack. A handler that exceeds
    /// `socketio.handler_timeout` is dropped at its current await point, and the client is told `unavailable`. The name may be one of
    /// the contract's, which then is the application's alone.
    #[must_use]
    pub fn event<Arguments>(mut self, name: &str, handler: impl EventHandler<Arguments>) -> Self {
        self.handlers.change(|all| all.event(name, handler));
        self
    }

    /// Is called when a client has connected, before its first event is handled: with the `auth` payload of its CONNECT as
    /// [`Data`](crate::Data). A client that resumes its session is told apart by
    /// [`is_recovered`](crate::EventContext::is_recovered). An error is sent to the client as an `error` event.
    #[must_use]
    pub fn on_connect<Arguments>(mut self, handler: impl EventHandler<Arguments>) -> Self {
        self.handlers.change(|all| all.on_connect(handler));
        self
    }

    /// Is called when a client has disconnected and everything that it had sent is handled, with a
    /// [`DisconnectReason`](crate::DisconnectReason). The client is a member of no room any more;
    /// [`rooms`](crate::EventContext::rooms) has those that it was in. A connection whose session has been resumed by another one ends
    /// with [`CloseReason::Replaced`](crate::hub::CloseReason::Replaced) and was in none: it is told before the beginning of that one,
    /// where both are on one node.
    #[must_use]
    pub fn on_disconnect<Arguments>(mut self, handler: impl EventHandler<Arguments>) -> Self {
        self.handlers.change(|all| all.on_disconnect(handler));
        self
    }

    /// Adds a namespace with handlers of its own, and none of those that are given outside. Its clients have the same identity, limits, rooms
    /// and recovery as those of `socketio.namespaces`, where it may be listed, too.
    #[must_use]
    pub fn namespace(
        mut self,
        name: &str,
        build: impl FnOnce(NamespaceBuilder) -> NamespaceBuilder,
    ) -> Self {
        let namespace = build(NamespaceBuilder::default());
        self.handlers.add_namespace(name, namespace);
        self
    }

    /// Decides who a client is, on every transport: by the head of its HTTP request, and by the `auth` payload of a Socket.IO CONNECT
    /// (`null` for other protocols). `Ok(principal)` admits it, `Ok(None)` leaves the decision to its token, an error refuses it. There
    /// is no open mode then. The request has no cookies and no `Authorization` if they may have been added for a page that
    /// `http.origins` does not list; its extensions have the client's [`IpAddr`](std::net::IpAddr). It may take ten seconds, and an
    /// address that was refused often has to wait.
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use http::request::Parts;
    /// use serde_json::Value;
    /// use switchboard::{App, auth::{Grants, Principal, Reject}, config::Config, model::UserId};
    ///
    /// async fn identify(request: Parts, auth: Value) -> Result<Principal, Reject> {
    ///     let user = auth["session"].as_str().ok_or_else(|| Reject::new("log in first"))?;
    ///     Ok(Principal::new(UserId::parse(user)?, Grants::everything()))
    /// }
    ///
    /// let app = App::builder(Config::default()).authenticate(identify);
    /// ```
    #[must_use]
    pub fn authenticate<F, Fut, P>(mut self, authenticate: F) -> Self
    where
        F: Fn(Parts, Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<P, Reject>> + Send + 'static,
        P: Into<Option<Principal>>,
    {
        self.authenticate = Some(ApplicationAuth::new(authenticate));
        self
    }

    /// Adds a value that handlers get as [`State`](crate::State): one of each type.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.handlers.add_state(value);
        self
    }

    /// Adds HTTP routes next to the server's own. `routes` is given the hub and the handle of socketioxide, for handlers to
    /// publish and emit with.
    ///
    /// The router's layers and its fallback are for its own routes and for what no route matches; the server's CORS headers
    /// are not added to it. Without a fallback, the server answers where no route matches. A path that is more specific than
    /// one of the server's goes first, and the same path is refused when the server is built.
    ///
    /// Called more than once, the routers are merged as by [`Router::merge`], which panics in [`build`](Self::build) if two
    /// have the same route, or both a fallback.
    #[must_use]
    pub fn routes(mut self, routes: impl FnOnce(Hub, SocketIo) -> Router + Send + 'static) -> Self {
        self.routes.push(Box::new(routes));
        self
    }

    /// Checks the configuration, opens the log and builds the server. Call it within a tokio runtime.
    ///
    /// # Errors
    /// Fails if the configuration is invalid, the log cannot be opened, `http.internal_listen` cannot be listened on, or an
    /// application's handler or route is one that the server has.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime, and if two routers of [`routes`](Self::routes) overlap.
    pub async fn build(self) -> Result<App, StartError> {
        let mut config = self.config;
        add_namespaces(&mut config, &self.handlers)?;
        config.check_as(match self.authenticate {
            Some(_) => Identities::OfApplication,
            None => Identities::Configured,
        })?;
        install_default_provider();
        let owners = event_owners(&config, &self.handlers)?;
        let authority = config.auth.authority().map_err(ConfigError::from)?;
        let stop_refreshing = CancellationToken::new();
        let key_refresh = stop_refreshing.clone().drop_guard();
        if self.authenticate.is_some() {
            authority.set_has_application();
        }
        authority.start(stop_refreshing).await;
        let policies = config.policies().map_err(ConfigError::from)?;
        let retention = config.retention(&policies);
        let (backend, deliveries) = open_backend(&config, retention).await?;
        let metrics = Arc::new(Metrics::new());
        let tls = CertificateReload::open(&config.tls, config.listen.ip(), &metrics)
            .map_err(|error| ConfigError::from(vec![Problem::from(error)]))?;
        let webtransport = tls.as_ref().filter(|_| config.webtransport);
        collect_metrics(&metrics, &backend, &authority);
        let origins = origins(&config, &authority);
        let node = config.node.clone().unwrap_or_else(random_node_name);
        let hooks = Hooks::open(&config.hooks, &node, &metrics).map_err(ConfigError::from)?;
        hooks.begin_notifications(backend.outbox.as_ref()).await;
        let settings = hub_settings(&config, node, (hooks, policies));
        let hub = Hub::new(backend.clone(), authority, settings, metrics);
        let stop_requested = CancellationToken::new();
        let draining = CancellationToken::new();
        let admission = Arc::new(AdmissionControl::new(
            &hub,
            AdmissionConfig {
                origins: origins.clone(),
                cookie: config.auth.cookie.clone(),
                early_tokens: config.auth.http,
                draining: draining.clone(),
                application: self.authenticate,
            },
        ));
        let (socketio, io) = socketio::open(
            &admission,
            SocketIoConfig {
                settings: &config.socketio,
                owners: &owners,
                body_timeout: config.http.body_timeout,
                handlers: self.handlers,
                pubsub: PubSubDriver::new(backend.pubsub.as_ref()),
                documents: config.http.routes.contains(&RouteGroup::Documents),
                operators: config.http.routes.contains(&RouteGroup::Admin)
                    && hub.authority().admin().is_some(),
                has_application: !self.stands_alone,
                webtransport: webtransport.map(|tls| tls.acceptor().clone()),
                uses_rooms: !self.stands_alone || backend.cluster.is_some(),
            },
        )
        .await;
        let metrics_key = config.http.metrics_key().unwrap_or_default();
        let api = api::routes(
            &admission,
            ApiConfig {
                metrics_key,
                prefix: &config.http.prefix,
                stop: stop_requested.clone(),
            },
        );
        let internal = match config.http.internal_listen {
            Some(address) => Some(InternalListener::bind(address, api.operators.clone()).await?),
            None => None,
        };
        let access = (origins, hub.authority().is_open());
        let own = OwnRoutes::new(&config, &admission, (socketio, api), access)?;
        let application = self.routes.into_iter().fold(Router::new(), |all, routes| {
            all.merge(routes(hub.clone(), io.clone()))
        });
        let bodies = body_limits(&config.http, hub.memory());
        let router = own.with_application(application, bodies).await?;
        Ok(App {
            config,
            hub,
            io,
            router,
            internal,
            tls,
            backend,
            deliveries,
            draining,
            stop_requested,
            key_refresh,
        })
    }
}

/// Adds the application's namespaces to those that are configured.
fn add_namespaces(config: &mut Config, handlers: &Handlers) -> Result<(), StartError> {
    let configured = &mut config.socketio.namespaces;
    for namespace in handlers.namespaces().map_err(StartError::Event)? {
        if !configured.contains(&namespace) {
            configured.push(namespace);
        }
    }
    Ok(())
}

/// Who owns which event, the application's handlers included.
fn event_owners(config: &Config, handlers: &Handlers) -> Result<EventOwners, StartError> {
    let mut owners = config.event_owners();
    let claimed = handlers.claim(&mut owners, &config.socketio.namespaces);
    claimed.map_err(StartError::Event)?;
    Ok(owners)
}

/// Lets the metrics read the cluster's state and the node's readiness on each scrape.
fn collect_metrics(metrics: &Metrics, backend: &Backend, authority: &Authority) {
    if let Some(pubsub) = backend.pubsub.as_ref().map(Arc::downgrade) {
        metrics.collect_cluster(move || {
            let stats = pubsub.upgrade().map(|pubsub| ClusterStats {
                nodes: pubsub.node_count().try_into().unwrap_or(u32::MAX),
                dropped: pubsub.dropped(),
            });
            stats.unwrap_or_default()
        });
    }
    let (health, authority) = (backend.health.clone(), authority.clone());
    metrics.collect_readiness(move || {
        let mut checks = health.checks();
        checks.push(("keys", authority.ready().is_ok()));
        checks
    });
}

fn origins(config: &Config, authority: &Authority) -> Origins {
    let unlisted = match (authority.is_open(), config.auth.allow_anyone) {
        (false, _) => UnlistedOrigins::WithToken,
        (true, false) => UnlistedOrigins::OfThisMachine,
        (true, true) => UnlistedOrigins::Own {
            on_loopback: config.listen.ip().is_loopback(),
        },
    };
    Origins::new(&config.http.origins, unlisted)
}

fn hub_settings(
    config: &Config,
    node: String,
    (hooks, policies): (Arc<Hooks>, RoomPolicies),
) -> HubSettings {
    HubSettings {
        limits: config.limits.clone(),
        pages: PageLimits {
            messages: config.history.page,
            bytes: config.history.page_bytes.bytes(),
        },
        recovery: config.recovery.clone(),
        presence: config.presence.clone(),
        typing: config.typing.clone(),
        grace: config.auth.grace,
        node: NodeInfo::started_now(
            node,
            config.listen.to_string(),
            config.store().as_str().to_owned(),
        ),
        hooks,
        answer_window: config.history.idempotency,
        documents: config.documents.clone(),
        policies: CurrentPolicies::new(policies),
    }
}

async fn open_backend(
    config: &Config,
    retention: Retention,
) -> Result<(Backend, Deliveries), StartError> {
    Ok(match config.store() {
        Store::Memory => backend::memory::open(backend::memory::MemoryConfig {
            retention,
            idempotency: config.history.idempotency,
            session_window: config.recovery.window,
            outbox_events: config.hooks.outbox_events,
        }),
        Store::Sqlite => backend::sqlite::open(backend::sqlite::SqliteConfig {
            folder: config.data.clone(),
            synchronous: config.sqlite.synchronous,
            readers: config.sqlite.readers,
            hot_bytes: config.history.hot_bytes.bytes(),
            retention,
            idempotency: config.history.idempotency,
            session_window: config.recovery.window,
            outbox_events: config.hooks.outbox_events,
        })?,
        Store::Redis => {
            backend::redis::open(backend::redis::RedisConfig {
                url: config.redis.url.clone().unwrap_or_else(|| "".into()),
                tls: redis_tls(&config.redis),
                prefix: config.redis.prefix.clone(),
                retention,
                idempotency: config.history.idempotency,
                session_window: config.recovery.window,
                outbox_events: config.hooks.outbox_events,
                lease: config.presence.lease,
                grace: config.presence.grace,
            })
            .await?
        }
    })
}

fn redis_tls(settings: &RedisSettings) -> backend::redis::RedisTls {
    backend::redis::RedisTls {
        ca: settings.tls_ca.clone(),
        client: settings.tls_cert.clone().zip(settings.tls_key.clone()),
    }
}

/// The name of a node that has none configured, so that its connections can be told from another node's.
fn random_node_name() -> String {
    format!("node-{}", crate::model::Epoch::generate())
}
