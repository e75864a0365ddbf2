//! The Socket.IO transport: stock socket.io clients of Engine.IO 3 and 4, over polling, WebSocket and upgrade.
//!
//! Inbound: the [`endpoint`] checks a request and starts the transport; packets pass the [`inbound`] filter before socketioxide
//! sees them. [`connect`] has the connect middleware, which authorizes the identity and creates the connection's [`inbox`];
//! after socketioxide has replied to CONNECT, one [`worker`] a connection handles its events in order. Outbound: the hub
//! pushes to the connection's [`event_sink`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, routing::any};
use http::Request;
use socketioxide::{
    ParserConfig, SocketIoBuilder, TransportType, handler::ConnectHandler, service::SocketIoService,
};

mod acknowledgement;
mod adapter;
mod admin_ui;
mod authorize;
mod client_bundles;
mod connect;
mod credentials;
mod documents;
mod endpoint;
mod engine_session;
mod event_packet;
mod event_sink;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod handlers;
mod inbound;
mod inbox;
mod parking;
mod placeholders;
mod probe;
mod query;
mod raw_arguments;
mod relay;
mod rooms;
mod socket_end;
mod succession;
mod worker;

pub(crate) use adapter::PubSubDriver;
pub use adapter::{Adapter, Socket, SocketIo, SocketRef};
pub use handlers::{
    AckEmitter, AckSender, Acks, Data, DisconnectReason, Emitter, EventContext, EventHandler,
    EventRequest, FromEvent, HandlerError, HandlerFuture, HandlerReply, IntoReply,
    NamespaceBuilder, State, TryData,
};
pub(crate) use handlers::{Handlers, encode_ack, encode_event};
pub(crate) use placeholders::check_placeholders;
pub(crate) use relay::MAX_RELAYED_ATTACHMENTS;
pub use socketioxide;

use super::{
    AdmissionControl, SocketIoSettings, Transport, read_buffer::PARSER_BUFFER,
    wire::SHARED_NAMESPACE,
};
use crate::{
    events::{EventOwners, NamespaceOwners},
    http::{Routes, TlsAcceptor},
    hub::Hub,
    model::Namespace,
    pattern::Pattern,
};
use connect::{ConnectTarget, ConnectingSocket};
use endpoint::EngineEndpoint;
use handlers::{NamespaceHandlers, SharedStates};
use inbox::InboxLimits;
use parking::Parking;
use succession::Succession;

/// socketioxide's service. It is given every request and stream that the endpoint has accepted.
pub(super) type Engine = SocketIoService<engineioxide::service::NotFoundService, Adapter>;

/// Configuration of the transport.
pub(crate) struct SocketIoConfig<'a> {
    pub(crate) settings: &'a SocketIoSettings,
    pub(crate) body_timeout: Duration,
    pub(crate) owners: &'a EventOwners,
    pub(crate) handlers: Handlers,
    pub(crate) pubsub: PubSubDriver,
    /// Documents are served.
    pub(crate) documents: bool,
    /// Operators are served.
    pub(crate) operators: bool,
    /// There is an application in this process.
    pub(crate) has_application: bool,
    /// An application, in this process or on another node, may use socketioxide's rooms.
    pub(crate) uses_rooms: bool,
    /// The certificates that WebTransport is served with; `None` if it is not.
    pub(crate) webtransport: Option<TlsAcceptor>,
}

/// State shared by all Socket.IO connections.
struct SocketIoTransport {
    hub: Hub,
    admission: Arc<AdmissionControl>,
    nesting: usize,
    inbox_limits: InboxLimits,
    namespaces: HashMap<Namespace, ServedNamespace>,
    /// Events that clients may send again.
    idempotent: Vec<Pattern>,
    states: Arc<SharedStates>,
    handler_timeout: Duration,
    parking: Arc<Parking>,
    uses_rooms: bool,
}

/// What a namespace has of its own.
#[derive(Clone, Default)]
struct ServedNamespace {
    owners: Arc<NamespaceOwners>,
    handlers: Arc<NamespaceHandlers>,
    succession: Arc<Succession>,
}

impl ServedNamespace {
    /// Whether the application is told of beginnings or ends here.
    ///
    /// A back end that answers events is told of no beginning, but an event of a resumed session has to come behind those of its
    /// connection before.
    fn is_told(&self) -> bool {
        self.owners.has_hooks()
            || self.handlers.on_connect().is_some()
            || self.handlers.on_disconnect().is_some()
    }
}

impl SocketIoTransport {
    /// What a namespace has of its own.
    fn namespace(&self, namespace: &Namespace) -> ServedNamespace {
        self.namespaces.get(namespace).cloned().unwrap_or_default()
    }
}

