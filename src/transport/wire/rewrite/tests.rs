//! Replies to CONNECT, and offsets behind events.

use super::*;

fn reply(pid: Option<Pid>) -> ConnectReply {
    ConnectReply {
        connection: ConnectionId::generate(),
        pid,
        delivered: Offset(3),
    }
}

fn given() -> DeliveredOffsets {
    let mut given = DeliveredOffsets::default();
    let pid = Some(Pid::generate());
    given.connected("40{\"sid\":\"x\"}", "/", &reply(pid));
    given.connected("40/chat,{\"sid\":\"x\"}", "/chat", &reply(pid));
    given.note("/chat", Offset(9));
    given.note("/nowhere", Offset(10));
    given
}

#[test]
fn the_reply_to_connect_has_the_public_id_and_the_pid_and_not_the_engine_session_id() {
    let pid = Pid::generate();
    for (text, head) in [
        ("40{\"sid\":\"x\"}", "40"),
        ("40/chat,{\"sid\":\"x\"}", "40/chat,"),
    ] {
        let with = reply(Some(pid));
        let (id, secret) = (with.connection, pid.reveal());
        assert_eq!(
            DeliveredOffsets::default()
                .connected(text, "/", &with)
                .unwrap(),
            format!("{head}{{\"sid\":\"{id}\",\"pid\":\"{secret}\"}}")
        );
        let without = reply(None);
        let id = without.connection;
        assert_eq!(
            DeliveredOffsets::default()
                .connected(text, "/", &without)
                .unwrap(),
            format!("{head}{{\"sid\":\"{id}\"}}")
        );
    }
}

#[test]
fn an_event_that_ends_in_a_string_gets_the_offset_of_its_namespace() {
    let given = given();
    for (event, with) in [
        ("42[\"news\",\"out\"]", "42[\"news\",\"out\",\"3~\"]"),
        (
            "42/chat,[\"news\",1,\"\"]",
            "42/chat,[\"news\",1,\"\",\"9~\"]",
        ),
        ("42[\"tick\"]", "42[\"tick\",\"3~\"]"),
        ("42[\"a\",\"\\\"\" ]", "42[\"a\",\"\\\"\" ,\"3~\"]"),
        ("42[\"a\",\"12~\"]", "42[\"a\",\"12~\",\"3~\"]"),
        (
            "451-/chat,[\"a\",{\"_placeholder\":true,\"num\":0},\"b\"]",
            "451-/chat,[\"a\",{\"_placeholder\":true,\"num\":0},\"b\",\"9~\"]",
        ),
    ] {
        assert_eq!(
            given.append_to_event(event).as_deref(),
            Some(with),
            "{event}"
        );
    }
}

#[test]
fn any_other_packet_passes_unchanged() {
    let given = given();
    for packet in [
        "42[\"a\",[\"b\"]]",
        "42[\"a\",{\"b\":\"c\"}]",
        "42[\"a\",7]",
        "42[7]",
        "4217[\"a\",\"b\"]",
        "451-12[\"a\",{\"_placeholder\":true,\"num\":0},\"b\"]",
        "42/other,[\"a\",\"b\"]",
        "43[\"b\"]",
        "437[\"b\"]",
        "461-7[\"b\"]",
        "40{\"sid\":\"x\"}",
        "44[\"b\"]",
        "2",
        "",
        "]",
        "\"]",
        "4ä\"]",
    ] {
        assert_eq!(given.append_to_event(packet), None, "{packet}");
    }
}

#[test]
fn a_session_that_cannot_be_resumed_gets_no_offsets() {
    let mut given = given();
    given.connected("40{\"sid\":\"x\"}", "/", &reply(None));
    assert_eq!(given.append_to_event("42[\"a\",\"b\"]"), None);
    assert!(given.append_to_event("42/chat,[\"a\",\"b\"]").is_some());
}
