//! TCP ports for servers that have to be told which to take.
//!
//! A port on which nobody listens can be taken by another test before the server does, and the two tests then share one server. So a
//! port belongs to the process that holds the UDP socket of the same number, which has no other use. The client tests go by the same rule.

use std::{
    net::{TcpListener, UdpSocket},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the ports that Linux gives to those who ask for any.
const FIRST: u16 = 11_000;
const COUNT: u16 = 21_000;

/// A port of 127.0.0.1 that is this process's until this is dropped.
pub struct ClaimedPort {
    pub number: u16,
    _claim: UdpSocket,
}

impl ClaimedPort {
    pub fn claim() -> Self {
        // Each process begins elsewhere, so that there is little to try.
        static TRIED: AtomicU16 = AtomicU16::new(0);
        let begin = process::id().wrapping_mul(97);
        (0..COUNT)
            .find_map(|_| {
                let tried = TRIED.fetch_add(1, Ordering::Relaxed);
                let nth = begin.wrapping_add(tried.into()) % u32::from(COUNT);
                let number = FIRST + u16::try_from(nth).expect("less than COUNT");
                let claim = UdpSocket::bind(("127.0.0.1", number)).ok()?;
                TcpListener::bind(("127.0.0.1", number)).ok()?;
                Some(Self {
                    number,
                    _claim: claim,
                })
            })
            .expect("a port is free")
    }
}
