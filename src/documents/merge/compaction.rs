//! Compacts the structs of one client: drops the contents that were deleted, and joins runs.
//!
//! Both are what Yjs does when it collects garbage and when it merges structs, without a document. A deleted item keeps its
//! place and loses its content. Two items are one if the second was inserted right behind the first, before the same element:
//! an item that was inserted between them divides them again when it is integrated. Deleted shared types are kept, because
//! whoever integrates items in them needs to find them.

use super::{
    super::{
        encoding::{Malformed, Writer},
        walk::{
            content::Content,
            element_set::ElementRange,
            structs::{Id, Kind, Struct},
        },
    },
    section_writer::SectionWriter,
};

/// Writes the structs of one client, compacted.
pub(super) struct Compactor<'a> {
    section: SectionWriter,
    /// Deleted ranges that do not end before the next struct.
    deleted: &'a [ElementRange],
    run: Option<Run<'a>>,
    /// What was joined to the run's content.
    joined: Writer,
}

/// A struct that what follows can be joined to.
struct Run<'a> {
    run: Struct<'a>,
    /// It is known to be in a list: a value of a key must not be joined to the one that it replaces.
    in_list: bool,
}

impl<'a> Compactor<'a> {
    /// Nothing written yet.
    pub(super) fn new(client: u64, deleted: &'a [ElementRange]) -> Self {
        Self {
            section: SectionWriter::new(client),
            deleted,
            run: None,
            joined: Writer::new(),
        }
    }

    /// Adds a struct that begins behind all others.
    pub(super) fn push(&mut self, mut next: Struct<'a>) -> Result<(), Malformed> {
        while let Some((boundary, deleted)) = self.boundary(&next) {
            let (left, right) = next.split(boundary - next.id.clock)?;
            self.push_part(left, deleted);
            next = right;
        }
        let deleted = self.deleted.first();
        let deleted = deleted.is_some_and(|range| range.start <= next.id.clock);
        self.push_part(next, deleted);
        Ok(())
    }

    /// The section, if nothing follows.
    pub(super) fn finish(mut self) -> SectionWriter {
        self.write_run();
        self.section
    }

    /// Where the first part of a struct ends, of which a part was deleted and another not; and whether it is the deleted one.
    fn boundary(&mut self, next: &Struct<'_>) -> Option<(u32, bool)> {
        let passed = |range: &ElementRange| range.end <= next.id.clock;
        while let Some((_, rest)) = self
            .deleted
            .split_first()
            .filter(|(range, _)| passed(range))
        {
            self.deleted = rest;
        }
        let range = self.deleted.first()?;
        if range.start > next.id.clock {
            (range.start < next.end()).then_some((range.start, false))
        } else {
            (range.end < next.end()).then_some((range.end, true))
        }
    }

    /// Adds a struct that was deleted or not.
    fn push_part(&mut self, mut next: Struct<'a>, deleted: bool) {
        if let Kind::Item(place, content) = next.kind
            && deleted
            && !content.is_type()
        {
            next.kind = Kind::Item(place, Content::Deleted);
        }
        let in_list = self.is_in_list(&next);
        if !self.join(&next) {
            self.write_run();
            self.run = Some(Run { run: next, in_list });
        }
    }

    fn is_in_list(&self, next: &Struct<'_>) -> bool {
        let Kind::Item(place, _) = next.kind else {
            return false;
        };
        let follows = |run: &Run<'_>| run.in_list && place.origin == Some(last_id(&run.run));
        place.is_surely_in_list() || self.run.as_ref().is_some_and(follows)
    }

    /// Joins a struct to the run. Returns false if it is none that follows it.
    fn join(&mut self, next: &Struct<'_>) -> bool {
        let Some(Run { run, in_list }) = &mut self.run else {
            return false;
        };
        if run.end() != next.id.clock {
            return false;
        }
        match (&run.kind, &next.kind) {
            (Kind::Gc, Kind::Gc) => {}
            (Kind::Item(place, content), Kind::Item(next_place, next_content)) => {
                if next_place.origin != Some(last_id(run))
                    || next_place.right_origin != place.right_origin
                {
                    return false;
                }
                match (content, next_content) {
                    (Content::Deleted, Content::Deleted) => {}
                    (Content::Text(_), Content::Text(text)) => text.write(&mut self.joined),
                    (Content::Values(_), Content::Values(values))
                        if *in_list && content.kind() == next_content.kind() =>
                    {
                        self.joined.raw(values.bytes());
                    }
                    _ => return false,
                }
            }
            _ => return false,
        }
        run.len += next.len;
        true
    }

    fn write_run(&mut self) {
        let Some(Run { run, .. }) = self.run.take() else {
            return;
        };
        let writer = self.section.begin(run.id.clock, run.end());
        match run.kind {
            Kind::Item(place, content @ Content::Text(text)) => {
                place.write(content.kind(), writer);
                writer.count(text.encoded_len() + self.joined.len());
                text.write(writer);
            }
            _ => run.write(writer),
        }
        writer.raw(self.joined.as_bytes());
        self.joined.clear();
    }
}

fn last_id(run: &Struct<'_>) -> Id {
    Id {
        clock: run.end() - 1,
        ..run.id
    }
}
