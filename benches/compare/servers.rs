//! The servers that are compared, and how each of them is started.

use std::{env, process::Command};

use super::{
    node,
    support::{
        process::{MANY_CONNECTIONS, Result, Server as Process},
        redis::{Fsync, Redis},
    },
};

/// The environment variable that makes this program one of the servers.
pub const SERVE: &str = "SWITCHBOARD_BENCH_SERVER";

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Memory,
    /// The same server, its clients on `/ws`.
    WebSocket,
    /// The same server, its clients on `/events`.
    EventStream,
    Normal,
    Full,
    Bare,
    Node,
    NodeRecovery,
    Floor,
    TwoNodes,
    TwoNodesOfNode,
}

impl Server {
    /// Its name in tables and charts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "Switchboard, log in memory",
            Self::WebSocket => "Switchboard, plain WebSocket",
            Self::EventStream => "Switchboard, event stream",
            Self::Normal => "Switchboard, SQLite normal",
            Self::Full => "Switchboard, SQLite full",
            Self::Bare => "socketioxide alone",
            Self::Node => "Socket.IO on Node",
            Self::NodeRecovery => "Socket.IO on Node, recovery",
            Self::Floor => "one write a delivery (floor)",
            Self::TwoNodes => "Switchboard, two nodes",
            Self::TwoNodesOfNode => "Socket.IO on Node, two nodes",
        }
    }

    pub fn is_switchboard(self) -> bool {
        !self.is_node() && !matches!(self, Self::Bare | Self::Floor)
    }

    /// The value of `--transport` for its clients.
    pub fn transport(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::EventStream => "sse",
            _ => "socket.io",
        }
    }

    /// Whether it needs Node.
    pub fn is_node(self) -> bool {
        matches!(self, Self::Node | Self::NodeRecovery | Self::TwoNodesOfNode)
    }

    pub fn needs_redis(self) -> bool {
        matches!(self, Self::TwoNodes | Self::TwoNodesOfNode)
    }

    /// Socket.IO on Node in the same setting.
    pub fn node(self) -> Self {
        match self {
            Self::TwoNodes | Self::TwoNodesOfNode => Self::TwoNodesOfNode,
            _ => Self::Node,
        }
    }

    /// Whether a message is stored where it survives the process.
    pub fn stores(self) -> bool {
        matches!(self, Self::Normal | Self::Full | Self::TwoNodes)
    }

    /// Starts it.
    pub fn start(self) -> Result<Running> {
        let alone = |process: Process| Running {
            processes: vec![process],
            _redis: None,
        };
        Ok(match self {
            Self::Memory | Self::WebSocket | Self::EventStream => {
                alone(switchboard(&["--store", "memory"])?)
            }
            Self::Normal => alone(switchboard(&["--store", "sqlite"])?),
            Self::Full => alone(switchboard(&[
                "--store",
                "sqlite",
                "--sqlite-synchronous",
                "full",
            ])?),
            Self::Bare => alone(this_program("bare")?),
            Self::Floor => alone(this_program("floor")?),
            Self::Node => alone(node::start(&[])?),
            Self::NodeRecovery => alone(node::start(&["--recovery"])?),
            Self::TwoNodes => over_redis(|url| switchboard(&["--redis-url", url]))?,
            Self::TwoNodesOfNode => over_redis(|url| node::start(&["--redis", url]))?,
        })
    }
}

/// A server that runs; of several nodes, all. It ends when this is dropped, the nodes before their Redis.
pub struct Running {
    processes: Vec<Process>,
    _redis: Option<Redis>,
}

impl Running {
    pub fn addresses(&self) -> Vec<&str> {
        let processes = self.processes.iter();
        processes.map(|process| process.address.as_str()).collect()
    }
}

fn switchboard(options: &[&str]) -> Result<Process> {
    Process::start(&[MANY_CONNECTIONS, options].concat())
}

fn this_program(server: &str) -> Result<Process> {
    Process::run(Command::new(env::current_exe()?).env(SERVE, server))
}

fn over_redis(node: impl Fn(&str) -> Result<Process>) -> Result<Running> {
    let redis = Redis::start(Fsync::EverySecond)?;
    let url = redis.url();
    Ok(Running {
        processes: vec![node(&url)?, node(&url)?],
        _redis: Some(redis),
    })
}
