//! The Socket.IO door: stock socket.io clients of Engine.IO 3 and 4, by polling, WebSocket and upgrade.
//!
//! The way in: [`gate`] checks a handshake and begins the transport; the connect middleware here checks the identity and
//! registers the connection's [`inbox`]; after socketioxide has answered CONNECT, one [`worker`] a connection handles what
//! comes in, in order. The way out: the hub pushes to the connection's [`outlet`].

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use axum::{Router, body::Body, routing::any};
use http::Request;
use socketioxide::{
    ParserConfig, SocketIoBuilder, TransportType,
    handler::{ConnectHandler, DisconnectHandler, FromConnectParts},
    service::SocketIoService,
    socket::DisconnectReason,
};
use socketioxide_core::Value;
use tokio_util::sync::CancellationToken;

mod acknowledgement;
mod arrival;
mod bundle;
mod cluster;
mod credentials;
mod custom;
mod gate;
mod inbox;
mod intake;
mod link;
mod outlet;
mod packet;
mod probe;
mod query;
mod relay;
mod rooms;
mod worker;

pub(crate) use cluster::BetweenNodes;
pub use cluster::{Adapter, Socket, SocketIo, SocketRef};
pub(crate) use custom::CustomEvents;
pub use custom::EventContext;

use super::{Doorway, SocketIoSettings, Transport, greeting::session, lock, wire::ConnectReply};
use crate::{
    error::{Code, Error, Result},
    hub::{Hub, PreparedConnection},
    model::Namespace,
};
use arrival::Refusal;
use credentials::Credentials;
use gate::Gate;
use inbox::{Bounds, Waiting, inbox};
use intake::Decided;
pub(super) use link::Link;
use outlet::SocketOutlet;
use rooms::SocketRooms;
use worker::Worker;

/// socketioxide's service, which is given every request and stream that has passed the gate.
pub(super) type Engine = SocketIoService<engineioxide::service::NotFoundService, Adapter>;

/// What the door needs to know.
pub(crate) struct DoorConfig<'a> {
    pub(crate) settings: &'a SocketIoSettings,
    pub(crate) body_timeout: Duration,
    pub(crate) custom: CustomEvents,
    pub(crate) others: BetweenNodes,
}

/// What every connection of the door shares.
struct Door {
    hub: Hub,
    doorway: Arc<Doorway>,
    nesting: usize,
    inbox: Bounds,
    relay: HashSet<String>,
    custom: CustomEvents,
    handler_timeout: Duration,
}

/// The door: its routes, and socketioxide's handle for whatever an application emits itself.
pub(crate) async fn open(doorway: &Arc<Doorway>, config: DoorConfig<'_>) -> (Router, SocketIo) {
    let hub = doorway.hub();
    let limits = hub.limits();
    let adapter = config.others.adapter();
    let (engine, io) = builder(config.settings).with_adapter(adapter).build_svc();
    let door = Arc::new(Door {
        hub: hub.clone(),
        doorway: doorway.clone(),
        nesting: limits.nesting,
        inbox: Bounds {
            events: limits.inbox,
            bytes: limits.inbox_bytes.bytes(),
            payload: config.settings.max_payload.bytes(),
        },
        relay: config.settings.relay.iter().cloned().collect(),
        custom: config.custom,
        handler_timeout: config.settings.handler_timeout,
    });
    for namespace in config.settings.namespaces.iter() {
        serve_namespace(&io, namespace.clone(), door.clone()).await;
    }
    let gate = Arc::new(Gate {
        doorway: doorway.clone(),
        engine,
        links: Arc::default(),
        transports: config.settings.transports.clone(),
        path: config.settings.path.trim_end_matches('/').to_owned(),
        body_timeout: config.body_timeout,
        connect_timeout: config.settings.connect_timeout,
        upgrade_timeout: config.settings.upgrade_timeout,
        max_payload: config.settings.max_payload.bytes(),
        served: Arc::new(
            config
                .settings
                .namespaces
                .iter()
                .map(ToString::to_string)
                .collect(),
        ),
        others: config.others,
    });
    let path = gate.path.clone();
    let answer = any(move |request: Request<Body>| gate.clone().answer(request));
    let routes = Router::new()
        .route(&path, answer.clone())
        .route(&format!("{path}/"), answer)
        .merge(bundle::routes(&path, config.settings.client.as_deref()));
    (routes, io)
}

/// Binary attachments of one event; what they weigh is bounded by the payload.
const ATTACHMENTS: usize = 64;

