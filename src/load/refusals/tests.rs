//! What a refusal says.

use super::*;

#[test]
fn a_refusal_names_the_limit_and_the_option_that_raises_it() {
    let body = br#"{"error":{"code":"limit_reached","message":"too many connections: limits.connections_per_ip is reached"}}"#;
    let refusal = Refusal::read("connect", "503", body);
    assert_eq!(refusal.code, "limit_reached");
    let text = refusal.to_string();
    assert!(text.starts_with("connect refused: limit_reached: too many connections"));
    assert!(text.contains("raise limits.connections_per_ip"), "{text}");
    let node = br#"{"code":"limit_reached","message":"too many connections: limits.connections is reached"}"#;
    let node = Refusal::read("connect", "503", node);
    assert_eq!(
        node.advice(),
        Some("raise limits.connections of the server")
    );
}

#[test]
fn every_limit_that_a_load_runs_into_has_advice() {
    for (code, message, option) in [
        (
            "unavailable",
            "too many connect at this moment; come back a little later",
            "connects_per_second",
        ),
        (
            "rate_limited",
            "too fast: limits.messages_per_second is reached",
            "limits.messages_per_second",
        ),
        (
            "rate_limited",
            "too fast: limits.user_messages_per_second is reached",
            "limits.user_messages_per_second",
        ),
        (
            "rate_limited",
            "events come faster than they can be handled: limits.inbox_bytes is reached",
            "limits.inbox",
        ),
        ("unauthorized", "no token", "--token"),
        (
            "too_large",
            "the data of a message may have 9 bytes",
            "--size",
        ),
    ] {
        let body = format!(r#"{{"code":"{code}","message":"{message}"}}"#);
        let advice = Refusal::read("message", "", body.as_bytes()).advice();
        assert!(
            advice.is_some_and(|advice| advice.contains(option)),
            "{message}: {advice:?}"
        );
    }
}

#[test]
fn what_is_not_the_contracts_is_shown_as_it_is() {
    let refusal = Refusal::read("connect", "404", b"Cannot GET /socket.io/");
    assert_eq!(
        refusal.to_string(),
        "connect refused: 404: Cannot GET /socket.io/"
    );
    assert_eq!(
        Refusal::read("connect", "502", b"").to_string(),
        "connect refused: 502"
    );
}
