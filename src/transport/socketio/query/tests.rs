//! Queries of Engine.IO requests, and errors of invalid ones.

use proptest::prelude::*;

use super::*;

const BOTH: [Transport; 2] = [Transport::Polling, Transport::WebSocket];
const SID: &str = "AAAAAAAAAAAAAAAA";

fn parse(method: &Method, query: &str) -> Result<EngineQuery, EngineRequestError> {
    let uri = format!("/socket.io/?{query}").parse().unwrap();
    EngineQuery::parse(method, &uri, &BOTH)
}

fn wrong(method: &Method, query: &str) -> u8 {
    parse(method, query).unwrap_err().code_and_message().0
}

#[test]
fn requests_of_both_protocols_are_parsed() {
    let query = parse(&Method::GET, "EIO=4&transport=polling&t=x").unwrap();
    assert_eq!(
        (query.protocol, query.sid, query.websocket),
        (4, None, false)
    );
    let query = parse(&Method::POST, &format!("EIO=3&transport=polling&sid={SID}")).unwrap();
    assert_eq!((query.protocol, query.sid.unwrap().as_str()), (3, SID));
}

#[test]
fn an_empty_session_id_counts_as_none_and_percent_encoding_is_decoded() {
    let query = parse(&Method::GET, "%45IO=%34&transport=%70olling&sid=").unwrap();
    assert_eq!(
        (query.protocol, query.sid, query.websocket),
        (4, None, false)
    );
}

#[test]
fn errors_have_the_codes_of_engine_io() {
    let get = |query| wrong(&Method::GET, query);
    for query in [
        "",
        "EIO=4",
        "EIO=4&transport=pigeon",
        "EIO=4&transport=polling=x",
    ] {
        assert_eq!(get(query), 0, "{query}");
    }
    assert_eq!(get("EIO=4&transport=polling&sid=short"), 1);
    for method in [Method::POST, Method::PUT, Method::HEAD] {
        assert_eq!(wrong(&method, "EIO=4&transport=polling"), 2);
    }
    let with_session = format!("EIO=4&transport=polling&sid={SID}");
    assert_eq!(wrong(&Method::DELETE, &with_session), 3);
    for query in [
        "transport=polling",
        "EIO=2&transport=polling",
        "EIO=4=5&transport=polling",
    ] {
        assert_eq!(get(query), 5, "{query}");
    }
}

#[test]
fn a_normalized_query_means_the_same_and_keeps_the_applications_parameters() {
    let uri: Uri = format!("/socket.io/?token=a%20b&EIO=3&EIO=4&x&%74ransport=%70olling&sid={SID}")
        .parse()
        .unwrap();
    let query = EngineQuery::parse(&Method::GET, &uri, &BOTH).unwrap();
    assert_eq!(
        query.normalized(&uri).to_string(),
        format!("/socket.io/?EIO=4&transport=polling&sid={SID}&token=a%20b&x")
    );
}

proptest! {
    /// However it is spelt, a normalized query is parsed in one way only.
    #[test]
    fn parsing_a_normalized_query_returns_the_same_query(
        query in "(%?[EIO=4&3sidtranpolg%0-9A-F]{0,20}|&EIO=[34]|&transport=polling|&sid=A{16}|&b64=1){1,8}"
    ) {
        let Ok(uri) = format!("/socket.io/?{query}").parse::<Uri>() else { return Ok(()) };
        if let Ok(read) = EngineQuery::parse(&Method::GET, &uri, &BOTH) {
            let again = read.normalized(&uri);
            prop_assert_eq!(&EngineQuery::parse(&Method::GET, &again, &BOTH).unwrap(), &read);
            // engineioxide takes the first of each name, undecoded.
            let said = again.query().unwrap();
            let first = |name: &str| said.split('&').find_map(|pair| pair.strip_prefix(name));
            let protocol = read.protocol.to_string();
            prop_assert_eq!(first("EIO="), Some(protocol.as_str()));
            prop_assert_eq!(first("transport="), Some("polling"));
            prop_assert_eq!(first("sid="), read.sid.as_ref().map(Sid::as_str));
            prop_assert_eq!(first("b64=").is_some(), read.base64);
        }
    }
}
