//! Sets of elements. The delete set of an update is one: which elements were deleted.

use super::{
    super::encoding::{Malformed, Reader, Writer},
    MAX_CLOCK,
    content::read_run,
    structs::read_clock,
};

/// Elements of several clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementSet {
    /// Sorted; neither empty, nor touching each other.
    ranges: Vec<ElementRange>,
}

/// Consecutive elements of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ElementRange {
    /// Who made them.
    pub client: u64,
    /// Clock of the first.
    pub start: u32,
    /// Clock behind the last.
    pub end: u32,
}

impl ElementSet {
    /// Reads the delete set of an update, and returns how many ranges were in it.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<(Self, usize), Malformed> {
        let mut ranges = Vec::new();
        let mut total = 0;
        for _ in 0..reader.count(2)? {
            let client = reader.var_uint()?;
            let count = reader.count(2)?;
            total += count;
            for _ in 0..count {
                let start = read_clock(reader)?;
                // Clients throw an error for an empty range that they cannot apply yet.
                let end = start + read_run(reader)?;
                if end > MAX_CLOCK {
                    return Err(reader.malformed("clock out of range"));
                }
                ranges.push(ElementRange { client, start, end });
            }
        }
        Ok((Self::from_ranges(ranges), total))
    }

    /// The elements of all of these.
    pub fn union(sets: impl IntoIterator<Item = Self>) -> Self {
        let ranges = sets.into_iter().flat_map(|set| set.ranges);
        Self::from_ranges(ranges.collect())
    }

    /// The elements of these ranges.
    pub fn from_ranges(mut ranges: Vec<ElementRange>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|next, last| {
            let touches = next.client == last.client && next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        Self { ranges }
    }

    /// Whether all elements of another set are in this one.
    pub fn contains(&self, other: &Self) -> bool {
        other.ranges.iter().all(|part| {
            let candidates = self.of_client(part.client);
            let after = candidates.partition_point(|range| range.end <= part.start);
            let range = candidates.get(after);
            range.is_some_and(|range| range.start <= part.start && part.end <= range.end)
        })
    }

    /// The elements of one client, in their order.
    pub fn of_client(&self, client: u64) -> &[ElementRange] {
        let start = self.ranges.partition_point(|range| range.client < client);
        let end = self.ranges.partition_point(|range| range.client <= client);
        &self.ranges[start..end]
    }

    /// Writes it as a delete set, later clients first as Yjs does.
    pub fn write(&self, writer: &mut Writer) {
        let by_client = || self.ranges.chunk_by(|a, b| a.client == b.client).rev();
        writer.count(by_client().count());
        for ranges in by_client() {
            writer.var_uint(ranges[0].client).count(ranges.len());
            for range in ranges {
                let len = range.end - range.start;
                writer.var_uint(range.start.into()).var_uint(len.into());
            }
        }
    }
}

#[cfg(test)]
mod tests;
