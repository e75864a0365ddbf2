//! What an operator sees in the Admin UI: turns the reports of all nodes into the events that the page understands.
//!
//! Pure: it is given reports, compares them with those before, and returns the events that tell the difference. While there are few
//! sockets the page is in its development mode, and is told of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    hub::{ClientReport, SocketReport, TappedEvent, Traffic},
    model::{ConnectionId, RoomName, Timestamp},
};

/// Up to how many sockets of all nodes each of them is shown.
pub(super) const MAX_LISTED_SOCKETS: usize = 500;

/// After there were more, how few there have to be: their number may go up and down around the limit.
const LISTED_AGAIN: usize = 450;

/// How long the sockets of a node are kept that does not report.
const KEPT_FOR: Duration = Duration::from_secs(6);

/// Sockets are disconnected for reasons that the reports do not have.
const UNKNOWN_REASON: &str = "unknown";

/// What the page can do.
const FEATURES: [&str; 8] = [
    "EMIT",
    "JOIN",
    "LEAVE",
    "DISCONNECT",
    "MJOIN",
    "MLEAVE",
    "MDISCONNECT",
    "AGGREGATED_EVENTS",
];

/// What makes it show each socket.
const DEVELOPMENT: &str = "ALL_EVENTS";

/// What an operator has been shown.
#[derive(Default)]
pub(super) struct OperatorView {
    /// Whether each socket is shown; `None` before the first reports.
    lists_sockets: Option<bool>,
    nodes: BTreeMap<String, NodeView>,
}

/// What has been shown of a node.
struct NodeView {
    reported_at: Timestamp,
    uptime: f64,
    traffic: Traffic,
    /// The number of the last event.
    last_event: u64,
    sockets: BTreeMap<ConnectionId, SocketReport>,
}

/// An event for the page: `["event", argument…]`.
type PageEvent = String;

impl OperatorView {
    /// The events to ask for; `None` if none are shown.
    pub(super) fn events_after(&self) -> Option<BTreeMap<String, u64>> {
        let nodes = self.nodes.iter();
        (self.lists_sockets != Some(false)).then(|| {
            nodes
                .map(|(node, view)| (node.clone(), view.last_event))
                .collect()
        })
    }

    /// The events that show the reports of all nodes that responded.
    pub(super) fn update(&mut self, reports: Vec<ClientReport>, now: Timestamp) -> Vec<PageEvent> {
        let mut events = Vec::new();
        let lists = self.can_list(&reports);
        let lists_anew = lists && self.lists_sockets != Some(true);
        if self.lists_sockets != Some(lists) {
            events.push(config(lists));
        }
        self.lists_sockets = Some(lists);
        let mut changes = Changes::default();
        for mut report in reports {
            let before = self.nodes.remove(&report.node);
            let sockets = report.sockets.take().filter(|_| lists).unwrap_or_default();
            let sockets: BTreeMap<_, _> = sockets.into_iter().map(|it| (it.id, it)).collect();
            let view = NodeView::of(&report, before.as_ref(), sockets, now);
            events.push(server_stats(&report, before.as_ref(), now));
            let (shown, none) = (before.map(|view| view.sockets), BTreeMap::new());
            changes.compare(shown.as_ref().unwrap_or(&none), &view.sockets, now);
            if lists {
                changes
                    .received
                    .extend(report.events.iter().map(event_received));
            }
            self.nodes.insert(report.node, view);
        }
        self.forget_silent_nodes(now, &mut changes);
        match (lists, lists_anew) {
            (true, true) => {
                let sockets = self.nodes.values().flat_map(|node| node.sockets.values());
                let sockets: Vec<_> = sockets.map(describe).collect();
                events.push(json!(["all_sockets", sockets]).to_string());
                events.extend(changes.received);
            }
            (true, false) => events.extend(changes.into_events()),
            (false, _) => {}
        }
        events
    }

    fn can_list(&self, reports: &[ClientReport]) -> bool {
        let count = |report: &ClientReport| report.namespaces.values().sum::<u64>();
        let sockets: u64 = reports.iter().map(count).sum();
        let limit = match self.lists_sockets {
            Some(false) => LISTED_AGAIN,
            _ => MAX_LISTED_SOCKETS,
        };
        sockets <= limit as u64 && reports.iter().all(|report| report.sockets.is_some())
    }

    fn forget_silent_nodes(&mut self, now: Timestamp, changes: &mut Changes) {
        self.nodes.retain(|_, view| {
            let stays = view.reported_at.plus(KEPT_FOR) > now;
            if !stays {
                changes.compare(&view.sockets, &BTreeMap::new(), now);
            }
            stays
        });
    }
}

impl NodeView {
    fn of(
        report: &ClientReport,
        before: Option<&Self>,
        sockets: BTreeMap<ConnectionId, SocketReport>,
        now: Timestamp,
    ) -> Self {
        let last = report.events.last().map(|event| event.number);
        Self {
            reported_at: now,
            uptime: report.uptime,
            traffic: report.traffic,
            last_event: last.unwrap_or_else(|| before.map_or(0, |view| view.last_event)),
            sockets,
        }
    }
}

/// What has changed about the sockets of all nodes.
#[derive(Default)]
struct Changes {
    gone: Vec<PageEvent>,
    come: Vec<PageEvent>,
    changed: Vec<PageEvent>,
    received: Vec<PageEvent>,
}