/// Every setting of socketioxide, on purpose.
fn builder(settings: &SocketIoSettings) -> SocketIoBuilder {
    let payload = settings.max_payload.bytes();
    let parser = ParserConfig::common()
        .max_incoming_binary_buf_size(payload)
        .max_incoming_binaries(ATTACHMENTS)
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
        // Polling alone is bound by `max_payload`; these bind WebSockets.
        .ws_max_message_size(payload)
        .ws_max_frame_size(payload)
        .ws_read_buffer_size(settings.read_buffer.bytes());
    let has = |transport| settings.transports.contains(&transport);
    match (has(Transport::Polling), has(Transport::WebSocket)) {
        (true, false) => builder.transports([TransportType::Polling]),
        (false, true) => builder.transports([TransportType::Websocket]),
        _ => builder.transports([TransportType::Polling, TransportType::Websocket]),
    }
}

async fn serve_namespace(io: &SocketIo, namespace: Namespace, door: Arc<Door>) {
    let entering = door.clone();
    let path = namespace.to_string();
    let middleware = async move |socket: SocketRef, here: Here| {
        entering.enter(&socket, here, namespace.clone()).await
    };
    let connected = async move |socket: SocketRef| door.connected(socket).await;
    // Its adapter listens for other nodes first.
    let served = io.ns(path, connected.with(middleware)).await;
    served.expect("the driver never fails, and no namespace has a #");
}

/// What the middleware leaves for the moment after CONNECT. It holds nothing that holds the socket: if that moment
/// never comes, all of it goes with the socket.
struct Arrival {
    arrived: PreparedConnection,
    waiting: Waiting,
    rooms: Arc<SocketRooms>,
    ended: CancellationToken,
}

type ArrivalSlot = Arc<Mutex<Option<Arrival>>>;

/// Tells a connection's task that its socket has ended, and lets go of the socket at once.
///
/// An async closure would be spawned and the socket let go of after it. A CONNECT that comes right behind the disconnect
/// would then be taken for a repeated one, and never be answered.
struct End(Arc<SocketRooms>, CancellationToken);

/// Names this handler to socketioxide, which tells handlers apart by their arguments.
enum AtOnce {}

impl DisconnectHandler<Adapter, AtOnce> for End {
    fn call_with_defer(
        &self,
        socket: Arc<Socket>,
        reason: DisconnectReason,
        let_go: fn(Arc<Socket>),
    ) {
        if let Some(link) = socket.req_parts().extensions.get::<Arc<Link>>() {
            link.intake().namespaces().closed(&socket);
            if reason == DisconnectReason::HeartbeatTimeout {
                link.count_end("ping_timeout");
            }
        }
        // In this order: what is to be kept of its rooms is read before it is taken out of all of them.
        self.0.end(&socket);
        self.1.cancel();
        let_go(socket);
    }
}

impl Door {
    /// Takes a CONNECT up and decides about it, once more if its client asks once more meanwhile.
    async fn enter(
        &self,
        socket: &SocketRef,
        here: Here,
        namespace: Namespace,
    ) -> Result<(), Refusal> {
        let link = socket.req_parts().extensions.get::<Arc<Link>>();
        let link = link.ok_or_else(|| Refusal::of(&Error::new(Code::Internal, "no session")))?;
        let namespaces = link.intake().namespaces();
        // None if it was given to socketioxide twice: its client has been answered, and has left.
        let says = namespaces.taken(namespace.as_str());
        let mut says = says.ok_or_else(Refusal::of_nobody)?;
        if let Some(rates) = link.rates_before(&namespace) {
            self.hub.pace_connect(&rates).await;
        }
        loop {
            let says_who = Credentials::read(&says);
            let admitted = self
                .admit(socket, here.clone(), namespace.clone(), says_who)
                .await;
            let entering = admitted.is_ok().then(|| here.0.clone());
            match namespaces.decided(namespace.as_str(), entering) {
                Decided::Over => return admitted,
                Decided::Again(again) => {
                    // It holds a place, and the session that its client most likely names again.
                    drop(socket.extensions.remove::<ArrivalSlot>());
                    says = again;
                }
                Decided::Left => {
                    drop(socket.extensions.remove::<ArrivalSlot>());
                    return Err(Refusal::of_nobody());
                }
            }
        }
    }

