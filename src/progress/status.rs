//! How far a task is, and the words for it. Pure.

use std::{sync::Arc, time::Duration};

/// What a task counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Rows of a table.
    Rows,
    /// Bytes of a file.
    Bytes,
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// What is done, such as "compacting the log".
    pub what: Arc<str>,
    /// What `done` and `total` count.
    pub unit: Unit,
    /// How much is done, at most `total`.
    pub done: u64,
    /// How much there is to do; `None` if nobody knows.
    pub total: Option<u64>,
    /// Since when it has been going on.
    pub elapsed: Duration,
    /// How long it still takes, at the rate of the last seconds; `None` if that cannot be told.
    pub left: Option<Duration>,
}

impl Status {
    /// The part that is done, in whole percent: 100 only once all of it is.
    pub fn percent(&self) -> Option<u64> {
        let total = self.total.filter(|total| *total > 0)?;
        let percent = u128::from(self.done) * 100 / u128::from(total);
        u64::try_from(percent).ok()
    }

    /// `1.2 of 2.1 million rows, 12 s left`, or how long it has taken where the total is unknown.
    pub fn amount(&self) -> String {
        let Some(total) = self.total else {
            return duration(self.elapsed);
        };
        let mut text = part(self.unit, self.done, total);
        if let Some(left) = self.left {
            text += &format!(", {} left", duration(left));
        }
        text
    }

    /// A line for a log: `compacting the log: 58 %, 1.2 of 2.1 GiB, 12 s left`.
    pub fn line(&self) -> String {
        match self.percent() {
            Some(percent) => format!("{}: {percent} %, {}", self.what, self.amount()),
            None => format!("{}: {}", self.what, self.amount()),
        }
    }

    /// The line for its end: `compacting the log: done, 2.1 GiB in 14 s`.
    pub fn end_line(&self) -> String {
        let took = duration(self.elapsed);
        match self.total {
            Some(total) => format!("{}: done, {} in {took}", self.what, whole(self.unit, total)),
            None => format!("{}: done in {took}", self.what),
        }
    }
}

/// `1.2 of 2.1 GiB`: both numbers in the unit that fits the second.
fn part(unit: Unit, done: u64, total: u64) -> String {
    match unit {
        Unit::Bytes => {
            let (scale, name) = byte_scale(total);
            format!("{} of {} {name}", scaled(done, scale), scaled(total, scale))
        }
        Unit::Rows if total >= MILLION => format!(
            "{} of {} million rows",
            scaled(done, MILLION),
            scaled(total, MILLION)
        ),
        Unit::Rows => format!("{} of {} rows", count(done), count(total)),
    }
}

fn whole(unit: Unit, total: u64) -> String {
    match unit {
        Unit::Bytes => bytes(total),
        Unit::Rows if total == 1 => "1 row".to_owned(),
        Unit::Rows => format!("{} rows", count(total)),
    }
}

const MILLION: u64 = 1_000_000;

/// A size for people: `512 bytes`, `1.2 MiB`, `34 GiB`.
pub fn bytes(size: u64) -> String {
    let (scale, name) = byte_scale(size);
    format!("{} {name}", scaled(size, scale))
}

fn byte_scale(size: u64) -> (u64, &'static str) {
    let scales = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    let fitting = scales.into_iter().find(|(scale, _)| size >= *scale);
    fitting.unwrap_or((1, "bytes"))
}

/// A number in units of `scale`: with one decimal below 100, cut off, so that nothing looks complete before it is.
fn scaled(number: u64, scale: u64) -> String {
    let (whole, rest) = (number / scale, number % scale);
    if scale == 1 || whole >= 100 {
        return whole.to_string();
    }
    let tenth = u128::from(rest) * 10 / u128::from(scale);
    format!("{whole}.{tenth}")
}

/// A count for people: `12,345`, `2.1 million`.
pub fn count(number: u64) -> String {
    if number >= MILLION {
        return format!("{} million", scaled(number, MILLION));
    }
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{thousands},{:03}", number % 1000),
    }
}

/// A time for people: `12 s`, `3 min 20 s`, `2 h 5 min`. Less than a second is a part of one.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if time < Duration::from_secs(1) {
        return format!("0.{} s", time.subsec_millis() / 100);
    }
    if hours > 0 {
        return format!("{hours} h {minutes} min");
    }
    if minutes > 0 {
        return format!("{minutes} min {} s", seconds % 60);
    }
    format!("{seconds} s")
}
