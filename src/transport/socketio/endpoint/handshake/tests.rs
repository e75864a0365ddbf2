//! The session id in the response to a handshake.

use super::*;

#[test]
fn the_session_id_is_read_from_the_open_packet_of_both_protocols() {
    let json = r#"{"sid":"AAAAAAAAAAAAAAAA","upgrades":["websocket"],"pingInterval":25000}"#;
    for body in [format!("0{json}"), format!("97:0{json}")] {
        assert_eq!(
            parse_sid(body.as_bytes()).unwrap().as_str(),
            "AAAAAAAAAAAAAAAA"
        );
    }
    assert!(parse_sid(b"0").is_none());
}
