//! The scripts that Redis runs, and how they are called.

use std::sync::LazyLock;

use redis::Cmd;

macro_rules! script {
    ($($name:ident = $($file:literal),+;)*) => {
        $(
            static $name: LazyLock<redis::Script> =
                LazyLock::new(|| redis::Script::new(concat!($(include_str!(concat!("lua/", $file))),+)));
        )*

        /// Every script, to be loaded when a connection begins or Redis has lost them.
        pub(super) fn load() -> Vec<Cmd> {
            const CODE: &[&str] = &[$(concat!($(include_str!(concat!("lua/", $file))),+)),*];
            let load = |code: &&str| redis::cmd("SCRIPT").arg("LOAD").arg(*code).clone();
            CODE.iter().map(load).collect()
        }
    };
}

script! {
    APPEND = "room.lua", "epoch.lua", "offset.lua", "append.lua";
    READ = "room.lua", "epoch.lua", "read.lua";
    END = "room.lua", "epoch.lua", "end.lua";
    MISSED = "room.lua", "missed.lua";
    MARK = "room.lua", "mark.lua";
    SWEEP = "room.lua", "sweep.lua";
    SESSION = "session.lua";
    RAISE = "epoch.lua", "offset.lua", "raise.lua";
    IDENTITY = "identity.lua";
    NOTE = "roster.lua", "note.lua";
    GONE = "roster.lua", "gone.lua";
    PRESENT = "present.lua";
    LEASE = "lease.lua";
    RELEASE = "release.lua";
    PROBE = "probe.lua";
}

fn call(script: &redis::Script, keys: &[&str]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len()).arg(keys);
    command
}

pub(super) fn append(keys: [&str; 8]) -> Cmd {
    call(&APPEND, &keys)
}

pub(super) fn read(keys: [&str; 5]) -> Cmd {
    call(&READ, &keys)
}

pub(super) fn missed(keys: [&str; 2]) -> Cmd {
    call(&MISSED, &keys)
}

pub(super) fn mark(keys: [&str; 4]) -> Cmd {
    call(&MARK, &keys)
}

pub(super) fn sweep(keys: [&str; 6]) -> Cmd {
    call(&SWEEP, &keys)
}

pub(super) fn session(keys: [&str; 5]) -> Cmd {
    call(&SESSION, &keys)
}

/// Of a lane's counter and incarnation, and of the channel on which to say it, if any.
pub(super) fn raise(keys: &[&str]) -> Cmd {
    call(&RAISE, keys)
}

pub(super) fn identity(keys: [&str; 2]) -> Cmd {
    call(&IDENTITY, &keys)
}

pub(super) fn end(keys: [&str; 4]) -> Cmd {
    call(&END, &keys)
}

pub(super) fn note(keys: [&str; 6]) -> Cmd {
    call(&NOTE, &keys)
}

pub(super) fn gone(keys: [&str; 5]) -> Cmd {
    call(&GONE, &keys)
}

pub(super) fn present(here: &str) -> Cmd {
    call(&PRESENT, &[here])
}

pub(super) fn lease(leases: &str) -> Cmd {
    call(&LEASE, &[leases])
}

pub(super) fn release(leases: &str) -> Cmd {
    call(&RELEASE, &[leases])
}

pub(super) fn probe(keys: [&str; 11]) -> Cmd {
    call(&PROBE, &keys)
}
