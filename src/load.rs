//! `switchboard load`: clients by the thousand that load a server, count what it delivers, and say what that costs it.
//!
//! It is to be so light that the server is the limit. A client is one task with a few hundred bytes of state; all clients of a
//! thread share one read buffer; frames are written and taken apart by hand; and a message is recognized by a [`marker`] in its
//! data, without parsing JSON.
//!
//! ```text
//! conductor      phases, faults, measuring             one thread
//!    |           (shared: what all threads see)
//!  shard         a thread's clients, their records     a thread each
//!    |
//!  client        connect, join, live, come back        a task each
//!    |  \
//!  talk  link    what packets say; how they travel     socket.io, envelopes, event streams; WebSocket, polling, HTTP
//! ```
//!
//! Knows nothing of the server's own code: it sees what clients see.

mod address;
mod checker;
mod client;
mod conductor;
mod counters;
mod link;
mod marker;
mod pacer;
mod plan;
mod recorder;
mod refusals;
mod report;
mod sender;
mod server_process;
mod shard;
mod shared;
mod talk;
mod verdict;
mod wire;
mod worker;

pub(crate) use address::Address;
pub(crate) use conductor::{LoadError, Stop, Watcher, run};
pub(crate) use counters::Totals;
pub(crate) use plan::{
    Auth, Events, Faults, InFlight, Pace, Plan, Protocol, Ramp, Sizes, Template, Transport,
};
pub(crate) use report::Report;
