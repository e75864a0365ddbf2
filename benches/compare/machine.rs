//! What this machine has to measure with.

use std::process::Command;

use super::{
    node,
    servers::Server,
    support::{cores::Cores, process::Process},
};

/// What is there, and what is not.
pub struct Machine {
    pub cores: Cores,
    /// The versions of Node and Socket.IO.
    node: Option<String>,
    has_redis: bool,
}

impl Machine {
    /// Looks for everything, and says what is missing.
    pub fn find() -> Self {
        let node = node::prepare();
        if let Err(why) = &node {
            eprintln!("Socket.IO on Node is left out: {why}");
        }
        let redis = Process::output(Command::new("redis-server").arg("--version"));
        if let Err(why) = &redis {
            eprintln!("two nodes are left out: redis-server: {why}");
        }
        Self {
            cores: Cores::find(),
            node: node.ok(),
            has_redis: redis.is_ok(),
        }
    }

    /// Whether a server can be started here.
    pub fn has(&self, server: Server) -> bool {
        (self.node.is_some() || !server.is_node()) && (self.has_redis || !server.needs_redis())
    }

    /// What was compared, and on how many cores.
    pub fn about(&self) -> String {
        let node = self.node.as_deref().unwrap_or("no Socket.IO on Node");
        let cores = match self.cores.are_apart() {
            true => "one core for the server and one for the load",
            false => "one core for server and load",
        };
        let version = env!("CARGO_PKG_VERSION");
        format!("Switchboard {version}, {node}; {cores}")
    }
}
