//! Whether the log is still the one that nodes knew, for a node that starts and knows nothing itself.
//!
//! A node that runs notices by itself if Redis has lost something. Redis may be put back to older data while none does. So nodes
//! note which process of Redis they found as they knew it, and where the log was when they stopped in order. A node that starts and
//! finds a process that has begun since waits for the nodes that run, if there are any; where nobody knows, the log begins its next
//! incarnation: that nothing was lost cannot be shown.

use std::time::Duration;

use redis::Cmd;
use tokio::time::Instant;

use super::{
    Reads, begin_life,
    keys::{Keys, Part},
    line::{self, Lost},
    scripts,
};
use crate::{error::Result, model::Epoch};

/// How soon is asked again whether another node has looked.
const PAUSE: Duration = Duration::from_millis(100);

/// A process of Redis.
#[derive(Default)]
struct Process {
    /// Empty if it does not say.
    name: String,
    uptime: Duration,
}

/// The lanes, and whether each has a log already.
pub(super) async fn with_a_log(
    keys: &Keys,
    reads: &Reads,
    lanes: impl Iterator<Item = Part>,
) -> Result<Vec<(Part, bool)>> {
    let mut known = Vec::new();
    for lane in lanes {
        let mut look = redis::cmd("HEXISTS");
        look.arg(keys.incarnation(lane)).arg("secret");
        let has_log = line::read_as(reads.of(lane).ask(look).await?)?;
        known.push((lane, has_log));
    }
    Ok(known)
}

/// Finds out whether the log in these lanes is one that something may be lost of; then its next incarnation begins. With each lane:
/// whether its log was said to be another one. Waits for nodes that run, no longer than `patience`.
pub(super) async fn settle(
    keys: &Keys,
    reads: &Reads,
    lanes: Vec<(Part, bool)>,
    patience: Duration,
) -> Result<()> {
    let (mut lost, began) = (false, Instant::now());
    for (lane, other) in lanes {
        loop {
            let mut answers = reads.of(lane).run(&[info()], Lost::Repeat).await?;
            let info = answers.pop().unwrap_or_default();
            let info: String = line::read_as(info).unwrap_or_default();
            let process = process(&info);
            let alone = began.elapsed() > patience || is_alone(keys, reads).await?;
            let mut ask = scripts::identity([&keys.offset(lane), &keys.incarnation(lane)]);
            ask.arg(process.name)
                .arg(process.uptime.as_millis().to_string())
                .arg(Epoch::fresh().as_str())
                .arg(u8::from(alone))
                .arg(u8::from(other));
            let answer: String = line::read_as(reads.of(lane).ask(ask).await?)?;
            lost |= answer == "lost";
            if answer != "wait" {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    if lost {
        tracing::warn!(
            "Redis was restarted, or given other data, while no node ran that knew what it had: the log begins another incarnation, and \
             clients begin anew"
        );
        begin_life(keys, reads.of(Part::FIRST)).await?;
    }
    Ok(())
}

/// What a node that knows the lane notes of the process that has it: it has lost nothing. `None` if it does not say which it is.
pub(super) fn vouch(keys: &Keys, lane: Part, info: &str, now: u64) -> Option<Cmd> {
    let process = process(info);
    let mut note = redis::cmd("HSET");
    note.arg(keys.incarnation(lane))
        .arg("server")
        .arg(&process.name)
        .arg("at")
        .arg(now);
    (!process.name.is_empty()).then_some(note)
}

/// Notes where a lane is when a node stops in order.
pub(super) async fn note_stop(keys: &Keys, reads: &Reads, lane: Part) -> Result<()> {
    let mut look = redis::cmd("GET");
    look.arg(keys.offset(lane));
    let offset: Option<u64> = line::read_as(reads.of(lane).ask(look).await?)?;
    let mut note = redis::cmd("HSET");
    note.arg(keys.incarnation(lane))
        .arg("closed")
        .arg(offset.unwrap_or(0));
    reads.of(lane).ask(note).await.map(|_| ())
}

/// Asks which process it is, and since when; some that is run for others does not answer that.
pub(super) fn info() -> Cmd {
    let mut info = redis::cmd("INFO");
    info.arg("server");
    info
}

fn process(info: &str) -> Process {
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    };
    let seconds = field("uptime_in_seconds:").and_then(|text| text.parse().ok());
    match (field("run_id:"), seconds) {
        (Some(name), Some(seconds)) => Process {
            name,
            uptime: Duration::from_secs(seconds),
        },
        _ => Process::default(),
    }
}

/// Whether no node has a lease now, by Redis's clock.
async fn is_alone(keys: &Keys, reads: &Reads) -> Result<bool> {
    let mut last = redis::cmd("ZRANGE");
    last.arg(keys.leases()).arg(-1).arg(-1).arg("WITHSCORES");
    let answers = reads
        .of(Part::FIRST)
        .run(&[redis::cmd("TIME"), last], Lost::Repeat)
        .await?;
    let [time, last] = <[_; 2]>::try_from(answers).unwrap_or_default();
    let (seconds, micros): (u64, u64) = line::read_as(time)?;
    let last: Vec<(String, f64)> = line::read_as(last)?;
    let now = (seconds * 1000 + micros / 1000) as f64;
    Ok(last.first().is_none_or(|(_, end)| *end < now))
}
