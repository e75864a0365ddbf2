//! Structs, and the sections that consecutive structs of one client are in.

use super::{
    super::encoding::{Malformed, Reader, Writer},
    MAX_CLOCK,
    content::{Content, read_run},
};

const GC: u8 = 0;
const SKIP: u8 = 10;
/// Bits of the first byte of an item that tell its content.
const CONTENT: u8 = 0b0001_1111;
/// It is the value of a key.
const HAS_KEY: u8 = 0b0010_0000;
const HAS_RIGHT_ORIGIN: u8 = 0b0100_0000;
const HAS_ORIGIN: u8 = 0b1000_0000;

/// What identifies an element of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    /// Who made it.
    pub client: u64,
    /// How many elements the client had made before.
    pub clock: u32,
}

/// A run of elements of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Struct<'a> {
    /// Id of the first element.
    pub id: Id,
    /// Number of elements.
    pub len: u32,
    /// What they are.
    pub kind: Kind<'a>,
}

/// What a struct is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Deleted together with what it was in, and garbage collected.
    Gc,
    /// A gap: the update does not have these elements.
    Skip,
    /// Inserted by the client.
    Item(Place<'a>, Content<'a>),
}

/// Where an item was inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Behind this element.
    pub origin: Option<Id>,
    /// Before this element.
    pub right_origin: Option<Id>,
    /// As the value of a key.
    pub has_key: bool,
    /// What it is in and the key, as they are encoded. Empty if there are origins: it is in the same.
    parent: &'a [u8],
}

/// Consecutive structs of one client. Reads one after the other.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    reader: Reader<'a>,
    next: Id,
    left: usize,
}

impl Id {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            client: reader.var_uint()?,
            clock: read_clock(reader)?,
        })
    }

    /// Reads the id of an element that the element `of` depends on. Clients throw an error if that is one of its own client
    /// that does not exist yet.
    fn read_dependency(reader: &mut Reader<'_>, of: Self) -> Result<Self, Malformed> {
        let id = Self::read(reader)?;
        if id.client == of.client && id.clock >= of.clock {
            return Err(reader.malformed("an item depends on a later one of its client"));
        }
        Ok(id)
    }

    fn write(self, writer: &mut Writer) {
        writer.var_uint(self.client).var_uint(self.clock.into());
    }
}

impl<'a> Struct<'a> {
    /// The clock behind its last element.
    pub fn end(&self) -> u32 {
        self.id.clock + self.len
    }

    /// Whether it is a gap.
    pub fn is_skip(&self) -> bool {
        self.kind == Kind::Skip
    }

    fn read(reader: &mut Reader<'a>, id: Id) -> Result<Self, Malformed> {
        let (kind, len) = match reader.byte()? {
            GC => (Kind::Gc, read_run(reader)?),
            SKIP => (Kind::Skip, read_run(reader)?),
            info => {
                let place = Place::read(reader, info, id)?;
                let (content, len) = Content::read(reader, info & CONTENT)?;
                (Kind::Item(place, content), len)
            }
        };
        match id.clock.checked_add(len) {
            Some(end) if end <= MAX_CLOCK => Ok(Self { id, len, kind }),
            _ => Err(reader.malformed("clock out of range")),
        }
    }

    /// Writes it. Its section says what its id is.
    pub fn write(&self, writer: &mut Writer) {
        match &self.kind {
            Kind::Gc => {
                writer.byte(GC).var_uint(self.len.into());
            }
            Kind::Skip => {
                writer.byte(SKIP).var_uint(self.len.into());
            }
            Kind::Item(place, content) => {
                place.write(content.kind(), writer);
                content.write(self.len, writer);
            }
        }
    }

    /// Divides it behind `at` elements: fewer than it has, and not none.
    pub(in super::super) fn split(self, at: u32) -> Result<(Self, Self), Malformed> {
        let (left_kind, right_kind) = match self.kind {
            Kind::Item(place, content) => {
                let (left, right) = content.split(at)?;
                let origin = Id {
                    clock: self.id.clock + at - 1,
                    ..self.id
                };
                let right_place = Place {
                    origin: Some(origin),
                    parent: &[],
                    ..place
                };
                (Kind::Item(place, left), Kind::Item(right_place, right))
            }
            kind => (kind, kind),
        };
        let left = Self {
            id: self.id,
            len: at,
            kind: left_kind,
        };
        let right = Self {
            id: Id {
                clock: self.id.clock + at,
                ..self.id
            },
            len: self.len - at,
            kind: right_kind,
        };
        Ok((left, right))
    }
}

impl<'a> Place<'a> {
    fn read(reader: &mut Reader<'a>, info: u8, of: Id) -> Result<Self, Malformed> {
        let mut read_if = |flag| {
            let has_id = info & flag != 0;
            has_id.then(|| Id::read_dependency(reader, of)).transpose()
        };
        let origin = read_if(HAS_ORIGIN)?;
        let right_origin = read_if(HAS_RIGHT_ORIGIN)?;
        let has_key = info & HAS_KEY != 0;
        let start = reader.position();
        if origin.is_none() && right_origin.is_none() {
            match reader.byte()? {
                0 => {
                    Id::read_dependency(reader, of)?;
                }
                1 => {
                    reader.var_string()?;
                }
                _ => return Err(reader.malformed("unknown kind of parent")),
            }
            if has_key {
                reader.var_string()?;
            }
        }
        Ok(Self {
            origin,
            right_origin,
            has_key,
            parent: reader.since(start),
        })
    }

    /// Writes an item's bytes before its content.
    pub fn write(&self, content: u8, writer: &mut Writer) {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let info = content
            | flag(self.has_key, HAS_KEY)
            | flag(self.right_origin.is_some(), HAS_RIGHT_ORIGIN)
            | flag(self.origin.is_some(), HAS_ORIGIN);
        writer.byte(info);
        for origin in [self.origin, self.right_origin].into_iter().flatten() {
            origin.write(writer);
        }
        writer.raw(self.parent);
    }

    /// Whether it tells itself what it is in, and that it is no value of a key.
    pub fn is_surely_in_list(&self) -> bool {
        !self.parent.is_empty() && !self.has_key
    }
}

impl<'a> Section<'a> {
    /// Reads what is before the structs.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        // A struct has a kind and a length or content.
        let left = reader.count(2)?;
        let next = Id::read(reader)?;
        Ok(Self {
            reader: *reader,
            next,
            left,
        })
    }

    /// Whose structs they are.
    pub fn client(&self) -> u64 {
        self.next.client
    }

    /// Reads the next struct; `None` if there is no more.
    ///
    /// # Errors
    /// It is malformed.
    pub fn read_next(&mut self) -> Result<Option<Struct<'a>>, Malformed> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        let next = Struct::read(&mut self.reader, self.next)?;
        self.next.clock = next.end();
        Ok(Some(next))
    }

    /// Where it has read up to.
    pub(super) fn into_reader(self) -> Reader<'a> {
        self.reader
    }
}

/// Reads a clock.
pub(super) fn read_clock(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    match u32::try_from(reader.var_uint()?) {
        Ok(clock @ 0..=MAX_CLOCK) => Ok(clock),
        _ => Err(reader.malformed("clock out of range")),
    }
}

#[cfg(test)]
mod tests;
