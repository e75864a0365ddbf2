//! Progress in a terminal: one line below the log that is drawn again and again, and gone at the end.

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use crate::progress::{Look, ProgressView, Status};

/// How many parts the bar has.
const BAR: u64 = 12;

/// The width where the terminal does not say.
const WIDTH: usize = 80;

/// To the beginning of the line, and what is right of the cursor erased.
const ERASE: &str = "\r\x1b[K";

/// Whether a line of progress is on the screen. Changed only by those who hold the lock of standard error.
static DRAWN: AtomicBool = AtomicBool::new(false);

/// Whether standard error is a terminal that can draw a line again.
pub(super) fn can_redraw() -> bool {
    let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stderr().is_terminal() && !is_dumb
}

/// Whether the log is written in colors: <https://no-color.org>.
pub(super) fn has_colors() -> bool {
    can_redraw() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// Removes the line of progress, if there is one, so that something else can be written.
pub(super) fn erase() {
    // If the terminal is gone, there is no one to tell.
    let _ = LogWriter.write(&[]);
}

/// Standard error for the log, whose lines take the place of a line of progress instead of following it.
pub(super) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut out = io::stderr().lock();
        if DRAWN.swap(false, Ordering::Relaxed) {
            out.write_all(ERASE.as_bytes())?;
        }
        out.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Draws progress as one line.
pub(super) struct TerminalLine;

impl ProgressView for TerminalLine {
    fn show(&mut self, look: &Look, _: Instant) {
        match look {
            Look::Nothing => {}
            Look::Running(status) => draw(&line(status, width())),
            Look::Done(status) => {
                erase();
                tracing::info!("{}", status.end_line());
            }
            Look::Stopped => erase(),
        }
    }
}

/// Draws a text as the line of progress, cut off where it is too wide.
pub(super) fn draw_text(text: String) {
    draw(&cut(text, width()));
}

fn draw(line: &str) {
    let mut out = io::stderr().lock();
    // In one piece, so that nothing flickers.
    let written = out.write_all(format!("{ERASE}{line}").as_bytes());
    DRAWN.store(written.is_ok(), Ordering::Relaxed);
}

fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { WIDTH } else { columns }
}

/// `compacting the log  [#######-----]  58 %  1.2 of 2.1 GiB, 12 s left`; without the bar, and cut off, where that is too wide: a
/// line that wraps could not be erased.
fn line(status: &Status, width: usize) -> String {
    let amount = status.amount();
    let Some(percent) = status.percent() else {
        return cut(format!("{}  {amount}", status.what), width);
    };
    let done = "#".repeat(usize::try_from(percent * BAR / 100).unwrap_or(0));
    let bar = format!("[{done:-<bar$}]", bar = BAR as usize);
    let with_bar = format!("{}  {bar}  {percent} %  {amount}", status.what);
    if with_bar.chars().count() < width {
        return with_bar;
    }
    cut(format!("{}  {percent} %  {amount}", status.what), width)
}

/// The beginning of a text that leaves the last column free, where some terminals wrap already.
fn cut(text: String, width: usize) -> String {
    match text.char_indices().nth(width.saturating_sub(1)) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
