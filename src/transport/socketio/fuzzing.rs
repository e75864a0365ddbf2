//! Entry points of the fuzzers of what Socket.IO clients send.

use http::{Method, Uri};

use super::query::EngineQuery;
use crate::transport::Transport;

pub(in crate::transport) use super::inbound::fuzzing::{parse_frames, parse_packet, parse_payload};

/// The address that engineioxide is given asks for the same as the client's.
pub(in crate::transport) fn parse_engine_query(uri: &Uri) {
    let transports = [Transport::Polling, Transport::WebSocket];
    for method in [Method::GET, Method::POST] {
        let Ok(query) = EngineQuery::parse(&method, uri, &transports) else {
            continue;
        };
        let again = EngineQuery::parse(&method, &query.normalized(uri), &transports);
        let again = again
            .ok()
            .map(|again| (again.protocol, again.sid, again.websocket));
        assert_eq!(again, Some((query.protocol, query.sid, query.websocket)));
    }
}
