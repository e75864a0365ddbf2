//! Engine.IO sessions for tests of what is sent to them.

use std::{net::Ipv4Addr, sync::Arc};

use super::{
    Adapter, PubSubDriver, SocketIo,
    inbound::{EngineProtocol, InboundConfig},
};
pub(in crate::transport) use super::{
    Engine, connect::ConnectingSocket, engine_session::EngineSession,
};
use crate::{
    limits::{Account, ConnectionQuota, Holder, Pool, Rate},
    transport::{packet_rate::PacketRate, wire::testing::LIMITS},
};

/// A session, and an engine that need not know it.
pub(in crate::transport) fn session() -> (Arc<EngineSession>, Engine, SocketIo) {
    let adapter = PubSubDriver::new(None).adapter();
    let builder = socketioxide::SocketIo::builder().with_adapter::<Adapter>(adapter);
    let (engine, io) = builder.build_svc();
    let address = Ipv4Addr::LOCALHOST.into();
    let admitted = ConnectionQuota::new(1, 1, 1)
        .admit(address, Holder::address(address))
        .unwrap();
    let inbound = InboundConfig {
        protocol: EngineProtocol::V4,
        served_namespaces: Arc::default(),
        identified: true,
        max_packet: 1 << 20,
        rate: PacketRate::new(Rate::new(0, 0), Arc::default()),
        account: Account::new(Pool::new(0), Holder::Backend),
    };
    let session = EngineSession::new(
        engine.clone(),
        None,
        (admitted, address, None),
        (LIMITS, Arc::default()),
        &inbound,
        Arc::default(),
    );
    (session, engine, io)
}
