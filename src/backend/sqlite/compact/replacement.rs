//! The file that takes the log's place once it is complete.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::Connection;

use super::{owner::give_to_owner, size_of};
use crate::{
    backend::sqlite::long_statements,
    progress::{Progress, Unit},
};

/// The new file. It is deleted when this is dropped before it has taken its place.
pub(super) struct Replacement<'a> {
    /// The log's file.
    log: &'a Path,
    path: PathBuf,
}

/// Where the new file is until it takes the place of `log`.
pub(super) fn path(log: &Path) -> PathBuf {
    let mut path = log.to_owned().into_os_string();
    path.push("-compacting");
    path.into()
}

/// Deletes what a process that was killed has left. The folder has to be locked.
pub(in crate::backend::sqlite) fn remove_leftover(log: &Path) {
    let log = fs::canonicalize(log).unwrap_or_else(|_| log.to_owned());
    remove(&path(&log));
}

/// Deletes the new file, and the journal that SQLite keeps beside it while it writes: another new file must not find it.
fn remove(new: &Path) {
    let mut journal = new.as_os_str().to_owned();
    journal.push("-journal");
    for path in [Path::new(&journal), new] {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            let path = path.display();
            tracing::warn!(%path, %error, "what is left of a compaction cannot be deleted");
        }
    }
}

impl<'a> Replacement<'a> {
    /// Creates it empty, with the owner and the permissions of the log: nobody else can read it, not even at first.
    pub(super) fn create(log: &'a Path, metadata: &Metadata) -> io::Result<Self> {
        let path = path(log);
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        options.open(&path)?;
        let replacement = Self { log, path };
        give_to_owner(&replacement.path, metadata)?;
        Ok(replacement)
    }

    /// Copies everything into it: `expected` bytes at most, unless the log's pages were fuller than those of the copy.
    pub(super) fn fill(
        &self,
        db: &mut Connection,
        expected: u64,
        progress: &Arc<Progress>,
    ) -> rusqlite::Result<()> {
        let Some(name) = self.path.to_str() else {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8");
            return Err(rusqlite::Error::ToSqlConversionFailure(error.into()));
        };
        progress.begin("compacting the log", Unit::Bytes, Some(expected));
        let path = self.path.clone();
        let written = move |_| size_of(&path);
        long_statements::run(db, progress, written, |db| {
            db.execute("VACUUM INTO ?1", [name]).map(drop)
        })?;
        progress.end();
        Ok(())
    }

    /// Waits until it is on the disk: SQLite leaves that to us.
    pub(super) fn sync(&self, progress: &Progress) -> io::Result<()> {
        progress.begin(
            "waiting for the disk to have the compacted log",
            Unit::Bytes,
            None,
        );
        File::open(&self.path)?.sync_all()?;
        progress.end();
        Ok(())
    }

    /// Renames it to the log's name, and waits until that is on the disk, too.
    pub(super) fn take_place(self) -> io::Result<()> {
        fs::rename(&self.path, self.log)?;
        let folder = self.log.parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        // Once it has taken its place there is nothing of this name.
        remove(&self.path);
    }
}
