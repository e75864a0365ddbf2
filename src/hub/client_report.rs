//! What operators see of all clients while they look: how many each node has and what these send, each socket with its rooms, and
//! the events that clients sent lately.
//!
//! Everything is computed when it is asked for. Events are kept only where somebody has just asked for them, so nothing is spent
//! while nobody looks.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use tokio::task::spawn_blocking;

mod event_tap;
pub(in crate::hub) mod report;

pub(in crate::hub) use event_tap::EventTap;
pub(crate) use event_tap::TappedEvent;
pub(crate) use report::{ClientReport, ClientReportRequest, SocketReport, Traffic};

use super::{
    Connection, Hub,
    cluster::{client::REQUEST_TIMEOUT, request::ClusterRequest},
};
use crate::{
    model::{Namespace, Timestamp},
    retry::log_rarely,
    telemetry::{Gauge, Metrics},
};

/// Rooms of a socket that are named.
const MAX_ROOMS: usize = 100;

/// Bytes of what an application keeps with a connection, if it is shown.
const MAX_DATA: usize = 4 << 10;

/// What makes reports of this node.
#[derive(Default)]
pub(in crate::hub) struct ClientReporter {
    tap: EventTap,
    /// Hides addresses in memory.
    client_ids: RandomState,
}

impl Hub {
    /// Keeps an event that a client has sent, if an operator looks. `text` is the array of its name and arguments.
    pub(crate) fn tap_event(&self, connection: &Connection, text: &str) {
        let tap = &self.client_reporter().tap;
        if tap.is_open() {
            tap.push(connection.namespace(), connection.id(), text);
        }
    }

    /// The clients of all nodes, this one first. Nodes that do not respond in time are left out.
    pub(crate) async fn client_reports(&self, request: &ClientReportRequest) -> Vec<ClientReport> {
        let asked = ClusterRequest::Clients(request.clone());
        let remote = self
            .cluster()
            .request::<ClientReport>(&asked, REQUEST_TIMEOUT);
        let (local, remote) = tokio::join!(self.local_clients(request), remote);
        let remote = remote.unwrap_or_else(|error| {
            log_rarely!(warn, %error, "the clients of other nodes cannot be read");
            Vec::new()
        });
        local.into_iter().chain(remote).collect()
    }

    /// The clients of this node; `None` if the server is stopping.
    pub(in crate::hub) async fn local_clients(
        &self,
        request: &ClientReportRequest,
    ) -> Option<ClientReport> {
        let (hub, request) = (self.clone(), request.clone());
        // Of many connections that takes a while.
        spawn_blocking(move || hub.report_clients(&request))
            .await
            .ok()
    }

    fn report_clients(&self, request: &ClientReportRequest) -> ClientReport {
        let (info, metrics) = (self.node_info(), self.metrics());
        let connections = self.connections();
        let mut namespaces = BTreeMap::<Namespace, u64>::new();
        let mut polling = HashSet::new();
        for connection in &connections {
            match namespaces.get_mut(connection.namespace()) {
                Some(count) => *count += 1,
                None => drop(namespaces.insert(connection.namespace().clone(), 1)),
            }
            if connection.sink().polls() {
                polling.insert(connection.sink().client().queue);
            }
        }
        let open = [
            &metrics.sessions,
            &metrics.websockets,
            &metrics.event_streams,
        ];
        let tap = &self.client_reporter().tap;
        let events = request.events_after.as_ref().map(|after| {
            let after = after.get(&info.id).copied();
            tap.read(after)
        });
        let uptime = Timestamp::now().0.saturating_sub(info.started_at.0);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 milliseconds")]
        let uptime = uptime as f64 / 1000.0;
        ClientReport {
            node: info.id.clone(),
            host: info.host.clone(),
            pid: std::process::id(),
            uptime,
            clients: open.into_iter().map(count).sum(),
            polling: polling.len() as u64,
            namespaces,
            traffic: traffic(metrics),
            sockets: (connections.len() <= request.max_sockets).then(|| {
                connections
                    .iter()
                    .map(|it| self.report_socket(it))
                    .collect()
            }),
            events: events.unwrap_or_default(),
        }
    }

    fn report_socket(&self, connection: &Arc<Connection>) -> SocketReport {
        let client = connection.sink().client();
        let mut rooms = connection.rooms();
        rooms.sort_unstable();
        rooms.truncate(MAX_ROOMS);
        let id = self.client_reporter().client_ids.hash_one(client.queue);
        let transport = match (client.transport, connection.sink().polls()) {
            ("socketio", true) => "polling",
            ("socketio", false) => "websocket",
            (transport, _) => transport,
        };
        SocketReport {
            id: connection.id(),
            client: format!("{:012x}", id >> 16),
            namespace: connection.namespace().clone(),
            transport: transport.to_owned(),
            address: client.address.map(|address| address.to_string()),
            connected_at: connection.connected_at(),
            rooms,
            data: connection.shown_data(MAX_DATA),
        }
    }
}

fn traffic(metrics: &Metrics) -> Traffic {
    let opened = metrics.connections_opened.get();
    Traffic {
        opened,
        closed: opened.saturating_sub(count(&metrics.connections)),
        received_bytes: metrics.received_bytes.get(),
        sent_bytes: metrics.sent_bytes.get(),
    }
}

fn count(gauge: &Gauge) -> u64 {
    u64::try_from(gauge.get()).unwrap_or(0)
}
