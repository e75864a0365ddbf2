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
        let life = schema::life(db)?;
        if let Some((known, reached)) = self.read()
            && known == life
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
    pub(super) fn note(&mut self, life: &Epoch, total: u64) {
        let text = format!("{life} {total}\n");
        if let Err(error) = self.write(&text) {
            log_rarely!(warn, %error, "how far the log is cannot be noted beside it");
        }
    }

    fn read(&mut self) -> Option<(Epoch, u64)> {
        let mut text = String::new();
        self.0.rewind().ok()?;
        (&self.0).take(MOST).read_to_string(&mut text).ok()?;
        let (life, total) = text.strip_suffix('\n')?.split_once(' ')?;
        Some((Epoch::from_text(life), total.parse().ok()?))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.rewind()?;
        self.0.write_all(text.as_bytes())?;
        self.0.set_len(text.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{alone, kept, send, with_database};
    use crate::{
        backend::{
            Log, Sessions,
            conformance::{draft, named, seqs, sessions::session},
        },
        model::Seq,
    };

    #[tokio::test]
    async fn an_older_copy_of_the_database_uses_no_number_twice_under_one_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("switchboard.db");
        let copy = folder.path().join("copy");
        let log = alone(folder.path(), 0);
        let first = send(&log, named("r", "one")).await.unwrap();
        let alice = session(&[("r", 1)]);
        log.save(alice.clone()).await.unwrap();
        let unwritten = kept(&log, "unwritten").await.epoch;
        log.close().await;
        fs::copy(&file, &copy).unwrap();

        let log = alone(folder.path(), 0);
        assert_eq!(send(&log, draft("r", "2")).await.unwrap().seq, Seq(2));
        let life = log.life();
        log.close().await;
        fs::copy(&copy, &file).unwrap();

        let log = alone(folder.path(), 0);
        assert_ne!(log.life(), life);
        assert_eq!(log.find(alice.pid).await.unwrap(), None);
        assert_ne!(kept(&log, "unwritten").await.epoch, unwritten);
        let again = send(&log, named("r", "one")).await.unwrap();
        assert_eq!((again.seq, again.duplicate), (Seq(1), true));
        assert_ne!(again.epoch, first.epoch);
        let second = send(&log, draft("r", "3")).await.unwrap();
        assert_eq!((second.seq, &second.epoch), (Seq(2), &again.epoch));
        let life = log.life();
        log.close().await;

        let log = alone(folder.path(), 0);
        assert_eq!(log.life(), life, "it is the newest now");
        let page = kept(&log, "r").await;
        assert_eq!((seqs(&page), &page.epoch), (vec![1, 2], &again.epoch));
        log.close().await;
    }

    #[tokio::test]
    async fn a_log_whose_folder_says_nothing_of_it_opens_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = alone(folder.path(), 0);
        let life = log.life();
        send(&log, draft("r", "1")).await.unwrap();
        log.close().await;
        for text in ["", "rubbish", "another 99\n", "a b c\n"] {
            fs::write(folder.path().join("switchboard.lock"), text).unwrap();
            let log = alone(folder.path(), 0);
            assert_eq!(log.life(), life, "{text:?}");
            log.close().await;
        }
        assert_eq!(
            with_database(folder.path())
                .query_row("SELECT count(*) FROM rooms", [], |row| row.get::<_, i64>(0))
                .unwrap(),
            1
        );
    }
}
