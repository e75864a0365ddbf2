//! Options of the hub: limits of connections, users and addresses, presence, typing, recovery.

use std::time::Duration;

use crate::{
    model::{EventName, MAX_NAME_BYTES},
    options::{ByteSize, Problem, check_above_zero, section},
};

/// Minimum of `limits.memory`: a share of it must hold what one connection reads from the log at a time.
const MIN_MEMORY: usize = 8 << 20;

section! {
    /// How much a client may use; for rates and counts, 0 turns a limit off.
    pub struct LimitSettings at "limits" {
        /// Maximum size of a message's `data`.
        message_bytes: ByteSize = "64 KiB",
        /// Maximum length of a room name or user id, in bytes; 128 at most.
        name_bytes: usize = "128",
        /// Events a second that a connection may send in the long run; ephemeral events count half. A connection over its
        /// rate is read more slowly. 0 turns this off.
        messages_per_second: u32 = "50",
        /// Events that a connection may send at once; 0 turns this off.
        messages_burst: u32 = "100",
        /// Events a second that all connections of a user may send in the long run; 0 turns this off.
        user_messages_per_second: u32 = "200",
        /// Events that all connections of a user may send at once; 0 turns this off.
        user_messages_burst: u32 = "400",
        /// Packets without an event (pings, acks, fragments, dropped packets) a second that a connection may send in the
        /// long run. A connection over its rate is read more slowly. 0 turns this off.
        packets_per_second: u32 = "1000",
        /// Packets without an event that a connection may send at once; 0 turns this off.
        packets_burst: u32 = "10000",
        /// Rooms a second that a connection may join in the long run. Reading a room that it is not in counts as joining
        /// it; polls and REST requests of a user count together, as one more connection. 0 turns this off.
        joins_per_second: u32 = "20",
        /// Rooms that a connection may join at once; 0 turns this off.
        joins_burst: u32 = "200",
        /// Rooms a second that all connections and requests of a user may join or read in the long run; 0 turns this off.
        user_joins_per_second: u32 = "80",
        /// Rooms that all connections and requests of a user may join or read at once; 0 turns this off.
        user_joins_burst: u32 = "800",
        /// Deliveries a second, in the long run, of presence, status, typing and read markers of one user to the members
        /// of its rooms. Updates over the rate are delivered later, the newest of each kind. 0 turns this off.
        notices_per_second: u32 = "5000",
        /// Such deliveries at once; 0 turns this off.
        notices_burst: u32 = "20000",
        /// Maximum rooms of a connection; 0 turns this off.
        rooms_per_connection: usize = "200",
        /// How far a connection over its rates may fall behind. Beyond that its events are refused until it has caught
        /// up; 0 refuses them at once.
        backpressure: Duration = "20s",
        /// Memory for bytes in flight of all clients: request bodies, responses being read, messages in parts, and what
        /// is queued beyond a little. Half is for every client, the rest for those that hold less than a sixteenth. A
        /// client that gets none receives `unavailable`, or is not read for a while. 0 turns this off.
        memory: ByteSize = "256 MiB",
        /// Maximum connections to this node; 0 turns this off.
        connections: usize = "100000",
        /// New connections a second to this node in the long run; more are queued, those of one user (or, without a
        /// token, of one address) behind those of others. Refused requests do not count. 0 turns this off.
        connects_per_second: u32 = "1000",
        /// New connections to this node at once; 0 turns this off.
        connects_burst: u32 = "5000",
        /// Maximum time that a new connection is queued; one that would wait longer is told to retry later.
        connects_wait: Duration = "10s",
        /// Maximum handshakes in progress on this node: queued clients, and Socket.IO sessions that have not joined a
        /// namespace. Half is for every client, the rest for users (or addresses) that have less than a sixteenth. 0
        /// turns this off.
        handshakes: usize = "20000",
        /// Maximum TCP connections without a request: the head is incomplete, or the last response is sent. Beyond that
        /// the oldest connection of the address that has most is closed. 0 turns this off.
        idle_connections: usize = "10000",
        /// Requests a second without a valid token or key that one address (of IPv6, one /64) may send in the long run;
        /// more get 429. 0 turns this off.
        auth_failures_per_second: u32 = "10",
        /// Such requests at once; 0 turns this off.
        auth_failures_burst: u32 = "200",
        /// Log-ins to `/admin` with a wrong key a minute that one address (of IPv6, one /64) may try; 0 turns this off.
        logins_per_minute: u32 = "10",
        /// Maximum open streams of `/v1`: statistics, and rooms that are read along; 0 turns this off.
        api_streams: usize = "100",
        /// Maximum connections from one address, loopback excepted; 0 turns this off.
        connections_per_ip: usize = "1000",
        /// Maximum connections of one user; 0 turns this off.
        connections_per_user: usize = "100",
        /// Maximum events of a connection that are queued to be handled; past half of it the connection is not read.
        inbox: usize = "4096",
        /// Maximum bytes of events of a connection that are queued to be handled; past half of it the connection is not
        /// read, past all of it events are refused.
        inbox_bytes: ByteSize = "4 MiB",
        /// Size of a connection's send queue; a connection that is behind by more and reads nothing is closed as slow.
        outbox_bytes: ByteSize = "1 MiB",
        /// How long a connection with a non-empty send queue may read nothing before it is closed as slow.
        stall: Duration = "10s",
        /// Requests in a row that may be refused for their rate before the connection is closed; 0 turns this off.
        refusals: usize = "1000",
        /// Maximum pending signals of a connection; 0 turns this off.
        signals: usize = "100",
        /// Maximum bytes of replies held for the signals of a connection, but at least one reply; receivers whose replies
        /// are beyond that count as missing.
        signal_bytes: ByteSize = "256 KiB",
        /// Ephemeral events of which only the newest of each sender in a room matters, such as a cursor: it replaces
        /// older ones in the queue of a slow connection.
        newest: Vec<EventName> = "",
        /// Maximum depth of arrays and objects in an event.
        nesting: usize = "64",
    }
}

