//! Forwarding headers in all their forms.

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn read(name: &'static str, value: &str) -> Vec<String> {
    let addresses = addresses(&headers(&[(name, value)])).into_iter();
    addresses
        .map(|address| address.map_or("-".to_owned(), |address| address.to_string()))
        .collect()
}

#[test]
fn addresses_are_read_in_all_forms_that_proxies_write() {
    for (value, expected) in [
        ("203.0.113.7", vec!["203.0.113.7"]),
        ("203.0.113.7:5123", vec!["203.0.113.7"]),
        ("2001:db8::1", vec!["2001:db8::1"]),
        ("[2001:db8::1]", vec!["2001:db8::1"]),
        ("[2001:db8::1]:443", vec!["2001:db8::1"]),
        ("\"[2001:db8::1]:4711\"", vec!["2001:db8::1"]),
        ("::ffff:203.0.113.7", vec!["203.0.113.7"]),
        (" 6.6.6.6 , 203.0.113.7 ", vec!["203.0.113.7", "6.6.6.6"]),
        ("6.6.6.6, unknown", vec!["-", "6.6.6.6"]),
        ("203.0.113.7:x", vec!["203.0.113.7"]),
        (",", vec!["-", "-"]),
        ("host.example", vec!["-"]),
    ] {
        assert_eq!(read("x-forwarded-for", value), expected, "{value}");
    }
}

#[test]
fn forwarded_is_parsed_by_its_grammar() {
    for (value, expected) in [
        (
            "for=192.0.2.60;proto=http;by=203.0.113.43",
            vec!["192.0.2.60"],
        ),
        (
            "For=\"[2001:db8:cafe::17]:4711\"",
            vec!["2001:db8:cafe::17"],
        ),
        (
            "for=192.0.2.43, for=198.51.100.17",
            vec!["198.51.100.17", "192.0.2.43"],
        ),
        ("for=_hidden, for=_SEVKISEK", vec!["-", "-"]),
        ("for=unknown", vec!["-"]),
        ("for=\"192.0.2.60:_obf\"", vec!["192.0.2.60"]),
        (
            "proto=https;host=\"a,b;for=6.6.6.6\";for=192.0.2.1",
            vec!["192.0.2.1"],
        ),
        (
            "host=\"a\\\",for=6.6.6.6\"; for = 192.0.2.1",
            vec!["192.0.2.1"],
        ),
        ("proto=https", vec!["-"]),
    ] {
        assert_eq!(read("forwarded", value), expected, "{value}");
    }
    let both = headers(&[
        ("forwarded", "for=6.6.6.6"),
        ("x-forwarded-for", "192.0.2.1"),
    ]);
    assert_eq!(addresses(&both), [Some("192.0.2.1".parse().unwrap())]);
}

#[test]
fn only_a_bounded_number_of_entries_is_read() {
    assert_eq!(
        read("x-forwarded-for", &"1.1.1.1,".repeat(10_000)).len(),
        MAX_ENTRIES
    );
}

#[test]
fn host_port_and_scheme_are_the_clients() {
    let forwarded = headers(&[
        ("x-forwarded-host", "chat.example:8443, inner.example"),
        ("x-forwarded-port", "8443"),
        ("x-forwarded-proto", "HTTPS, http"),
    ]);
    assert_eq!(hosts(&forwarded).len(), 2);
    assert_eq!(
        hosts(&forwarded)[0],
        HostPort::parse("chat.example:8443").unwrap()
    );
    assert_eq!(
        (port(&forwarded), is_secure(&forwarded)),
        (Some(8443), Some(true))
    );
    let forwarded = headers(&[(
        "forwarded",
        "for=1.2.3.4;host=\"chat.example:8443\";proto=http",
    )]);
    assert_eq!(
        hosts(&forwarded),
        [HostPort::parse("chat.example:8443").unwrap()]
    );
    assert_eq!(
        (port(&forwarded), is_secure(&forwarded)),
        (None, Some(false))
    );
    let nothing = headers(&[("x-forwarded-host", "///"), ("x-forwarded-proto", "gopher")]);
    assert_eq!(
        (hosts(&nothing), port(&nothing), is_secure(&nothing)),
        (vec![], None, None)
    );
}
