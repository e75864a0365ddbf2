//! Work of the command that takes long: what is shown of it, in a terminal and elsewhere, and what is left when it is interrupted,
//! killed, or the disk is full. `SWITCHBOARD_LONG=1` does it with a log that takes seconds, and kills more often.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod compact;
mod log_file;
mod migrate;
mod run;

use std::env;

/// Whether there is time for a log of millions of messages.
fn is_long() -> bool {
    env::var("SWITCHBOARD_LONG").is_ok_and(|long| long == "1")
}