section! {
    /// How users are shown to others.
    pub struct PresenceSettings at "presence" {
        /// How long a user stays present after the last connection is gone, so that a reload causes no event.
        grace: Duration = "5s",
        /// How long users of a node that has died, or cannot reach Redis, stay present. A short lease costs more, and
        /// mistakes a slow node for a dead one.
        lease: Duration = "15s",
        /// Users of a room beyond which they are only counted: no events about single users. 0 is no limit.
        room_users: usize = "100",
        /// A user without any event for this time is shown as `away`.
        away_after: Option<Duration> = "",
    }
}

section! {
    /// How typing is shown to others.
    pub struct TypingSettings at "typing" {
        /// How long typing is shown after it was last announced.
        timeout: Duration = "3s",
        /// Maximum users of a room shown as typing at the same time. 0 is no limit.
        room_users: usize = "100",
    }
}

section! {
    /// Recovery of clients that come back.
    pub struct RecoverySettings at "recovery" {
        /// How long a session can be recovered after it ended; 0 turns recovery off.
        window: Duration = "2m",
        /// Connections that may read what they missed at the same time.
        at_once: usize = "64",
    }
}

impl RecoverySettings {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        check_above_zero(&["recovery.at_once"], &self.at_once, problems);
    }
}

impl PresenceSettings {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        if self.lease < Duration::from_secs(1) {
            problems.push(Problem::rule(&["presence.lease"], "must be at least 1s"));
        }
        // A lease that ends later was made when the clock of Redis was wrong, and counts for nothing.
        if self.lease > Duration::from_secs(3600) {
            problems.push(Problem::rule(&["presence.lease"], "must be at most 1h"));
        }
        if self
            .away_after
            .is_some_and(|after| after < Duration::from_millis(100))
        {
            problems.push(Problem::rule(
                &["presence.away_after"],
                "must be at least 100ms, or unset",
            ));
        }
    }
}

impl TypingSettings {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        check_above_zero(&["typing.timeout"], &self.timeout, problems);
    }
}

impl LimitSettings {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        check_above_zero(
            &["limits.message_bytes"],
            &self.message_bytes.bytes(),
            problems,
        );
        let memory = self.memory.bytes();
        if memory != 0 && memory < MIN_MEMORY {
            problems.push(Problem::rule(
                &["limits.memory"],
                "must be at least 8 MiB, or 0 for no limit",
            ));
        }
        if !(1..=MAX_NAME_BYTES).contains(&self.name_bytes) {
            problems.push(Problem::rule(
                &["limits.name_bytes"],
                format!(
                    "{} is not a valid length: expected 1 to {MAX_NAME_BYTES}",
                    self.name_bytes
                ),
            ));
        }
        check_above_zero(&["limits.inbox"], &self.inbox, problems);
        check_above_zero(
            &["limits.outbox_bytes"],
            &self.outbox_bytes.bytes(),
            problems,
        );
        check_above_zero(&["limits.stall"], &self.stall, problems);
        check_above_zero(&["limits.nesting"], &self.nesting, problems);
        burst(
            &["limits.messages_burst", "limits.messages_per_second"],
            self.messages_burst,
            self.messages_per_second,
            problems,
        );
        burst(
            &[
                "limits.user_messages_burst",
                "limits.user_messages_per_second",
            ],
            self.user_messages_burst,
            self.user_messages_per_second,
            problems,
        );
        burst(
            &["limits.packets_burst", "limits.packets_per_second"],
            self.packets_burst,
            self.packets_per_second,
            problems,
        );
        burst(
            &["limits.connects_burst", "limits.connects_per_second"],
            self.connects_burst,
            self.connects_per_second,
            problems,
        );
        burst(
            &[
                "limits.auth_failures_burst",
                "limits.auth_failures_per_second",
            ],
            self.auth_failures_burst,
            self.auth_failures_per_second,
            problems,
        );
        burst(
            &["limits.joins_burst", "limits.joins_per_second"],
            self.joins_burst,
            self.joins_per_second,
            problems,
        );
        burst(
            &["limits.user_joins_burst", "limits.user_joins_per_second"],
            self.user_joins_burst,
            self.user_joins_per_second,
            problems,
        );
        burst(
            &["limits.notices_burst", "limits.notices_per_second"],
            self.notices_burst,
            self.notices_per_second,
            problems,
        );
    }
}

fn burst(options: &'static [&'static str], burst: u32, rate: u32, problems: &mut Vec<Problem>) {
    if burst != 0 && burst < rate {
        problems.push(Problem::rule(
            options,
            format!("a burst of {burst} is less than {rate} a second; make it at least as much"),
        ));
    }
}
