//! What can be set about limits: how much one connection, one user or one address may ask for.

use std::time::Duration;

use crate::{
    model::{EventName, MAX_NAME_BYTES},
    options::{ByteSize, Problem, check_above_zero, section},
};

/// The least budget of bytes in flight: a share of it has to hold what one connection reads of the log at a time.
const LEAST_MEMORY: usize = 8 << 20;

section! {
    /// How much anybody may ask for; for rates and counts 0 turns a limit off.
    pub struct LimitSettings at "limits" {
        /// Largest `data` of a message.
        message_bytes: ByteSize = "64 KiB",
        /// Longest room name or user id, in bytes; 128 at most.
        name_bytes: usize = "128",
        /// Events that a connection may send a second, for long; those that are not kept count half. One that sends more is
        /// read more slowly. 0 turns this off.
        messages_per_second: u32 = "50",
        /// Events that a connection may send at once after a rest; 0 turns this off.
        messages_burst: u32 = "100",
        /// Events that all connections of a user may send a second, for long; 0 turns this off.
        user_messages_per_second: u32 = "200",
        /// Events that all connections of a user may send at once after a rest; 0 turns this off.
        user_messages_burst: u32 = "400",
        /// Packets without an event (pings, acks, fragments, what is dropped) that a connection may send a second, for long.
        /// One that sends more is read more slowly. 0 turns this off.
        packets_per_second: u32 = "1000",
        /// Packets without an event that a connection may send at once after a rest; 0 turns this off.
        packets_burst: u32 = "10000",
        /// Rooms that a connection may join a second, for long. Reading a room that it is not in counts as joining it; event
        /// Rooms that a connection may join a second, for long. Reading a room that it is not in counts as joining it; polls and REST
        /// count together, as one more connection of their user. 0 turns this off.
        joins_per_second: u32 = "20",
        /// Rooms that a connection may join at once after a rest; 0 turns this off.
        joins_burst: u32 = "200",
        /// Rooms that all connections and requests of a user may join or read a second, for long; 0 turns this off.
        user_joins_per_second: u32 = "80",
        /// Rooms that all connections and requests of a user may join or read at once after a rest; 0 turns this off.
        user_joins_burst: u32 = "800",
        /// Deliveries a second, for long, of what a user shows of itself to the members of its rooms: status, coming and going,
        /// typing, read markers. What is over that is told later, and of several things the newest. 0 turns this off.
        notices_per_second: u32 = "5000",
        /// Such deliveries at once after a rest; 0 turns this off.
        notices_burst: u32 = "20000",
        /// Rooms that a connection may be in; 0 turns this off.
        rooms_per_connection: usize = "200",
        /// How long a connection may be behind with what it has sent, by its rates. What it sends over its rates after that
        /// is refused, until it has caught up; 0 refuses it at once.
        backpressure: Duration = "20s",
        /// Bytes in flight that this node holds for its clients: bodies that arrive, answers that are taken, messages in
        /// parts, what waits in queues beyond a little. Half is for everybody, the rest for those who hold less than a
        /// sixteenth; who gets none is answered `unavailable`, or not read for a while. 0 turns this off.
        memory: ByteSize = "256 MiB",
        /// Connections to this node; 0 turns this off.
        connections: usize = "100000",
        /// New connections to this node a second, for long; more wait for their turn, and behind those of others if they are one
        /// user's, or one address's as long as no token says whose. Requests that are refused do not count. 0 turns this off.
        connects_per_second: u32 = "1000",
        /// New connections to this node at once after a rest; 0 turns this off.
        connects_burst: u32 = "5000",
        /// How long a new connection may wait for its turn; one that would wait longer is asked to come back later.
        connects_wait: Duration = "10s",
        /// Handshakes that may be under way at this node: clients that wait for their turn, and Socket.IO sessions whose client
        /// has not joined a namespace. Half of them is there for everybody, the rest for addresses (or users, known by their
        /// token) that have less than a sixteenth. 0 turns this off.
        handshakes: usize = "20000",
        /// TCP connections without a request that this node keeps: no whole head has come, or the last answer is out. Where there
        /// are more, the oldest of the address that has most of them is closed. 0 turns this off.
        idle_connections: usize = "10000",
        /// Requests of one address (of IPv6, one /64) that may come without a good token or key a second, for long; more are
        /// answered 429. 0 turns this off.
        auth_failures_per_second: u32 = "10",
        /// Such requests at once after a rest; 0 turns this off.
        auth_failures_burst: u32 = "200",
        /// Connections from one address, those from this machine not counted; 0 turns this off.
        connections_per_ip: usize = "1000",
        /// Connections of one user; 0 turns this off.
        connections_per_user: usize = "100",
        /// Events of one connection that may wait to be handled; past half of them it is not read any further.
        inbox: usize = "4096",
        /// Bytes of the events of one connection that may wait to be handled; past half of them it is not read any
        /// further, and past all of them events are refused.
        inbox_bytes: ByteSize = "4 MiB",
        /// Bytes that may wait for one connection; one that is behind by more and takes nothing is closed as slow.
        outbox_bytes: ByteSize = "1 MiB",
        /// How long a connection for which something waits may take nothing, before it is closed as slow.
        stall: Duration = "10s",
        /// Requests in a row that may be refused for their rate before the connection is closed; 0 turns this off.
        refusals: usize = "1000",
        /// Signals of one connection that wait for an answer; 0 turns this off.
        signals: usize = "100",
        /// Bytes of answers that are held for the signals of one connection, at least one answer's; receivers whose answers
        /// are more count as missing.
        signal_bytes: ByteSize = "256 KiB",
        /// Ephemeral events of which only the newest that a sender has in a room counts, such as a cursor's place: it
        /// takes the place of older ones that a slow connection has not been given.
        newest: Vec<EventName> = "",
        /// Levels of arrays and objects in an event.
        nesting: usize = "64",
    }
}

section! {
    /// How users are shown to others.
    pub struct PresenceSettings at "presence" {
        /// How long a user stays after its last connection has gone, so that a reload is no news.
        grace: Duration = "5s",
        /// How long the users of a node stay that has died or cannot reach Redis. Short ones cost more, and mistake a
        /// node that was only slow for dead.
        lease: Duration = "15s",
        /// Users of a room beyond which they are only counted: no event tells of single ones. 0 is no limit.
        room_users: usize = "100",
        /// After this time without any event a user is shown as `away`.
        away_after: Option<Duration> = "",
    }
}

section! {
    /// How typing is shown to others.
    pub struct TypingSettings at "typing" {
        /// How long somebody is typing who says so once.
        timeout: Duration = "3s",
        /// Users of a room who can be typing at once; more are not told of. 0 is no limit.
        room_users: usize = "100",
    }
}

section! {
    /// How clients that come back are given what they missed.
    pub struct RecoverySettings at "recovery" {
        /// How long after its end a session can be resumed; 0 turns recovery off.
        window: Duration = "2m",
        /// Connections that may read at the same time what they have missed.
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
        if self
            .away_after
            .is_some_and(|after| after < Duration::from_millis(100))
        {
            problems.push(Problem::rule(
                &["presence.away_after"],
                "must be at least 100ms, or nothing at all",
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
        if memory != 0 && memory < LEAST_MEMORY {
            problems.push(Problem::rule(
                &["limits.memory"],
                "must be at least 8 MiB, or 0 for no limit",
            ));
        }
        if !(1..=MAX_NAME_BYTES).contains(&self.name_bytes) {
            problems.push(Problem::rule(
                &["limits.name_bytes"],
                format!(
                    "{} is no length of a name: expected 1 to {MAX_NAME_BYTES}",
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
