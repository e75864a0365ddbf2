//! Which pages may connect, and how far each is trusted.

use http::{Extensions, HeaderMap};

use crate::{
    http::{
        ClientAddress,
        origins::{Origins, Trust, UnlistedOrigins},
    },
    pattern::Pattern,
};

const OWN: UnlistedOrigins = UnlistedOrigins::Own { on_loopback: false };
const CHAT: &str = "https://chat.example";

struct PageRequest {
    headers: HeaderMap,
    extensions: Extensions,
}

/// A request with these headers, directly from its client.
fn asked(lines: &[(&'static str, &str)]) -> PageRequest {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    PageRequest {
        headers,
        extensions: Extensions::new(),
    }
}

/// One that a trusted proxy passed on.
fn proxied(lines: &[(&'static str, &str)]) -> PageRequest {
    came(lines, true, false)
}

/// One that came over TLS to this server itself.
fn over_tls(lines: &[(&'static str, &str)]) -> PageRequest {
    came(lines, false, true)
}

fn came(lines: &[(&'static str, &str)], proxied: bool, tls: bool) -> PageRequest {
    let mut asked = asked(lines);
    asked.extensions.insert(ClientAddress {
        ip: [192, 0, 2, 1].into(),
        proxied,
        unknown: false,
        tls,
    });
    asked
}

fn origins(list: &[&str], others: UnlistedOrigins) -> Origins {
    let patterns: Vec<_> = list
        .iter()
        .map(|text| Pattern::parse(text).unwrap())
        .collect();
    Origins::new(&patterns, others)
}

impl Origins {
    fn trusts(&self, asked: &PageRequest) -> Option<Trust> {
        self.trust(&asked.headers, &asked.extensions)
    }
}

#[test]
fn the_servers_own_pages_are_recognized_in_every_spelling() {
    let origins = origins(&[], OWN);
    for (host, origin, own) in [
        ("chat.example", CHAT, true),
        ("chat.example", "http://chat.example", true),
        ("CHAT.example.", CHAT, true),
        ("chat.example:443", CHAT, true),
        ("chat.example:80", "http://chat.example", true),
        ("chat.example:8443", "https://chat.example:8443", true),
        ("[::1]:3000", "http://[::1]:3000", true),
        ("::1", "http://[::1]", true),
        ("[2001:DB8::0:1]", "https://[2001:db8::1]", true),
        // Another port of a name may be somebody else's.
        ("chat.example", "https://chat.example:8443", false),
        ("chat.example:3000", CHAT, false),
        ("chat.example:80", CHAT, false),
        ("chat.example", "https://chat.example.evil.example", false),
        ("chat.example", "https://evil.example", false),
        ("chat.example", "null", false),
        ("chat.example", "file://", false),
        ("chat.example", "capacitor://chat.example", false),
    ] {
        let request = asked(&[("host", host), ("origin", origin)]);
        assert_eq!(origins.trusts(&request).is_some(), own, "{host} {origin}");
    }
    assert_eq!(
        origins.trusts(&asked(&[("host", "chat.example")])),
        Some(Trust::Full)
    );
}

#[test]
fn a_trusted_proxy_reports_the_requested_host() {
    let origins = origins(&[], OWN);
    let inner = ("host", "127.0.0.1:3000");
    for (lines, origin, own) in [
        (
            vec![inner, ("x-forwarded-host", "chat.example")],
            CHAT,
            true,
        ),
        (
            vec![inner, ("x-forwarded-host", "chat.example:8443")],
            "https://chat.example:8443",
            true,
        ),
        (
            vec![inner, ("x-forwarded-host", "chat.example:8443")],
            CHAT,
            false,
        ),
        (
            vec![inner, ("x-forwarded-host", "chat.example, inner.example")],
            CHAT,
            true,
        ),
        (
            vec![
                inner,
                ("forwarded", "for=1.2.3.4;host=chat.example;proto=https"),
            ],
            CHAT,
            true,
        ),
        (
            vec![("host", "chat.example:3000"), ("x-forwarded-port", "443")],
            CHAT,
            true,
        ),
        // nginx's $host has no port.
        (
            vec![("host", "chat.example")],
            "https://chat.example:8443",
            true,
        ),
        (
            vec![("host", "chat.example"), ("x-forwarded-proto", "http")],
            CHAT,
            true,
        ),
        (
            vec![("host", "chat.example"), ("x-forwarded-proto", "https")],
            "http://chat.example",
            false,
        ),
        (
            vec![inner, ("x-forwarded-host", "chat.example")],
            "https://evil.example",
            false,
        ),
        (vec![inner], CHAT, false),
    ] {
        let lines: Vec<_> = lines.into_iter().chain([("origin", origin)]).collect();
        assert_eq!(origins.trusts(&proxied(&lines)).is_some(), own, "{lines:?}");
        let direct = lines.iter().any(|(name, _)| name.contains("forwarded"));
        if direct && origin == CHAT && !lines.contains(&("host", "chat.example")) {
            assert_eq!(
                origins.trusts(&asked(&lines)),
                None,
                "not a proxy's word: {lines:?}"
            );
        }
    }
}

#[test]
fn sec_fetch_site_same_origin_is_trusted() {
    let request = |site, origin| {
        asked(&[
            ("host", "upstream:3000"),
            ("origin", origin),
            ("sec-fetch-site", site),
        ])
    };
    let own = origins(&[], OWN);
    assert_eq!(own.trusts(&request("same-origin", CHAT)), Some(Trust::Full));
    assert_eq!(own.trusts(&request("same-site", CHAT)), None);
    assert_eq!(own.trusts(&request("cross-site", CHAT)), None);
    // The page's own name may have been pointed at this machine.
    let open = origins(&[], UnlistedOrigins::OfThisMachine);
    assert_eq!(open.trusts(&request("same-origin", CHAT)), None);
}

#[test]
fn a_page_without_tls_of_the_same_host_is_not_the_servers_own_where_the_browser_tells() {
    let page = ("origin", "http://chat.example");
    let host = ("host", "chat.example");
    let own = origins(&[], OWN);
    assert_eq!(own.trusts(&asked(&[host, page])), Some(Trust::Full));
    for site in ["cross-site", "same-site", "none"] {
        let told = asked(&[host, page, ("sec-fetch-site", site)]);
        assert_eq!(own.trusts(&told), None, "{site}");
        let with_token = origins(&[], UnlistedOrigins::WithToken);
        assert_eq!(
            with_token.trusts(&told),
            Some(Trust::WithoutHeaders),
            "{site}"
        );
    }
}

#[test]
fn local_pages_may_connect_to_a_server_on_loopback() {
    let pages = [
        "http://localhost",
        "http://localhost:5173",
        "https://127.0.0.1",
        "http://[::1]",
        "http://app.localhost:5173",
    ];
    let open = origins(&[], UnlistedOrigins::OfThisMachine);
    let elsewhere = [
        "https://evil.example",
        "http://localhost.evil.example",
        "null",
        "file://",
        "capacitor://localhost",
    ];
    for (page, trust) in pages
        .iter()
        .map(|page| (*page, Some(Trust::Full)))
        .chain(elsewhere.map(|page| (page, None)))
    {
        let request = asked(&[("host", "127.0.0.1:3000"), ("origin", page)]);
        assert_eq!(open.trusts(&request), trust, "{page}");
    }
    for page in pages {
        let request = asked(&[("host", "chat.example"), ("origin", page)]);
        assert_eq!(origins(&[], OWN).trusts(&request), None, "{page}");
        let proxied = UnlistedOrigins::Own { on_loopback: true };
        assert_eq!(
            origins(&[], proxied).trusts(&request),
            Some(Trust::Full),
            "{page}"
        );
        let strict = origins(&["https://app.example"], UnlistedOrigins::OfThisMachine);
        assert_eq!(strict.trusts(&request), None, "{page}");
        let keyed = origins(&[], UnlistedOrigins::WithToken);
        assert_eq!(
            keyed.trusts(&request),
            Some(Trust::WithoutHeaders),
            "{page}"
        );
    }
}

#[test]
fn dns_rebinding_to_an_open_server_is_refused() {
    let origins = origins(&[], UnlistedOrigins::OfThisMachine);
    let rebound = ("host", "rebound.example:3000");
    let own = ("origin", "http://rebound.example:3000");
    for lines in [
        vec![rebound],
        vec![rebound, own],
        vec![rebound, ("x-forwarded-host", "localhost")],
        vec![rebound, own, ("x-forwarded-host", "localhost")],
    ] {
        assert_eq!(origins.trusts(&asked(&lines)), None, "{lines:?}");
        assert_eq!(origins.trusts(&proxied(&lines)), None, "{lines:?}");
    }
    for host in ["127.0.0.1:3000", "[::1]:3000", "LOCALHOST", "localhost."] {
        let request = asked(&[("host", host)]);
        assert_eq!(origins.trusts(&request), Some(Trust::Full), "{host}");
    }
}

#[test]
fn a_listed_page_reaches_an_open_server_through_its_own_proxy() {
    let origins = origins(&["http://box.lan:5173"], UnlistedOrigins::OfThisMachine);
    let trusts = |host| origins.trusts(&asked(&[("host", host)])).is_some();
    assert!(trusts("box.lan:5173"));
    assert!(!trusts("other.lan:5173"));
}

#[test]
fn any_origin_can_be_listed() {
    for (list, origin, listed) in [
        ("file://", "file://", true),
        ("null", "null", true),
        ("capacitor://localhost", "capacitor://localhost", true),
        ("chrome-extension://*", "chrome-extension://abcdef", true),
        ("https://*.example", "https://app.example", true),
        ("https://App.Example", "https://app.example", true),
        ("http://localhost:*", "http://localhost", true),
        ("https://app.example:443", "https://app.example", true),
        ("https://app.example:8443", "https://app.example", false),
        ("https://app.example", "http://app.example", false),
        ("file://", "null", false),
    ] {
        for others in [
            OWN,
            UnlistedOrigins::OfThisMachine,
            UnlistedOrigins::WithToken,
        ] {
            let request = asked(&[("host", "127.0.0.1"), ("origin", origin)]);
            let trust = origins(&[list], others).trusts(&request);
            assert_eq!(trust, listed.then_some(Trust::Full), "{list} {origin}");
        }
    }
}

#[test]
fn cookies_and_headers_of_unlisted_pages_are_ignored() {
    let request = asked(&[("host", "chat.example"), ("origin", "https://evil.example")]);
    let trust = |list: &[&str], others| origins(list, others).trusts(&request);
    assert_eq!(
        trust(&[], UnlistedOrigins::WithToken),
        Some(Trust::WithoutHeaders)
    );
    assert_eq!(
        trust(&["*"], UnlistedOrigins::WithToken),
        Some(Trust::WithoutCookies)
    );
    assert_eq!(
        trust(&["*", "https://evil.example"], UnlistedOrigins::WithToken),
        Some(Trust::Full)
    );
    assert_eq!(
        trust(&["https://app.example"], UnlistedOrigins::WithToken),
        None
    );
    assert_eq!(trust(&[], OWN), None);
}

#[test]
fn cross_site_embeds_are_refused_even_without_an_origin() {
    for others in [OWN, UnlistedOrigins::WithToken] {
        for (site, expected) in [
            ("cross-site", false),
            ("same-site", false),
            ("same-origin", true),
            ("none", true),
        ] {
            let request = asked(&[("host", "chat.example"), ("sec-fetch-site", site)]);
            assert_eq!(
                origins(&[], others).trusts(&request).is_some(),
                expected,
                "{site}"
            );
        }
    }
}

#[test]
fn the_error_names_origin_host_and_remedy() {
    let origins = origins(&[], UnlistedOrigins::OfThisMachine);
    let long = format!("https://{}.example", "x".repeat(5000));
    let message = |lines: &[(&'static str, &str)]| {
        let message = origins.refuse(&asked(lines).headers).message().to_owned();
        assert!(message.len() < 600, "{message}");
        message
    };
    let named = message(&[("host", "up:1"), ("origin", "https://a.example")]);
    assert!(
        named.contains("Host up:1: add https://a.example to http.origins"),
        "{named}"
    );
    assert!(message(&[("host", "up:1"), ("origin", &long)]).contains("https://xxx"));
    assert!(message(&[("host", "up:1")]).contains("not to the Host up:1"));
}

#[test]
fn the_error_for_cross_site_embeds_names_no_hosts() {
    for others in [OWN, UnlistedOrigins::OfThisMachine] {
        let asked = asked(&[("host", "127.0.0.1:3000"), ("sec-fetch-site", "cross-site")]);
        let refused = origins(&[], others).refuse(&asked.headers);
        assert!(refused.message().contains("another site"), "{refused}");
    }
}

#[test]
fn a_page_without_tls_is_not_the_servers_own_where_the_server_has_tls() {
    let origins = origins(&[], OWN);
    for (origin, host, with_tls, without) in [
        ("https://chat.example", "chat.example", true, true),
        ("http://chat.example", "chat.example", false, true),
        ("https://chat.example:8443", "chat.example:8443", true, true),
        ("http://chat.example:8443", "chat.example:8443", false, true),
        ("https://evil.example", "chat.example", false, false),
    ] {
        let lines = [("origin", origin), ("host", host)];
        let trusts = |request| origins.trusts(&request).is_some();
        assert_eq!(trusts(over_tls(&lines)), with_tls, "{origin}");
        assert_eq!(trusts(asked(&lines)), without, "{origin}");
    }
}
