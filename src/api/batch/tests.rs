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
