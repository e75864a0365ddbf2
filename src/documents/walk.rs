//! Walks foreign bytes of Yjs' update format, version 1, before anything else is done with them.
//!
//! An update is a list of sections and a delete set. A section holds consecutive structs of one client: items, runs that were
//! garbage collected, and gaps. A walked update is understood by every Yjs client, and nothing in it costs more than its own
//! bytes: counts are no larger than what follows, JSON and `Any` values nest at most [`MAX_DEPTH`] levels deep, text is UTF-8,
//! JSON is JSON, client ids have 53 bits and clocks 31. It may depend on structs that nobody has sent yet.
//!
//! Accepted is what Yjs 13 writes. Refused is what its clients throw an error for when they read it, like types that they do not
//! know: the document could not be opened any more.

pub mod any;
pub mod content;
pub mod element_set;
pub mod json;
pub mod structs;

use super::encoding::{Malformed, Reader};
use element_set::ElementSet;
use structs::Section;

/// How many levels deep values nest.
pub const MAX_DEPTH: usize = 128;

/// The largest clock. Beyond it clients that count in 32 signed bits go wrong.
pub const MAX_CLOCK: u32 = i32::MAX as u32;

/// What a walked update consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateFacts {
    /// Number of structs, gaps included.
    pub structs: usize,
    /// Number of further structs that say nothing. Old clients wrote them, and Yjs throws an error for some of them: an update
    /// that has any is to be [merged](super::merge::merge), alone, before it is passed on.
    pub empty_structs: usize,
    /// Number of ranges in the delete set.
    pub deletes: usize,
}

/// A walked update, by its sections.
#[derive(Debug)]
pub(super) struct Update<'a> {
    /// In the order of the update. No client has two of them.
    pub(super) sections: Vec<Section<'a>>,
    pub(super) deletes: ElementSet,
    pub(super) facts: UpdateFacts,
}

/// A client's entry in a state vector: the clock of the next struct that is missing.
pub(super) type StateEntry = (u64, u64);

impl UpdateFacts {
    /// Whether the update says nothing.
    pub fn is_empty(&self) -> bool {
        self.structs == 0 && self.deletes == 0
    }
}

/// Walks an update.
///
/// # Errors
/// It is malformed, or not of the kind that Yjs 13 clients understand.
pub fn check_update(update: &[u8]) -> Result<UpdateFacts, Malformed> {
    Ok(parse_update(update)?.facts)
}

/// Walks a state vector.
///
/// # Errors
/// It is malformed.
pub fn check_state_vector(state_vector: &[u8]) -> Result<(), Malformed> {
    parse_state_vector(state_vector).map(drop)
}

/// Walks an update, and tells where its sections begin.
pub(super) fn parse_update(update: &[u8]) -> Result<Update<'_>, Malformed> {
    let mut reader = Reader::new(update);
    // Each has a number of structs, a client and a clock.
    let count = reader.count(3)?;
    let mut sections = Vec::new();
    let (mut structs, mut empty_structs) = (0, 0);
    for _ in 0..count {
        let section = Section::read(&mut reader)?;
        let mut cursor = section.clone();
        while let Some(next) = cursor.read_next()? {
            if next.len == 0 {
                empty_structs += 1;
            } else {
                structs += 1;
            }
        }
        reader = cursor.into_reader();
        sections.push(section);
    }
    check_clients_differ(&sections, &reader)?;
    let (deletes, ranges) = ElementSet::read(&mut reader)?;
    reader.end()?;
    let facts = UpdateFacts {
        structs,
        empty_structs,
        deletes: ranges,
    };
    Ok(Update {
        sections,
        deletes,
        facts,
    })
}

/// Walks a state vector, and returns its entries by client.
pub(super) fn parse_state_vector(state_vector: &[u8]) -> Result<Vec<StateEntry>, Malformed> {
    let mut reader = Reader::new(state_vector);
    let count = reader.count(2)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let client = reader.var_uint()?;
        entries.push((client, reader.var_uint()?));
    }
    reader.end()?;
    // Of several entries of a client, Yjs takes the last.
    entries.reverse();
    entries.sort_by_key(|(client, _)| *client);
    entries.dedup_by_key(|(client, _)| *client);
    Ok(entries)
}

/// Of several sections of one client, Yjs reads the last only.
fn check_clients_differ(sections: &[Section<'_>], reader: &Reader<'_>) -> Result<(), Malformed> {
    let mut clients: Vec<u64> = sections.iter().map(Section::client).collect();
    clients.sort_unstable();
    if clients.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(reader.malformed("two sections of one client"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
