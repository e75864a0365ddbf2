//! How far the log has got, recorded beside its database. If the database is further back when it is opened, it is an older
//! copy, or has lost what was acknowledged, and its numbers must not be used again under the same epochs.
//!
//! This is the content of the lock file that keeps other processes out. A copy of the whole folder includes it, and so is
//! not noticed.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
};

use rusqlite::Connection;

use super::tables::log_state;
use crate::{
    model::{Incarnation, Timestamp},
    retry::log_rarely,
};

/// How many bytes of the file are read at most.
const MAX_BYTES: u64 = 256;

/// The open lock file; the folder is locked until this is dropped.
pub(super) struct ProgressFile(File);

impl ProgressFile {
    pub(super) fn new(file: File) -> Self {
        Self(file)
    }

    /// Begins another incarnation of the log if it was further on before than it is now, at `total` messages.
    pub(super) fn check(
        &mut self,
        db: &Connection,
        total: u64,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let incarnation = log_state::incarnation(db)?;
        if let Some((known, reached)) = self.read()
            && known == incarnation
            && reached > total
        {
            tracing::warn!(
                reached,
                total,
                "the log is an older copy, or has lost messages: beginning another incarnation; clients lose their positions"
            );
            log_state::begin_incarnation(db, now)?;
        }
        Ok(())
    }

    /// Records how many messages were numbered, over all namespaces.
    pub(super) fn record(&mut self, incarnation: &Incarnation, total: u64) {
        let text = format!("{incarnation} {total}\n");
        if let Err(error) = self.write(&text) {
            log_rarely!(warn, %error, "cannot record the log's progress in its lock file");
        }
    }

    fn read(&mut self) -> Option<(Incarnation, u64)> {
        let mut text = String::new();
        self.0.rewind().ok()?;
        (&self.0).take(MAX_BYTES).read_to_string(&mut text).ok()?;
        let (incarnation, total) = text.strip_suffix('\n')?.split_once(' ')?;
        Some((Incarnation::from_text(incarnation), total.parse().ok()?))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.rewind()?;
        self.0.write_all(text.as_bytes())?;
        self.0.set_len(text.len() as u64)
    }
}

#[cfg(test)]
mod tests;
