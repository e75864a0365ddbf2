use std::slice;

use serde_json::{from_str, value::to_raw_value};

use super::*;
use crate::model::Namespace;

const NOW: Timestamp = Timestamp(1_711_000_000_500);

fn at(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn socket(rooms: &[&str]) -> SocketReport {
    SocketReport {
        id: ConnectionId::generate(),
        client: "0123456789ab".to_owned(),
        namespace: Namespace::root(),
        transport: "websocket".to_owned(),
        address: None,
        connected_at: NOW,
        rooms: rooms
            .iter()
            .map(|it| RoomName::parse(it).expect("a room"))
            .collect(),
        data: to_raw_value(&json!({ "user": "alice" })).expect("JSON"),
    }
}

/// The report of a node whose clients have `bytes` sent, `uptime` seconds after its start.
fn report(node: &str, sockets: &[SocketReport], (bytes, uptime): (u64, f64)) -> ClientReport {
    ClientReport {
        node: node.to_owned(),
        host: None,
        pid: 7,
        uptime,
        clients: sockets.len() as u64,
        polling: 0,
        namespaces: BTreeMap::from([(Namespace::root(), sockets.len() as u64)]),
        traffic: Traffic {
            received_bytes: bytes,
            ..Traffic::default()
        },
        sockets: Some(sockets.to_vec()),
        events: Vec::new(),
    }
}

/// The events of an update but for `server_stats`, by name and arguments.
fn changes(view: &mut OperatorView, reports: Vec<ClientReport>, now: Timestamp) -> Vec<Vec<Value>> {
    let events = view.update(reports, now).into_iter();
    let events = events.map(|event| from_str::<Vec<Value>>(&event).expect("an array"));
    events.filter(|event| event[0] != "server_stats").collect()
}

fn names(events: &[Vec<Value>]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event[0].as_str())
        .collect()
}

fn bytes_in(view: &mut OperatorView, report: ClientReport) -> u64 {
    let events = view.update(vec![report], NOW);
    let stats = events.iter().find(|event| event.contains("server_stats"));
    let stats: Value = from_str(stats.expect("statistics")).expect("JSON");
    let counts = stats[1]["aggregatedEvents"].as_array().expect("a list");
    counts
        .iter()
        .find(|it| it["type"] == "bytesIn")
        .map_or(0, |it| it["count"].as_u64().unwrap_or(0))
}

#[test]
fn first_all_sockets_are_shown_and_then_what_changes() {
    let mut view = OperatorView::default();
    let (alice, bob) = (socket(&["a", "b"]), socket(&[]));
    let first = changes(
        &mut view,
        vec![report("n", slice::from_ref(&alice), (0, 1.0))],
        NOW,
    );
    assert_eq!(names(&first), ["config", "all_sockets"]);
    assert_eq!(first[1][1][0]["rooms"], json!([alice.id, "a", "b"]));
    let same = changes(
        &mut view,
        vec![report("n", slice::from_ref(&alice), (0, 2.0))],
        at(1),
    );
    assert!(same.is_empty(), "{same:?}");

    let mut moved = alice.clone();
    moved.rooms = socket(&["b", "c"]).rooms;
    moved.transport = "polling".to_owned();
    let next = changes(
        &mut view,
        vec![report("n", &[moved, bob.clone()], (0, 3.0))],
        at(2),
    );
    let joins = |events: &[Vec<Value>]| {
        events
            .iter()
            .map(|it| it[..4.min(it.len())].to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&next),
        [
            "socket_connected",
            "room_joined",
            "room_left",
            "socket_updated"
        ]
    );
    assert_eq!(
        joins(&next)[1],
        [
            json!("room_joined"),
            json!("/"),
            json!("c"),
            json!(alice.id)
        ]
    );
    assert_eq!(
        joins(&next)[2],
        [json!("room_left"), json!("/"), json!("a"), json!(alice.id)]
    );
    let last = changes(&mut view, vec![report("n", &[bob], (0, 4.0))], at(3));
    assert_eq!(names(&last), ["socket_disconnected"]);
    assert_eq!(last[0][2], json!(alice.id));
}

#[test]
fn a_socket_that_moves_to_another_node_ends_before_it_comes() {
    let mut view = OperatorView::default();
    let alice = socket(&[]);
    let before = vec![
        report("a", &[], (0, 1.0)),
        report("b", slice::from_ref(&alice), (0, 1.0)),
    ];
    changes(&mut view, before, NOW);
    let after = vec![report("a", &[alice], (0, 2.0)), report("b", &[], (0, 2.0))];
    assert_eq!(
        names(&changes(&mut view, after, at(1))),
        ["socket_disconnected", "socket_connected"]
    );
}

#[test]
fn the_sockets_of_a_node_that_is_silent_stay_for_a_while() {
    let mut view = OperatorView::default();
    let (here, there) = (
        report("a", &[], (0, 1.0)),
        report("b", &[socket(&[])], (0, 1.0)),
    );
    changes(&mut view, vec![here.clone(), there], NOW);
    assert!(changes(&mut view, vec![here.clone()], at(5)).is_empty());
    assert_eq!(
        names(&changes(&mut view, vec![here], at(6))),
        ["socket_disconnected"]
    );
}

#[test]
fn counts_are_of_the_time_since_the_last_report_and_of_a_restarted_node_since_its_start() {
    let mut view = OperatorView::default();
    let counted = [(100, 10.0), (150, 11.0), (150, 12.0), (30, 0.5), (40, 1.5)]
        .map(|traffic| bytes_in(&mut view, report("n", &[], traffic)));
    assert_eq!(counted, [0, 50, 0, 30, 10]);
}

#[test]
fn sockets_are_listed_until_there_are_too_many_and_again_when_there_are_clearly_fewer() {
    let mut view = OperatorView::default();
    let mut lists = |count: u64| {
        let mut report = report("n", &[], (0, 1.0));
        report.namespaces = BTreeMap::from([(Namespace::root(), count)]);
        names(&changes(&mut view, vec![report], NOW)).join(" ")
    };
    assert_eq!(lists(500), "config all_sockets");
    assert_eq!(lists(501), "config");
    assert_eq!(lists(451), "");
    assert_eq!(lists(450), "config all_sockets");
    assert_eq!(lists(500), "");
    assert_eq!(
        view.events_after(),
        Some(BTreeMap::from([("n".to_owned(), 0)]))
    );
}

#[test]
fn events_are_asked_for_behind_the_last_that_was_shown() {
    let mut view = OperatorView::default();
    let mut with_events = report("n", &[], (0, 1.0));
    with_events.events = vec![TappedEvent {
        number: 7,
        namespace: Namespace::root(),
        socket: ConnectionId::generate(),
        ts: NOW,
        event: to_raw_value(&["draw"]).expect("JSON"),
    }];
    let shown = changes(&mut view, vec![with_events], NOW);
    assert_eq!(names(&shown), ["config", "all_sockets", "event_received"]);
    assert_eq!(
        shown[2][3..],
        [json!(["draw"]), json!("2024-03-21T05:46:40.500Z")]
    );
    changes(&mut view, vec![report("n", &[], (0, 2.0))], at(1));
    assert_eq!(
        view.events_after(),
        Some(BTreeMap::from([("n".to_owned(), 7)]))
    );
}
