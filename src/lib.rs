//! Switchboard: a realtime server you run instead of write.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod auth;
pub mod backend;
pub mod config;
pub mod error;
pub mod hub;
pub mod limits;
pub mod model;
pub mod telemetry;
pub mod transport;