    /// Decides about a CONNECT, and registers for what comes after it: registered later, a client's first events
    /// would find nobody.
    async fn admit(
        &self,
        socket: &SocketRef,
        here: Here,
        namespace: Namespace,
        credentials: Credentials,
    ) -> Result<(), Refusal> {
        let link = socket.req_parts().extensions.get::<Arc<Link>>();
        let link = link.ok_or_else(|| Refusal::of(&Error::new(Code::Internal, "no session")))?;
        let arrived = self.arrive(socket, link, &namespace, &credentials).await?;
        let reply = ConnectReply {
            connection: arrived.connection(),
            pid: arrived.pid(),
            given: arrived.given(),
        };
        link.promise(&namespace, reply);
        link.carries(here.0);
        let metrics = self.hub.metrics().clone();
        let outbox = link.outbox().clone();
        let charge = link.account().charge(inbox::FREE);
        let (inbox, waiting) = inbox(self.inbox, namespace, (outbox, charge), metrics);
        let (rooms, ended) = (Arc::<SocketRooms>::default(), CancellationToken::new());
        socket.on_fallback(inbox);
        socket.on_disconnect(End(rooms.clone(), ended.clone()));
        let arrival: ArrivalSlot = Arc::new(Mutex::new(Some(Arrival {
            arrived,
            waiting,
            rooms,
            ended,
        })));
        socket.extensions.insert(arrival);
        Ok(())
    }

    /// CONNECT has been answered: tells the client its session and starts its worker.
    async fn connected(self: Arc<Self>, socket: SocketRef) {
        let arrival = socket
            .extensions
            .remove::<ArrivalSlot>()
            .and_then(|slot| lock(&slot).take());
        let link = socket.req_parts().extensions.get::<Arc<Link>>().cloned();
        let (Some(arrival), Some(link)) = (arrival, link) else {
            tracing::error!("a socket connected that had not passed the door");
            let _ = socket.disconnect();
            return;
        };
        link.connected();
        link.outbox().fence();
        arrival
            .rooms
            .join_own(&socket, arrival.arrived.connection());
        let outlet = Arc::new(SocketOutlet::new(
            arrival.arrived.namespace().clone(),
            (socket.clone(), arrival.rooms.clone()),
            link,
        ));
        // The session comes before anything that the rooms bring.
        let connection = self
            .hub
            .connect(arrival.arrived, outlet.clone(), |connection| {
                connection.push(&session(connection, &self.hub, self.doorway.node(), None));
            })
            .await;
        // The rooms of a session that goes on are mirrored as joining them would have done.
        for room in connection.rooms() {
            if !room.is_personal() {
                outlet.entered(&room);
            }
        }
        let Arrival { waiting, ended, .. } = arrival;
        Worker::new(self, connection, (socket, outlet), waiting, ended)
            .run()
            .await;
    }
}

/// The socket that connects, held by nothing here.
#[derive(Clone)]
pub(super) struct Here(pub(super) Weak<Socket>);

impl FromConnectParts<Adapter> for Here {
    type Error = std::convert::Infallible;

    fn from_connect_parts(socket: &Arc<Socket>, _: &Option<Value>) -> Result<Self, Self::Error> {
        Ok(Self(Arc::downgrade(socket)))
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Sessions for tests of their way out.

    use std::{net::Ipv4Addr, sync::Arc};

    use super::{Adapter, BetweenNodes, Engine, SocketIo, intake, link::Link};
    use crate::{
        limits::{Account, Admission, Holder, Pool, Rate},
        transport::{packet_rate::PacketRate, wire::testing::BOUNDS},
    };

    /// A session of an engine that may or may not know it.
    pub(in crate::transport) fn session() -> (Arc<Link>, Engine, SocketIo) {
        let adapter = BetweenNodes::over(None).adapter();
        let builder = socketioxide::SocketIo::builder().with_adapter::<Adapter>(adapter);
        let (engine, io) = builder.build_svc();
        let address = Ipv4Addr::LOCALHOST.into();
        let admitted = Admission::new(1, 1, 1)
            .admit(address, Holder::address(address))
            .unwrap();
        let admitted = (admitted, address);
        let out = (BOUNDS, Arc::default());
        let intake = intake::IntakeConfig {
            protocol: intake::Protocol::V4,
            served: Arc::default(),
            most: 1 << 20,
            rate: PacketRate::new(Rate::new(0, 0), Arc::default()),
            account: Account::new(Pool::new(0), Holder::Backend),
        };
        let link = Link::new(engine.clone(), None, admitted, out, &intake, Arc::default());
        (link, engine, io)
    }
}
