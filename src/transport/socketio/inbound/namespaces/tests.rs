//! Connects and disconnects of a session, in every order.

use super::*;

fn namespaces() -> Namespaces {
    let served = ["/", "/chat"].map(ToOwned::to_owned);
    Namespaces::new(Arc::new(served.into()), EngineProtocol::V4, true)
}

#[test]
fn a_connect_sent_while_another_is_decided_is_decided_next() {
    let namespaces = namespaces();
    assert_eq!(
        namespaces.connect("/chat", "first"),
        ConnectStep::PassAndWait
    );
    assert_eq!(namespaces.take_request("/chat").as_deref(), Some("first"));
    assert_eq!(namespaces.connect("/chat", "second"), ConnectStep::Stored);
    assert_eq!(namespaces.connect("/chat", "third"), ConnectStep::Stored);
    let ConnectDecision::Retry(auth) = namespaces.finish_connect("/chat", Some(Weak::new())) else {
        panic!("another CONNECT was sent");
    };
    assert_eq!(auth, "third");
    assert!(matches!(
        namespaces.finish_connect("/chat", None),
        ConnectDecision::Final
    ));
    assert_eq!(
        namespaces.connect("/chat", "fourth"),
        ConnectStep::PassAndWait
    );
}

#[test]
fn packets_wait_while_a_connect_is_decided() {
    let namespaces = namespaces();
    namespaces.connect("/chat", "first");
    assert_eq!(namespaces.status("/chat"), NamespaceStatus::Pending);
    namespaces.take_request("/chat");
    assert_eq!(namespaces.status("/chat"), NamespaceStatus::Pending);
    // A refused client is not connected.
    assert!(matches!(
        namespaces.finish_connect("/chat", None),
        ConnectDecision::Final
    ));
    assert_eq!(namespaces.status("/chat"), NamespaceStatus::NotConnected);
    assert_eq!(
        namespaces.disconnect("/chat"),
        NamespaceStatus::NotConnected
    );
}

#[test]
fn a_client_that_disconnects_while_its_connect_is_decided_does_not_block_later_packets() {
    let namespaces = namespaces();
    namespaces.connect("/chat", "first");
    namespaces.take_request("/chat");
    assert_eq!(namespaces.disconnect("/chat"), NamespaceStatus::Leaving);
    assert_eq!(namespaces.status("/chat"), NamespaceStatus::Leaving);
    assert!(namespaces.is_superseded("/chat"));
    let decided = namespaces.finish_connect("/chat", Some(Weak::new()));
    assert!(matches!(decided, ConnectDecision::Disconnected));
    assert_eq!(namespaces.status("/chat"), NamespaceStatus::NotConnected);
    // Another CONNECT after the DISCONNECT is decided next.
    namespaces.connect("/chat", "second");
    namespaces.take_request("/chat");
    namespaces.disconnect("/chat");
    assert_eq!(namespaces.connect("/chat", "third"), ConnectStep::Stored);
    assert_eq!(namespaces.status("/chat"), NamespaceStatus::Pending);
    let decided = namespaces.finish_connect("/chat", None);
    assert!(matches!(decided, ConnectDecision::Retry(auth) if auth == "third"));
}

#[test]
fn a_client_is_connected_once_socketioxide_has_its_socket() {
    let namespaces = namespaces();
    namespaces.connect("/", "");
    namespaces.take_request("/");
    assert!(matches!(
        namespaces.finish_connect("/", Some(Weak::new())),
        ConnectDecision::Final
    ));
    assert_eq!(namespaces.status("/"), NamespaceStatus::Pending);
    assert_eq!(namespaces.connect("/", ""), ConnectStep::Retry);
    assert_eq!(namespaces.status("/chat"), NamespaceStatus::NotConnected);
}

#[test]
fn packets_to_namespaces_that_are_not_ours_pass() {
    let namespaces = namespaces();
    assert_eq!(namespaces.connect("/theirs", ""), ConnectStep::Pass);
    assert_eq!(namespaces.status("/theirs"), NamespaceStatus::Connected);
    assert_eq!(namespaces.disconnect("/theirs"), NamespaceStatus::Connected);
}

#[test]
fn a_client_of_engine_io_3_connects_to_the_root_without_a_connect() {
    let served = Arc::new(HashSet::from(["/".to_owned()]));
    let namespaces = Namespaces::new(served, EngineProtocol::V3, true);
    assert_eq!(namespaces.take_request("/").as_deref(), Some(""));
    assert_eq!(namespaces.take_request("/"), None);
}

#[test]
fn a_namespace_of_socketioxide_alone_is_for_clients_that_are_known() {
    let served = Arc::new(HashSet::from(["/".to_owned()]));
    let namespaces = Namespaces::new(served, EngineProtocol::V4, false);
    assert_eq!(namespaces.connect("/own", ""), ConnectStep::Refuse);
    assert!(!namespaces.has_passed_foreign());
    namespaces.connect("/", "{}");
    namespaces.take_request("/");
    namespaces.finish_connect("/", None);
    assert_eq!(namespaces.connect("/own", ""), ConnectStep::Refuse);
    namespaces.connect("/", "{}");
    namespaces.take_request("/");
    namespaces.finish_connect("/", Some(Weak::new()));
    assert_eq!(namespaces.connect("/own", ""), ConnectStep::Pass);
    assert!(namespaces.has_passed_foreign());
}
