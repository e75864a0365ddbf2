//! Which calls of a batch wait for the messages before them.

use super::*;

#[test]
fn an_ephemeral_message_is_recognized_in_every_spelling() {
    let can_follow = |body: &str| {
        let text = format!(r#"{{"method":"POST","path":"/","body":{body}}}"#);
        let call: Call = serde_json::from_str(&text).unwrap();
        call.can_follow_unstored_messages()
    };
    assert!(can_follow(r#"{"data":1}"#));
    assert!(can_follow(r#"{"data":{"ephemeral":true}}"#));
    assert!(!can_follow(r#"{"data":1,"event":"e","ephemeral":true}"#));
    assert!(!can_follow(
        r#"{"data":1,"event":"e","\u0065phemeral":true}"#
    ));
}

#[test]
fn a_path_may_begin_with_the_prefix_whatever_that_is() {
    let routed = |path: &str, prefix: &str| {
        let text = format!(r#"{{"method":"GET","path":"{path}"}}"#);
        let request = request(serde_json::from_str(&text).unwrap(), prefix).ok()?;
        Some(request.uri().to_string())
    };
    for (path, prefix, expected) in [
        ("/v1/rooms", "", Some("/v1/rooms")),
        ("/v1/rooms?limit=1", "/realtime", Some("/v1/rooms?limit=1")),
        ("/realtime/v1/rooms", "/realtime", Some("/v1/rooms")),
        ("/realtimes/v1/rooms", "/realtime", None),
        ("/v1/rooms", "/v1", Some("/v1/rooms")),
        ("/v1/v1/rooms", "/v1", Some("/v1/rooms")),
        ("/rooms", "/v1", None),
    ] {
        assert_eq!(routed(path, prefix).as_deref(), expected, "{path} {prefix}");
    }
}
