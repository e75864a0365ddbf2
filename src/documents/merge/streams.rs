//! The structs of several updates, each element once: client by client, in the order of clocks.

use std::{cmp::Reverse, collections::BTreeMap};

use super::super::{
    encoding::Malformed,
    walk::{
        self,
        element_set::ElementSet,
        structs::{Section, Struct},
    },
};

/// What several updates say.
pub(super) struct Streams<'a> {
    /// Later clients first, as Yjs has them.
    sections: Vec<Section<'a>>,
    pub(super) deletes: ElementSet,
}

/// The structs of one client. They do not overlap; gaps are left out.
pub(super) struct ClientStructs<'a> {
    client: u64,
    /// What is behind the next struct of each section, in the order of updates.
    sections: Vec<Section<'a>>,
    /// The next structs of sections that begin behind `taken`, by clock and section.
    waiting: BTreeMap<(u32, usize), Struct<'a>>,
    /// The next structs of the other sections.
    ready: BTreeMap<usize, Struct<'a>>,
    /// Everything before this clock was taken.
    taken: u32,
}

impl<'a> Streams<'a> {
    /// Walks the updates.
    pub(super) fn parse(updates: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Malformed> {
        let mut sections = Vec::new();
        let mut deletes = Vec::new();
        for update in updates {
            let update = walk::parse_update(update)?;
            sections.extend(update.sections);
            deletes.push(update.deletes);
        }
        // Stable: the sections of a client stay in the order of updates.
        sections.sort_by_key(|section| Reverse(section.client()));
        Ok(Self {
            sections,
            deletes: ElementSet::union(deletes),
        })
    }

    /// The structs, client by client.
    pub(super) fn clients(&self) -> impl Iterator<Item = Result<ClientStructs<'a>, Malformed>> {
        let by_client = |a: &Section<'_>, b: &Section<'_>| a.client() == b.client();
        self.sections.chunk_by(by_client).map(ClientStructs::new)
    }
}

impl<'a> ClientStructs<'a> {
    fn new(sections: &[Section<'a>]) -> Result<Self, Malformed> {
        let mut structs = Self {
            client: sections[0].client(),
            sections: sections.to_vec(),
            waiting: BTreeMap::new(),
            ready: BTreeMap::new(),
            taken: 0,
        };
        for section in 0..sections.len() {
            structs.advance(section)?;
        }
        Ok(structs)
    }

    /// Whose they are.
    pub(super) fn client(&self) -> u64 {
        self.client
    }

    /// Leaves out all elements before a clock.
    pub(super) fn skip_to(&mut self, clock: u32) {
        self.taken = self.taken.max(clock);
    }

    /// The next struct; `None` if there is no more.
    pub(super) fn take_next(&mut self) -> Result<Option<Struct<'a>>, Malformed> {
        loop {
            self.find_ready();
            let Some((section, mut next)) = self.ready.pop_first() else {
                let Some((&(clock, _), _)) = self.waiting.first_key_value() else {
                    return Ok(None);
                };
                self.taken = clock;
                continue;
            };
            if next.end() <= self.taken {
                self.advance(section)?;
                continue;
            }
            let known = self.taken - next.id.clock;
            if known > 0 {
                next = next.split(known)?.1;
            }
            if let Some(end) = self.begin_of_earlier(section, next.end()) {
                let (left, right) = next.split(end - next.id.clock)?;
                self.ready.insert(section, right);
                next = left;
            } else {
                self.advance(section)?;
            }
            self.taken = next.end();
            return Ok(Some(next));
        }
    }

    /// Finds the structs that do not begin behind `taken` any more.
    fn find_ready(&mut self) {
        while let Some(entry) = self.waiting.first_entry() {
            let (clock, section) = *entry.key();
            if clock > self.taken {
                break;
            }
            self.ready.insert(section, entry.remove());
        }
    }

    /// The clock before `end` where a struct of an earlier update begins.
    fn begin_of_earlier(&self, section: usize, end: u32) -> Option<u32> {
        let mut waiting = self.waiting.range(..(end, 0)).map(|(key, _)| key);
        let earlier = waiting.find(|(_, other)| *other < section);
        earlier.map(|(clock, _)| *clock)
    }

    /// Reads the next struct of a section.
    fn advance(&mut self, section: usize) -> Result<(), Malformed> {
        while let Some(next) = self.sections[section].read_next()? {
            if !next.is_skip() && next.len > 0 {
                self.waiting.insert((next.id.clock, section), next);
                break;
            }
        }
        Ok(())
    }
}
