//! CONNECTs of other parsers, and how they are refused.

use proptest::prelude::*;

use super::*;

/// The refusal that socketioxide writes for a CONNECT.
fn refused(connect: &str) -> String {
    let namespace = connect.strip_prefix("40").unwrap();
    format!("44{namespace}{{\"message\":\"Invalid namespace\"}}")
}

fn msgpack(data: &[u8], namespace: &str) -> Vec<u8> {
    let mut bytes = b"\x83\xa4type\x00\xa4data".to_vec();
    bytes.extend(data);
    put_string(&mut bytes, "nsp");
    put_string(&mut bytes, namespace);
    bytes
}

#[test]
fn a_connect_in_msgpack_is_refused_in_msgpack() {
    for (data, namespace) in [
        (&b"\xd4\x00\x00"[..], "/"), // JavaScript's undefined
        (b"\xc0", "/"),
        (b"\x81\xa5token\xa1t", "/chat"),
        (b"\x81\xa3nsp\xa2/x", "/a-namespace-with-more-than-31-bytes"),
    ] {
        let connect = connect_of_bytes(&msgpack(data, namespace)).unwrap();
        assert_eq!(connect, format!("40/switchboard:msgpack{namespace},"));
        let told = rewrite_refusal(&refused(&connect)).unwrap();
        let bytes = BASE64_STANDARD.decode(&told[1..]).unwrap();
        let head = b"\x83\xa4type\x04\xa4data\x82\xa7message\xabbad_request\xa4data\x82\xa4code\xabbad_request\xa7message\xd9";
        assert!(told.starts_with('b') && bytes.starts_with(head));
        assert!(bytes.ends_with(namespace.as_bytes()));
    }
}

#[test]
fn a_connect_as_a_json_object_is_refused_as_a_json_object() {
    for namespace in ["/", "/chat"] {
        let packet = format!(r#"4{{"type":0,"data":{{"token":"t"}},"nsp":"{namespace}"}}"#);
        let connect = connect_of_text(&packet).unwrap();
        assert_eq!(connect, format!("40/switchboard:json{namespace},"));
        let told = rewrite_refusal(&refused(&connect)).unwrap();
        let told: serde_json::Value = serde_json::from_str(&told[1..]).unwrap();
        assert_eq!(
            (&told["type"], &told["nsp"]),
            (&4.into(), &namespace.into())
        );
        assert_eq!(told["data"]["message"], "bad_request");
        assert_eq!(told["data"]["data"]["message"], *error().message());
    }
}

#[test]
fn other_packets_are_not_taken_for_a_connect() {
    for packet in [
        &b""[..],
        b"\x01",
        b"\x83",
        b"\x83\xa4type\x02\xa4data\x91\xa1a\xa3nsp\xa1/",
        b"\x83\xa4type\x00\xa3nsp",
        b"\x83\xa4type\x00\xa3nsp\xa9/",
        b"\x83\xa4type\x00\xa3nsp\xd9",
        b"\x83\xa4type\x00\xa3nsp\xa1\xff",
        b"\x83\xa4type\x00\xa3nsp\xa3/,x",
        b"\x83\xa4type\x00\xa3nsp\xa0",
    ] {
        assert_eq!(connect_of_bytes(packet), None, "{packet:?}");
    }
    assert_eq!(connect_of_bytes(&msgpack(b"\xc0", &"/".repeat(201))), None);
    for packet in [
        "",
        "4",
        "4{",
        "4[]",
        "4{}",
        r#"4{"type":2,"nsp":"/"}"#,
        r#"4{"type":0,"nsp":"x"}"#,
    ] {
        assert_eq!(connect_of_text(packet), None, "{packet}");
    }
    for packet in ["44{}", "44/chat,{}", "40/switchboard:json/,{}"] {
        assert_eq!(rewrite_refusal(packet), None, "{packet}");
    }
}

proptest! {
    #[test]
    fn any_bytes_can_be_parsed(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = connect_of_bytes(&[b"\x83\xa4type\x00\xa3nsp".to_vec(), bytes.clone()].concat());
        let _ = connect_of_bytes(&bytes);
    }
}