impl Changes {
    /// Adds the difference between what was shown of a node's sockets and what there is.
    fn compare(
        &mut self,
        before: &BTreeMap<ConnectionId, SocketReport>,
        after: &BTreeMap<ConnectionId, SocketReport>,
        now: Timestamp,
    ) {
        for (id, socket) in before {
            if !after.contains_key(id) {
                let gone = json!([
                    "socket_disconnected",
                    socket.namespace,
                    id,
                    UNKNOWN_REASON,
                    now.to_iso()
                ]);
                self.gone.push(gone.to_string());
            }
        }
        for (id, socket) in after {
            match before.get(id) {
                None => {
                    let at = socket.connected_at.to_iso();
                    let come = json!(["socket_connected", describe(socket), at]);
                    self.come.push(come.to_string());
                }
                Some(shown) => self.compare_socket(shown, socket, now),
            }
        }
    }

    fn compare_socket(&mut self, before: &SocketReport, after: &SocketReport, now: Timestamp) {
        let rooms = |socket: &SocketReport| socket.rooms.iter().cloned().collect::<BTreeSet<_>>();
        let (was_in, is_in) = (rooms(before), rooms(after));
        let moved = |event: &str, room: &RoomName| {
            json!([event, after.namespace, room, after.id, now.to_iso()]).to_string()
        };
        let joined = is_in
            .difference(&was_in)
            .map(|room| moved("room_joined", room));
        let left = was_in
            .difference(&is_in)
            .map(|room| moved("room_left", room));
        self.changed.extend(joined.chain(left));
        if before.transport != after.transport || before.data.get() != after.data.get() {
            let update = json!({
                "id": after.id,
                "nsp": after.namespace,
                "transport": after.transport,
                "data": after.data,
            });
            self.changed
                .push(json!(["socket_updated", update]).to_string());
        }
    }

    /// The events; of a socket that has moved to another node, its end comes first.
    fn into_events(self) -> impl Iterator<Item = PageEvent> {
        let Self {
            gone,
            come,
            changed,
            received,
        } = self;
        gone.into_iter().chain(come).chain(changed).chain(received)
    }
}

fn config(lists_sockets: bool) -> PageEvent {
    let development = lists_sockets.then_some(DEVELOPMENT);
    let features: Vec<_> = FEATURES.into_iter().chain(development).collect();
    json!(["config", { "supportedFeatures": features }]).to_string()
}

/// What the page shows of a server, with what its clients have done since the last report.
fn server_stats(report: &ClientReport, before: Option<&NodeView>, now: Timestamp) -> PageEvent {
    let namespaces: Vec<_> = report
        .namespaces
        .iter()
        .map(|(name, count)| json!({ "name": name, "socketsCount": count }))
        .collect();
    let stats = json!({
        "serverId": report.node,
        "hostname": report.host.as_deref().unwrap_or_default(),
        "pid": report.pid,
        "uptime": report.uptime,
        "clientsCount": report.clients,
        "pollingClientsCount": report.polling,
        "aggregatedEvents": aggregated(report, before, now),
        "namespaces": namespaces,
    });
    json!(["server_stats", stats]).to_string()
}

fn aggregated(report: &ClientReport, before: Option<&NodeView>, now: Timestamp) -> Vec<Value> {
    // Of a process that has been started since, everything is new.
    let since = before.filter(|view| view.uptime <= report.uptime);
    let (new, old) = (
        report.traffic,
        match (since, before) {
            (Some(view), _) => view.traffic,
            (None, Some(_)) => Traffic::default(),
            // What was before the operator came is not of this moment.
            (None, None) => report.traffic,
        },
    );
    let counts = [
        ("rawConnection", new.opened, old.opened),
        ("rawDisconnection", new.closed, old.closed),
        ("bytesIn", new.received_bytes, old.received_bytes),
        ("bytesOut", new.sent_bytes, old.sent_bytes),
    ];
    let timestamp = now.0 - now.0 % 1000;
    let counts = counts
        .into_iter()
        .map(|(kind, new, old)| (kind, new.saturating_sub(old)));
    counts
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| json!({ "timestamp": timestamp, "type": kind, "count": count }))
        .collect()
}

fn event_received(event: &TappedEvent) -> PageEvent {
    json!([
        "event_received",
        event.namespace,
        event.socket,
        event.event,
        event.ts.to_iso()
    ])
    .to_string()
}

/// A socket as the page shows it. To its own room, of which it is the only member, it belongs like a socket of Node's.
fn describe(socket: &SocketReport) -> Value {
    let mut rooms = vec![json!(socket.id)];
    rooms.extend(socket.rooms.iter().map(|room| json!(room)));
    json!({
        "id": socket.id,
        "clientId": socket.client,
        "transport": socket.transport,
        "nsp": socket.namespace,
        "data": socket.data,
        "handshake": {
            "address": socket.address.as_deref().unwrap_or_default(),
            "headers": {},
            "query": {},
            "issued": socket.connected_at.0,
            "secure": false,
            "time": socket.connected_at.to_iso(),
            "url": "",
            "xdomain": false,
        },
        "rooms": rooms,
    })
}

#[cfg(test)]
mod tests;
