//! Subprotocols of WebSocket upgrades.

use super::*;

fn respond(offers: &[&str]) -> Option<Option<String>> {
    let mut request = Request::builder()
        .header("upgrade", "websocket")
        .header("connection", "keep-alive, Upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for offer in offers {
        request = request.header("sec-websocket-protocol", *offer);
    }
    let accepted = accept_upgrade(&request.body(()).unwrap()).ok()?;
    let response = switching_protocols(accepted);
    let accepted = response.headers().get("sec-websocket-protocol");
    Some(accepted.map(|name| name.to_str().unwrap().to_owned()))
}

#[test]
fn the_first_offered_subprotocol_is_accepted() {
    let accepted = |name: &str| Some(Some(name.to_owned()));
    assert_eq!(respond(&[]), Some(None));
    assert_eq!(respond(&["my-app"]), accepted("my-app"));
    assert_eq!(respond(&["bearer, abc.def-1_2"]), accepted("bearer"));
    assert_eq!(respond(&[" , ,chat", "other"]), accepted("chat"));
    assert_eq!(respond(&["", " "]), Some(None));
}

#[test]
fn malformed_subprotocols_are_refused() {
    for malformed in [
        "a b",
        "a/b",
        "\u{1}",
        "\"a\"",
        &"a".repeat(MAX_SUBPROTOCOL_BYTES + 1),
    ] {
        if HeaderValue::from_str(malformed).is_ok() {
            assert_eq!(respond(&[malformed]), None, "{malformed:?}");
        }
    }
}
