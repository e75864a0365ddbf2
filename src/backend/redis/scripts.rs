//! The Lua scripts, and the commands that call them. `docs/redis.md` describes each.

use std::{sync::LazyLock, time::Duration};

use redis::Cmd;

use super::keys::{Keys, Partition};
use crate::model::RoomName;

macro_rules! script {
    ($($name:ident = $($file:literal),+;)*) => {
        $(
            static $name: LazyLock<redis::Script> =
                LazyLock::new(|| redis::Script::new(concat!($(include_str!(concat!("lua/", $file))),+)));
        )*

        /// Loads every script: sent on each new connection, and when Redis no longer has one.
        pub(super) fn load() -> Vec<Cmd> {
            const CODE: &[&str] = &[$(concat!($(include_str!(concat!("lua/", $file))),+)),*];
            let load = |code: &&str| redis::cmd("SCRIPT").arg("LOAD").arg(*code).clone();
            CODE.iter().map(load).collect()
        }
    };
}

script! {
    APPEND = "room.lua", "epoch.lua", "clock.lua", "outbox.lua", "append.lua";
    READ = "room.lua", "epoch.lua", "read.lua";
    ROOM_END = "room.lua", "epoch.lua", "room_end.lua";
    MISSED = "room.lua", "missed.lua";
    READ_MARKER = "room.lua", "read_marker.lua";
    TRIM = "room.lua", "trim.lua";
    SESSION = "session.lua";
    RAISE = "epoch.lua", "clock.lua", "raise.lua";
    STARTUP_CHECK = "startup_check.lua";
    ROSTER_UPDATE = "roster.lua", "roster_update.lua";
    ROSTER_REMOVE = "roster.lua", "roster_remove.lua";
    ROSTER_READ = "roster_read.lua";
    LEASE = "lease.lua";
    RELEASE = "release.lua";
    MEMBERS_UPDATE = "outbox.lua", "members.lua", "members_update.lua";
    MEMBERS_REMOVE = "outbox.lua", "members.lua", "members_remove.lua";
    OUTBOX_READ = "outbox.lua", "outbox_read.lua";
    OUTBOX_MESSAGES = "outbox_messages.lua";
    ENDPOINT = "endpoint.lua";
    DOCUMENT = "document.lua";
    DOCUMENTS_TELL = "outbox.lua", "documents_tell.lua";
    PROBE = "probe.lua";
}

fn call(script: &redis::Script, keys: &[&str]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len()).arg(keys);
    command
}

pub(super) fn append(keys: [&str; 9]) -> Cmd {
    call(&APPEND, &keys)
}

pub(super) fn read(keys: [&str; 5]) -> Cmd {
    call(&READ, &keys)
}

pub(super) fn room_end(keys: [&str; 4]) -> Cmd {
    call(&ROOM_END, &keys)
}

pub(super) fn missed(keys: [&str; 2]) -> Cmd {
    call(&MISSED, &keys)
}

pub(super) fn advance_read_marker(keys: [&str; 4]) -> Cmd {
    call(&READ_MARKER, &keys)
}

pub(super) fn trim(keys: [&str; 6]) -> Cmd {
    call(&TRIM, &keys)
}

/// Reads or changes the sessions of a partition: a verb and its arguments.
pub(super) fn session(keys: &Keys, partition: Partition, arguments: &[&str]) -> Cmd {
    let keys = [
        &*keys.sessions(partition),
        &keys.ended(partition),
        &keys.users(partition),
        &keys.owned(partition),
        &keys.nodes(partition),
    ];
    let mut command = call(&SESSION, &keys);
    command.arg(arguments);
    command
}

/// `keys`: the shard's counter, its incarnation and, to have a barrier published, the channel.
pub(super) fn raise(keys: &[&str]) -> Cmd {
    call(&RAISE, keys)
}

pub(super) fn check_at_startup(keys: [&str; 2]) -> Cmd {
    call(&STARTUP_CHECK, &keys)
}

pub(super) fn update_roster(keys: [&str; 6]) -> Cmd {
    call(&ROSTER_UPDATE, &keys)
}

pub(super) fn remove_from_roster(keys: [&str; 5]) -> Cmd {
    call(&ROSTER_REMOVE, &keys)
}

pub(super) fn read_roster(here: &str) -> Cmd {
    call(&ROSTER_READ, &[here])
}

pub(super) fn renew_lease(leases: &str) -> Cmd {
    call(&LEASE, &[leases])
}

pub(super) fn release_lease(leases: &str) -> Cmd {
    call(&RELEASE, &[leases])
}

pub(super) fn update_members(keys: [&str; 5]) -> Cmd {
    call(&MEMBERS_UPDATE, &keys)
}

pub(super) fn remove_members(keys: [&str; 4]) -> Cmd {
    call(&MEMBERS_REMOVE, &keys)
}

pub(super) fn read_outbox(keys: [&str; 2]) -> Cmd {
    call(&OUTBOX_READ, &keys)
}

/// `keys`: for each message those of its room.
pub(super) fn read_outbox_messages(keys: &[&str]) -> Cmd {
    call(&OUTBOX_MESSAGES, keys)
}

pub(super) fn endpoint(endpoint: &str) -> Cmd {
    call(&ENDPOINT, &[endpoint])
}

/// Reads or changes a document of a shard: a verb, its name, and the verb's arguments.
pub(super) fn document(keys: &Keys, shard: Partition, document: &RoomName, verb: &str) -> Cmd {
    let keys = [
        &*keys.document(document),
        &keys.document_updates(document),
        &keys.document_snapshot(document),
        &keys.documents(Partition::of_document(document)),
        &keys.untold_documents(shard),
    ];
    let mut command = call(&DOCUMENT, &keys);
    command.arg(verb).arg(document.as_str());
    command
}

pub(super) fn tell_documents(keys: [&str; 3]) -> Cmd {
    call(&DOCUMENTS_TELL, &keys)
}

pub(super) fn probe(keys: [&str; 12]) -> Cmd {
    call(&PROBE, &keys)
}

/// The largest integer that a double holds exactly: numbers in Lua are doubles.
pub(super) const MAX_INTEGER: u64 = 1 << 53;

/// A number as a script argument: at most the largest that a script reads without loss.
pub(super) fn number(number: u64) -> u64 {
    number.min(MAX_INTEGER)
}

/// A duration in milliseconds as a script argument: added to the time of day it is still read without loss.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis())
        .unwrap_or(u64::MAX)
        .min(MAX_INTEGER / 2)
}
