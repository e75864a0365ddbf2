//! Whose a file is: what root creates beside the log has to stay usable for the user that the server runs as.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};

/// Gives a file the owner and the permissions of another one.
pub(super) fn give_to_owner(file: &Path, of: &Metadata) -> io::Result<()> {
    let own = fs::metadata(file)?;
    if (own.uid(), own.gid()) != (of.uid(), of.gid()) {
        chown(file, Some(of.uid()), Some(of.gid()))?;
    }
    // After the owner: a change of that clears bits of the mode.
    fs::set_permissions(file, of.permissions())
}
