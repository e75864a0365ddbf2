//! What `switchboard load` says while it runs: a line in the terminal, or now and then a line of its own.

use std::time::{Duration, Instant};

use crate::{
    cli::terminal,
    load::{Totals, Watcher},
    progress::count,
};

/// The time between two lines where nobody looks at a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Follows a load from look to look.
#[derive(Default)]
pub(super) struct ProgressLine {
    last: Option<(Instant, Totals)>,
    last_line: Option<Instant>,
}

impl ProgressLine {
    /// Makes room for the report.
    pub(super) fn end(&self) {
        terminal::erase();
    }

    /// What happened since the last look, and how it stands.
    fn line(&mut self, doing: &str, totals: &Totals, now: Instant) -> String {
        let (then, before) = self.last.replace((now, *totals)).unwrap_or((now, *totals));
        let seconds = now.duration_since(then).as_secs_f64().max(1e-3);
        let since = totals.since(&before);
        let each_second = |number: u64| count((number as f64 / seconds) as u64);
        let mut text = format!("{doing}: {} connected", count(totals.connected()));
        if since.joined > 0 {
            text += &format!(", {} joined a second", each_second(since.joined));
        }
        if totals.sent > 0 {
            text += &format!(
                ", {} messages and {} deliveries a second",
                each_second(since.sent),
                each_second(since.deliveries)
            );
        }
        for (number, what) in [
            (totals.failed_connects, "failed connects"),
            (totals.cut + totals.dropped, "connections lost"),
            (totals.recovered, "recovered"),
            (totals.repeats, "REPEATED"),
            (totals.disorder, "OUT OF ORDER"),
        ] {
            if number > 0 {
                text += &format!(", {} {what}", count(number));
            }
        }
        text
    }
}

impl Watcher for ProgressLine {
    fn progress(&mut self, doing: &str, totals: &Totals) {
        let now = Instant::now();
        let line = self.line(doing, totals, now);
        if terminal::can_redraw() {
            return terminal::draw_text(line);
        }
        let began = *self.last_line.get_or_insert(now);
        if now.duration_since(began) >= LINE_INTERVAL {
            self.last_line = Some(now);
            eprintln!("{line}");
        }
    }

    fn warn(&mut self, text: &str) {
        terminal::erase();
        eprintln!("warning: {text}");
    }
}

#[cfg(test)]
mod tests;
