//! Markers in packets as servers write them.

use super::*;

fn written(marker: Marker) -> String {
    let mut text = Vec::new();
    marker.write(&tag("abc123"), &mut text);
    assert_eq!(text.len(), LEN);
    String::from_utf8(text).unwrap()
}

const MARKER: Marker = Marker {
    sender: 17,
    number: 0xdead_beef,
    due: 123_456_789_012,
};

#[test]
fn a_marker_is_found_wherever_it_is() {
    let finder = Finder::new(tag("abc123"));
    for before in [
        "",
        "42[\"message\",\"",
        "x",
        "42[\"message\",{\"seq\":1000,\"data\":\"",
    ] {
        let packet = format!("{before}{}xxxx\"]", written(MARKER));
        let found = finder.find(packet.as_bytes(), 0);
        assert_eq!(found, Some((before.len(), MARKER)), "{before}");
    }
}

#[test]
fn every_marker_of_a_packet_is_found() {
    let finder = Finder::new(tag("abc123"));
    let second = Marker {
        number: 2,
        ..MARKER
    };
    let packet = format!("[{},{}]", written(MARKER), written(second));
    let (at, first) = finder.find(packet.as_bytes(), 0).unwrap();
    assert_eq!(first, MARKER);
    let (_, found) = finder.find(packet.as_bytes(), at + LEN).unwrap();
    assert_eq!(found, second);
    assert_eq!(finder.find(packet.as_bytes(), at + LEN + 2 + LEN), None);
}

#[test]
fn what_is_of_another_run_or_cut_off_is_no_marker() {
    let finder = Finder::new(tag("zzz999"));
    let text = written(MARKER);
    assert_eq!(finder.find(text.as_bytes(), 0), None);
    let finder = Finder::new(tag("abc123"));
    assert_eq!(finder.find(&text.as_bytes()[..LEN - 1], 0), None);
    assert_eq!(finder.find(b"", 0), None);
}

#[test]
fn numbers_and_offsets_are_read_where_the_server_writes_them() {
    let packet = br#"42["message",{"room":"r","seq":42,"event":"message","data":"x"},"7~"]"#;
    assert_eq!(seq_before(packet, 0, packet.len()), Some(42));
    assert_eq!(seq_before(packet, 40, packet.len()), None);
    assert_eq!(last_string(packet), Some(&b"7~"[..]));
    assert_eq!(last_string(br#"42["message",{"a":"b"}]"#), None);
    assert_eq!(last_string(br#"42["message"]"#), None);
    assert_eq!(number(b"x"), None);
}
