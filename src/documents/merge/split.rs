//! Cuts an update into several that say the same, for those who take no large ones.

use super::{
    super::encoding::{Malformed, Writer},
    ElementSet, SectionWriter, Streams, UpdateWriter,
};

/// What an update and a section have besides structs, at most.
const OVERHEAD: usize = 64;

/// Cuts an update into several of at most `max_bytes`. Structs stay whole, so that one of them may be larger, and so does what is
/// deleted. In whatever order they are applied, a document has all of it in the end.
///
/// # Errors
/// The update is malformed.
pub fn split(update: &[u8], max_bytes: usize) -> Result<Vec<Vec<u8>>, Malformed> {
    let streams = Streams::parse([update])?;
    let mut parts = Parts {
        max_bytes,
        done: Vec::new(),
        current: UpdateWriter::default(),
    };
    let mut bytes = Writer::new();
    for structs in streams.clients() {
        let mut structs = structs?;
        let client = structs.client();
        let mut section = SectionWriter::new(client);
        while let Some(next) = structs.take_next()? {
            bytes.clear();
            next.write(&mut bytes);
            if parts.is_full(section.len() + bytes.len()) {
                parts.current.push(section);
                parts.finish(&ElementSet::default());
                section = SectionWriter::new(client);
            }
            section.push(&next);
        }
        parts.current.push(section);
    }
    bytes.clear();
    streams.deletes.write(&mut bytes);
    if parts.is_full(bytes.len()) {
        parts.finish(&ElementSet::default());
    }
    parts.finish(&streams.deletes);
    Ok(parts.done)
}

/// The updates, and the one that is being written.
struct Parts {
    max_bytes: usize,
    done: Vec<Vec<u8>>,
    current: UpdateWriter,
}

impl Parts {
    /// Whether so many bytes more are too many.
    fn is_full(&self, more: usize) -> bool {
        self.current.sections.len() + more + OVERHEAD > self.max_bytes
    }

    /// Ends an update, unless it says nothing.
    fn finish(&mut self, deletes: &ElementSet) {
        let update = std::mem::take(&mut self.current).finish(deletes);
        if update != super::EMPTY_UPDATE {
            self.done.push(update);
        }
    }
}