/// Starts the transport: its routes, and socketioxide's handle for what an application emits itself.
pub(crate) async fn open(
    admission: &Arc<AdmissionControl>,
    config: SocketIoConfig<'_>,
) -> (Routes, SocketIo) {
    let hub = admission.hub();
    let limits = hub.limits();
    let adapter = config.pubsub.adapter();
    let (engine, io) = builder(config.settings).with_adapter(adapter).build_svc();
    let mut namespaces = HashMap::new();
    for namespace in &config.settings.namespaces {
        hub.follow_broadcasts(namespace).await;
        let served = ServedNamespace {
            owners: Arc::new(config.owners.of(namespace)),
            handlers: config.handlers.in_namespace(namespace),
            succession: Arc::default(),
        };
        namespaces.insert(namespace.clone(), served);
    }
    let transport = Arc::new(SocketIoTransport {
        hub: hub.clone(),
        admission: admission.clone(),
        nesting: limits.nesting,
        inbox_limits: InboxLimits {
            events: limits.inbox,
            bytes: limits.inbox_bytes.bytes(),
            payload: config.settings.max_payload.bytes(),
        },
        namespaces,
        idempotent: config.settings.idempotent.clone(),
        states: config.handlers.states().clone(),
        handler_timeout: config.settings.handler_timeout,
        parking: Parking::start(),
        uses_rooms: config.uses_rooms,
    });
    for namespace in config.settings.namespaces.iter() {
        serve_namespace(&io, namespace.clone(), transport.clone()).await;
    }
    let namespaces = config.settings.namespaces.iter().map(ToString::to_string);
    let mut namespaces: HashSet<_> = namespaces.collect();
    if config.documents {
        documents::serve(&io, transport.clone()).await;
        namespaces.insert(SHARED_NAMESPACE.to_owned());
    }
    // A namespace of that name is the application's.
    if config.operators && namespaces.insert(admin_ui::NAMESPACE.to_owned()) {
        admin_ui::serve(&io, transport).await;
    }
    let endpoint = Arc::new(EngineEndpoint {
        admission: admission.clone(),
        engine,
        sessions: Arc::default(),
        transports: config.settings.transports.clone(),
        path: config.settings.path.trim_end_matches('/').to_owned(),
        body_timeout: config.body_timeout,
        connect_timeout: config.settings.connect_timeout,
        upgrade_timeout: config.settings.upgrade_timeout,
        max_payload: config.settings.max_payload.bytes(),
        read_size: config.settings.read_buffer.bytes(),
        served_namespaces: Arc::new(namespaces),
        has_application: config.has_application,
        io: io.clone(),
        pubsub: config.pubsub,
        webtransport: config.webtransport,
    });
    let path = endpoint.path.clone();
    let handler = any(move |request: Request<Body>| endpoint.clone().handle(request));
    let with_slash = format!("{path}/");
    let routes = Router::new()
        .route(&path, handler.clone())
        .route(&with_slash, handler);
    let scripts = client_bundles::routes(&path, config.settings.client.as_deref());
    (Routes::new(routes, [path, with_slash]).merge(scripts), io)
}

/// Maximum number of binary attachments of one event. Their size is bounded by `max_payload`.
const MAX_ATTACHMENTS: usize = 64;

/// Every setting of socketioxide is set here, on purpose.
fn builder(settings: &SocketIoSettings) -> SocketIoBuilder {
    let payload = settings.max_payload.bytes();
    let parser = ParserConfig::common()
        .max_incoming_binary_buf_size(payload)
        .max_incoming_binaries(MAX_ATTACHMENTS)
        .packet_completion_timeout(settings.connect_timeout);
    let builder = socketioxide::SocketIo::builder()
        .req_path(settings.path.trim_end_matches('/').to_owned())
        .with_parser(parser)
        .ping_interval(settings.ping_interval)
        .ping_timeout(settings.ping_timeout)
        .upgrade_timeout(settings.upgrade_timeout)
        .connect_timeout(settings.connect_timeout)
        .max_buffer_size(settings.buffer)
        .max_payload(payload as u64)
        // `max_payload` applies to polling only; these apply to WebSockets.
        .ws_max_message_size(payload)
        .ws_max_frame_size(payload)
        .ws_read_buffer_size(PARSER_BUFFER);
    let has = |transport| settings.transports.contains(&transport);
    match (has(Transport::Polling), has(Transport::WebSocket)) {
        (true, false) => builder.transports([TransportType::Polling]),
        (false, true) => builder.transports([TransportType::Websocket]),
        _ => builder.transports([TransportType::Polling, TransportType::Websocket]),
    }
}

/// Registers the connect middleware and the connect handler of a namespace.
async fn serve_namespace(io: &SocketIo, namespace: Namespace, transport: Arc<SocketIoTransport>) {
    let in_middleware = transport.clone();
    let path = namespace.to_string();
    let target = ConnectTarget {
        namespace,
        document: None,
    };
    let middleware = async move |socket: SocketRef, connecting: ConnectingSocket| {
        in_middleware
            .handle_connect(&socket, connecting, target.clone())
            .await
    };
    let connected = async move |socket: SocketRef, io: SocketIo| {
        transport.run_connection(socket, io).await;
    };
    // The adapter subscribes to the other nodes' channels first.
    let served = io.ns(path, connected.with(middleware)).await;
    served.expect("the driver never fails, and no namespace has a #");
}

#[cfg(test)]
pub(super) mod testing;
