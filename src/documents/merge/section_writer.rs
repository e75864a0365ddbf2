//! Writes a section of an update: the structs of one client.

use super::super::{
    encoding::Writer,
    walk::structs::{Id, Kind, Struct},
};

/// Writes the structs of one client.
pub(super) struct SectionWriter {
    client: u64,
    /// Clocks of the first struct and behind the last one.
    written: Option<(u32, u32)>,
    count: usize,
    structs: Writer,
}

impl SectionWriter {
    /// No structs yet.
    pub(super) fn new(client: u64) -> Self {
        Self {
            client,
            written: None,
            count: 0,
            structs: Writer::new(),
        }
    }

    /// Bytes of the structs.
    pub(super) fn len(&self) -> usize {
        self.structs.len()
    }

    /// Adds a struct that begins behind all others.
    pub(super) fn push(&mut self, next: &Struct<'_>) {
        next.write(self.begin(next.id.clock, next.end()));
    }

    /// Adds a struct that the caller writes. If there is a gap before it, says so.
    pub(super) fn begin(&mut self, clock: u32, end: u32) -> &mut Writer {
        let (start, written) = self.written.unwrap_or((clock, clock));
        if written < clock {
            let gap = Struct {
                id: Id {
                    client: self.client,
                    clock: written,
                },
                len: clock - written,
                kind: Kind::Skip,
            };
            gap.write(&mut self.structs);
            self.count += 1;
        }
        self.written = Some((start, end));
        self.count += 1;
        &mut self.structs
    }

    /// Writes the section. Returns false if nothing is in it.
    pub(super) fn write(self, update: &mut Writer) -> bool {
        let Some((start, _)) = self.written else {
            return false;
        };
        update
            .count(self.count)
            .var_uint(self.client)
            .var_uint(start.into())
            .raw(self.structs.as_bytes());
        true
    }
}
