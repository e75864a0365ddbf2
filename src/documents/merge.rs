//! Merges updates of one document, compacts them, and takes from them what a client is missing.
//!
//! All of it is done with structs as they are encoded. No document is built: nothing is integrated, so that structs whose
//! dependencies are missing are kept like any others, contents are passed on byte for byte, and the work and memory are in
//! proportion to the bytes. Foreign bytes are [walked](super::walk) on the way, malformed ones are an error.
//!
//! Of elements that several updates have, those of the first one are taken: who sends others in the place of elements that
//! exist changes nothing.

mod compaction;
mod section_writer;
mod split;
mod streams;

use super::{
    encoding::{Malformed, Writer},
    walk::{
        self,
        element_set::{ElementRange, ElementSet},
    },
};
use compaction::Compactor;
use section_writer::SectionWriter;
pub use split::split;
use streams::{ClientStructs, Streams};

/// An update that says nothing.
pub const EMPTY_UPDATE: &[u8] = &[0, 0];

/// A state vector of a client that has nothing.
pub const EMPTY_STATE_VECTOR: &[u8] = &[0];

/// Merges updates into one that says the same.
///
/// # Errors
/// One of them is malformed.
pub fn merge(updates: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, Malformed> {
    let streams = Streams::parse(updates.iter().map(AsRef::as_ref))?;
    let mut output = UpdateWriter::default();
    for structs in streams.clients() {
        let mut structs = structs?;
        let mut section = SectionWriter::new(structs.client());
        while let Some(next) = structs.take_next()? {
            section.push(&next);
        }
        output.push(section);
    }
    Ok(output.finish(&streams.deletes))
}

/// Merges updates into one, without the contents that were deleted, and with as few structs as possible. A document that
/// applies it is equal to one that applies the updates and collects its garbage.
///
/// # Errors
/// One of the updates is malformed.
pub fn compact(updates: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, Malformed> {
    let streams = Streams::parse(updates.iter().map(AsRef::as_ref))?;
    let mut output = UpdateWriter::default();
    for structs in streams.clients() {
        let mut structs = structs?;
        let client = structs.client();
        let mut compactor = Compactor::new(client, streams.deletes.of_client(client));
        while let Some(next) = structs.take_next()? {
            compactor.push(next)?;
        }
        output.push(compactor.finish());
    }
    Ok(output.finish(&streams.deletes))
}

/// What a client is missing whose document has `state_vector`: later structs, and all deletions, as those are not counted.
///
/// # Errors
/// One of them is malformed.
pub fn diff(update: &[u8], state_vector: &[u8]) -> Result<Vec<u8>, Malformed> {
    let state = walk::parse_state_vector(state_vector)?;
    let streams = Streams::parse([update])?;
    let mut output = UpdateWriter::default();
    for structs in streams.clients() {
        let mut structs = structs?;
        let client = structs.client();
        let known = state.binary_search_by_key(&client, |(client, _)| *client);
        let known = known.map_or(0, |at| state[at].1);
        structs.skip_to(u32::try_from(known).unwrap_or(u32::MAX));
        let mut section = SectionWriter::new(client);
        while let Some(next) = structs.take_next()? {
            section.push(&next);
        }
        output.push(section);
    }
    Ok(output.finish(&streams.deletes))
}

/// Whether a document has everything that an update says: its elements and its deletions.
///
/// # Errors
/// One of them is malformed.
pub fn contains(document: &[u8], update: &[u8]) -> Result<bool, Malformed> {
    let [document, update] = [document, update].map(|update| Streams::parse([update]));
    let (document, update) = (document?, update?);
    let has_deletes = document.deletes.contains(&update.deletes);
    Ok(has_deletes && elements(&document)?.contains(&elements(&update)?))
}

/// The elements of updates.
fn elements(streams: &Streams<'_>) -> Result<ElementSet, Malformed> {
    let mut ranges: Vec<ElementRange> = Vec::new();
    for structs in streams.clients() {
        let mut structs = structs?;
        let client = structs.client();
        while let Some(next) = structs.take_next()? {
            let (start, end) = (next.id.clock, next.end());
            match ranges.last_mut() {
                Some(last) if last.client == client && last.end == start => last.end = end,
                _ => ranges.push(ElementRange { client, start, end }),
            }
        }
    }
    Ok(ElementSet::from_ranges(ranges))
}

/// State vector of a document that applies `update`: how many structs of each client it has without a gap.
///
/// # Errors
/// The update is malformed.
pub fn state_vector(update: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut entries = Writer::new();
    let mut count = 0;
    for structs in Streams::parse([update])?.clients() {
        let mut structs = structs?;
        let clock = gapless_end(&mut structs)?;
        if clock > 0 {
            entries.var_uint(structs.client()).var_uint(clock.into());
            count += 1;
        }
    }
    let mut output = Writer::new();
    output.count(count).raw(entries.as_bytes());
    Ok(output.into_bytes())
}

fn gapless_end(structs: &mut ClientStructs<'_>) -> Result<u32, Malformed> {
    let mut clock = 0;
    while let Some(next) = structs.take_next()? {
        if next.id.clock > clock {
            break;
        }
        clock = next.end();
    }
    Ok(clock)
}

/// Writes an update.
#[derive(Default)]
struct UpdateWriter {
    sections: Writer,
    count: usize,
}

impl UpdateWriter {
    /// Adds a section, if anything is in it.
    fn push(&mut self, section: SectionWriter) {
        if section.write(&mut self.sections) {
            self.count += 1;
        }
    }

    fn finish(self, deletes: &ElementSet) -> Vec<u8> {
        let mut update = Writer::new();
        update.count(self.count).raw(self.sections.as_bytes());
        deletes.write(&mut update);
        update.into_bytes()
    }
}

#[cfg(test)]
mod tests;
