//! The options of documents.

use crate::options::{ByteSize, Problem, check_above_zero, section};

section! {
    /// Documents that clients of Yjs edit together.
    pub struct DocumentSettings at "documents" {
        /// Largest update. A client that pastes more is told so, and keeps it for itself.
        update_bytes: ByteSize = "1 MiB",
        /// Largest document as it is stored: its snapshot and the updates since.
        bytes: ByteSize = "50 MiB",
        /// Largest state that a client shows of itself: its name, its cursor.
        awareness_bytes: ByteSize = "8 KiB",
        /// Memory for the documents that were opened last, so that opening one again costs only what has changed.
        cache_bytes: ByteSize = "32 MiB",
    }
}

impl DocumentSettings {
    pub(crate) fn check(&self, problems: &mut Vec<Problem>) {
        check_above_zero(
            &["documents.update_bytes"],
            &self.update_bytes.bytes(),
            problems,
        );
        check_above_zero(&["documents.bytes"], &self.bytes.bytes(), problems);
        check_above_zero(
            &["documents.awareness_bytes"],
            &self.awareness_bytes.bytes(),
            problems,
        );
    }
}
