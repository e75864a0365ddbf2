use super::*;

#[test]
fn the_session_id_is_found_in_the_open_packet_of_both_protocols() {
    let json = r#"{"sid":"AAAAAAAAAAAAAAAA","upgrades":["websocket"],"pingInterval":25000}"#;
    for body in [format!("0{json}"), format!("97:0{json}")] {
        assert_eq!(
            session_id(body.as_bytes()).unwrap().as_str(),
            "AAAAAAAAAAAAAAAA"
        );
    }
    assert!(session_id(b"0").is_none());
}
