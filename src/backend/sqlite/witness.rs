//! What is remembered of the log beside its database: how far it was. If the database is further back when it is opened, it is an older
//! copy, or has lost what was acknowledged, and its numbers must not be used again under the same epochs.
//!
//! It stands in the file that keeps other processes out. A copy of the whole folder brings it along, and is not noticed.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
};

use rusqlite::Connection;

use super::schema;
use crate::{model::Epoch, repeat::log_rarely};

/// How much of the file is read.
const MOST: u64 = 256;

/// The file; as long as it is open it is this process's own.
pub(super) struct Witness(File);

impl Witness {
    pub(super) fn new(file: File) -> Self {
        Self(file)
    }

    /// Has the log begin another incarnation if it was further on before than it is now, at `total` messages.
    pub(super) fn check(&mut self, db: &Connection, total: u64) -> rusqlite::Result<()> {
        let incarnation = schema::incarnation(db)?;
        if let Some((known, reached)) = self.read()
            && known == incarnation
            && reached > total
        {
            tracing::warn!(
                reached,
                total,
                "the log is an older copy, or has lost messages: it begins another incarnation, and clients begin anew"
            );
            schema::begin_incarnation(db)?;
        }
        Ok(())
    }

    /// Notes how many messages were numbered, over all namespaces.
    pub(super) fn note(&mut self, incarnation: &Epoch, total: u64) {
        let text = format!("{incarnation} {total}\n");
        if let Err(error) = self.write(&text) {
            log_rarely!(warn, %error, "how far the log is cannot be noted beside it");
        }
    }

    fn read(&mut self) -> Option<(Epoch, u64)> {
        let mut text = String::new();
        self.0.rewind().ok()?;
        (&self.0).take(MOST).read_to_string(&mut text).ok()?;
        let (incarnation, total) = text.strip_suffix('\n')?.split_once(' ')?;
        Some((Epoch::from_text(incarnation), total.parse().ok()?))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.rewind()?;
        self.0.write_all(text.as_bytes())?;
        self.0.set_len(text.len() as u64)
    }
}

#[cfg(test)]
mod tests;
