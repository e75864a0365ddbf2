//! Parsing of sizes, addresses, networks and lists.

use super::*;

#[test]
fn a_size_is_bytes_or_a_number_with_a_unit() {
    for (text, bytes) in [
        ("65536", 65536),
        ("64 KiB", 65536),
        ("1MiB", 1 << 20),
        ("1 mib", 1 << 20),
        ("2 GB", 2_000_000_000),
        (" 7 b ", 7),
    ] {
        assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
    }
    for text in [
        "",
        "KiB",
        "-1",
        "1.5 KiB",
        "64 K",
        "64 KiBs",
        "99999999999 GiB",
    ] {
        assert_eq!(ByteSize::parse(text), None, "{text}");
    }
}

#[test]
fn a_size_is_formatted_with_the_largest_unit_that_divides_it() {
    for text in ["0 B", "1000 B", "1 KiB", "1025 B", "64 MiB", "3 GiB"] {
        assert_eq!(ByteSize::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn localhost_with_a_port_is_an_address() {
    assert_eq!(
        SocketAddr::parse("localhost:80"),
        "127.0.0.1:80".parse().ok()
    );
    assert_eq!(SocketAddr::parse("[::1]:80"), "[::1]:80".parse().ok());
    for text in ["localhost", "localhost:x", ":80", "127.0.0.1", "host:80"] {
        assert_eq!(SocketAddr::parse(text), None, "{text}");
    }
}

#[test]
fn an_address_is_a_network_of_one() {
    assert_eq!(IpNet::parse("10.0.0.7"), IpNet::parse("10.0.0.7/32"));
    assert_eq!(IpNet::parse("::1"), IpNet::parse("::1/128"));
    assert_eq!(IpNet::parse("10.0.0.0/33"), None);
}

#[test]
fn a_list_is_text_with_commas_or_an_array_whose_items_are_not_split() {
    let split = Vec::<String>::from_value(&Value::Text("a, b c,,d".into()));
    assert_eq!(split, Ok(vec!["a".into(), "b c".into(), "d".into()]));
    let array = Vec::<String>::from_value(&Value::Items(vec!["a, b".into()]));
    assert_eq!(array, Ok(vec!["a, b".into()]));
    assert_eq!(Vec::<String>::parse(""), Some(vec![]));
    let wrong = Vec::<u32>::from_value(&Value::Text("1,x".into())).unwrap_err();
    assert_eq!(wrong.item.as_deref(), Some("x"));
}

#[test]
fn empty_text_is_none() {
    assert_eq!(Option::<u32>::parse(""), Some(None));
    assert_eq!(Option::<u32>::parse("7"), Some(Some(7)));
    assert_eq!(Option::<u32>::parse("x"), None);
}
