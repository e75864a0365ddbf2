//! The loads, and the lines of the table that are read from each.

use super::{
    servers::Server::{self, *},
    support::{loading::Report, process::Result},
};

/// A load that each of some servers gets.
pub struct Load {
    options: &'static str,
    /// How long it is measured.
    duration: &'static str,
    pub servers: &'static [Server],
    pub lines: &'static [Line],
}

impl Load {
    /// The options of `switchboard load` for a server.
    pub fn options(&self, server: Server) -> Vec<&'static str> {
        let course = ["--warm-up", "500ms", "--duration", self.duration];
        let mut options = Vec::from(course);
        options.extend(self.options.split_whitespace());
        options.extend(["--transport", server.transport()]);
        if !server.is_switchboard() {
            options.extend(PLAIN);
        }
        options
    }
}

/// The events of servers that are not Switchboard, which are Switchboard's.
const PLAIN: &[&str] = &["--target", "socket.io", "--acks"];

/// What is compared.
pub struct Line {
    /// Selects it on the command line.
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub better: Better,
    /// A pointer into the report of `switchboard load`, and what its value is divided by.
    value: (&'static str, f64),
    /// Servers that do not store are shown, but are not compared.
    pub is_durable: bool,
}

/// Which values are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
}

impl Better {
    pub fn text(self) -> &'static str {
        match self {
            Self::Lower => "less is better",
            Self::Higher => "more is better",
        }
    }
}

impl Line {
    /// Its value in a report.
    pub fn read(&self, report: &Report) -> Result<f64> {
        let (pointer, divisor) = self.value;
        Ok(report.number(pointer)? / divisor)
    }
}

const ALL: &[Server] = &[Memory, Normal, Bare, Node, NodeRecovery, Floor];
const ALL_AND_FULL: &[Server] = &[Memory, Normal, Full, Bare, Node, NodeRecovery, Floor];
const ALL_TRANSPORTS: &[Server] = &[
    Memory,
    WebSocket,
    EventStream,
    Normal,
    Bare,
    Node,
    NodeRecovery,
    Floor,
];
const THAT_RECOVER: &[Server] = &[Memory, Normal, NodeRecovery];

/// All loads, in their order.
pub const LOADS: &[Load] = &[
    Load {
        options: "--connections 1000 --until delivered",
        duration: "2s",
        servers: ALL,
        lines: &[deliveries(
            "room-1000",
            "Room of 1,000, one message in flight",
        )],
    },
    Load {
        options: "--connections 1000 --until delivered --in-flight 8",
        duration: "2s",
        servers: ALL,
        lines: &[deliveries("room-1000-8", "Room of 1,000, eight in flight")],
    },
    Load {
        options: "--connections 5000 --until delivered",
        duration: "2s",
        servers: ALL,
        lines: &[deliveries("room-5000", "Room of 5,000, one in flight")],
    },
    Load {
        options: "--connections 10000 --rooms 1000 --senders 64 --until delivered",
        duration: "2s",
        servers: ALL,
        lines: &[deliveries(
            "rooms",
            "1,000 rooms of 10, 64 in flight in all",
        )],
    },
    Load {
        options: "--connections 50 --rooms 50",
        duration: "2s",
        servers: ALL_AND_FULL,
        lines: &[
            Line {
                name: "ack",
                title: "Message and its ack, 50 clients with one in flight each",
                unit: "CPU µs a message",
                better: Better::Lower,
                value: ("/server/cpu_us_per_message", 1.0),
                is_durable: false,
            },
            Line {
                name: "durable",
                title: "Durable messages, 50 clients with one in flight each",
                unit: "messages a second",
                better: Better::Higher,
                value: ("/messages/per_second", 1.0),
                is_durable: true,
            },
        ],
    },
    Load {
        options: "--connections 2000 --rooms 200 --idle",
        duration: "2s",
        servers: ALL_TRANSPORTS,
        lines: &[
            Line {
                name: "idle",
                title: "Memory of an idle connection in a room of 10",
                unit: "kB resident",
                better: Better::Lower,
                value: ("/server/memory_per_connection_bytes", 1000.0),
                is_durable: false,
            },
            Line {
                name: "connects",
                title: "Connects until joined, 100 at a time",
                unit: "connects a second",
                better: Better::Higher,
                value: ("/connect/per_second", 1.0),
                is_durable: false,
            },
        ],
    },
    Load {
        // Everybody has received something before the cut: without that Socket.IO's server recovers nobody. Stock clients wait for 20 s.
        options: "--connections 2000 --rooms 200 --rate 200 --storm 1s --connect-timeout 20s",
        duration: "1900ms",
        servers: THAT_RECOVER,
        lines: &[Line {
            name: "recovery",
            title: "2,000 clients that are cut at once, until all are back",
            unit: "seconds",
            better: Better::Lower,
            value: ("/faults/storms_ms/0", 1000.0),
            is_durable: false,
        }],
    },
    Load {
        options: "--connections 1000 --until delivered",
        duration: "2s",
        servers: &[TwoNodes, TwoNodesOfNode],
        lines: &[deliveries(
            "nodes",
            "Room of 1,000 on two nodes over Redis, half on each",
        )],
    },
];

const fn deliveries(name: &'static str, title: &'static str) -> Line {
    Line {
        name,
        title,
        unit: "CPU µs a delivery",
        better: Better::Lower,
        value: ("/server/cpu_us_per_delivery", 1.0),
        is_durable: false,
    }
}
