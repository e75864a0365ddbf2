//! Structs and sections.

use super::*;

const CLIENT: u64 = 300;

fn read_all(bytes: &[u8]) -> Result<Vec<Struct<'_>>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut section = Section::read(&mut reader)?;
    assert_eq!(section.client(), CLIENT);
    let mut structs = Vec::new();
    while let Some(next) = section.read_next()? {
        structs.push(next);
    }
    section.into_reader().end()?;
    Ok(structs)
}

/// A section of structs that begin at clock 7.
fn section(structs: &[&[u8]]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.count(structs.len()).var_uint(CLIENT).var_uint(7);
    for next in structs {
        writer.raw(next);
    }
    writer.into_bytes()
}

#[test]
fn structs_are_read_and_written_as_they_are() {
    let structs: &[&[u8]] = &[
        &[0, 5],
        &[10, 2],
        b"\x04\x01\x04name\x02ab",
        &[0x28, 0, 9, 1, 3, b'k', b'e', b'y', 1, 126],
        &[0x84, 9, 1, 1, b'a'],
        &[0x41, 9, 1, 3],
        &[0xe8, 9, 1, 9, 2, 1, 126],
    ];
    let bytes = section(structs);
    let read = read_all(&bytes).unwrap();
    let clocks: Vec<u32> = read.iter().map(|next| next.id.clock).collect();
    assert_eq!(clocks, [7, 12, 14, 16, 17, 18, 21]);
    for (next, bytes) in read.iter().zip(structs) {
        let mut writer = Writer::new();
        next.write(&mut writer);
        assert_eq!(writer.as_bytes(), *bytes);
    }
}

#[test]
fn the_second_part_is_behind_the_first() {
    let bytes = section(&[b"\x24\x01\x04name\x01k\x03abc"]);
    let whole = read_all(&bytes).unwrap()[0];
    let (left, right) = whole.split(1).unwrap();
    let write = |part: Struct<'_>| {
        let mut writer = Writer::new();
        part.write(&mut writer);
        writer.into_bytes()
    };
    assert_eq!(write(left), b"\x24\x01\x04name\x01k\x01a");
    assert_eq!(write(right), [0xa4, 0xac, 2, 7, 2, b'b', b'c']);
    assert_eq!((right.id.clock, right.len, right.end()), (8, 2, 10));
}

#[test]
fn wrong_structs_are_refused() {
    let last = [0, 0xf8, 0xff, 0xff, 0xff, 0x07];
    assert!(read_all(&section(&[&last])).is_ok());
    assert!(read_all(&section(&[&[0x84, 0xac, 2, 6, 1, b'a']])).is_ok());
    let beyond = [0, 0xf9, 0xff, 0xff, 0xff, 0x07];
    for wrong in [
        &beyond[..],
        &[0, 0],
        &[10, 0],
        &[0x80, 1],
        &[0x8a, 9, 1, 1],
        &[0x1b, 1, 0, 1],
        &[4, 2, 0, 1, b'a'],
        &[4, 1, 1, 0xff, 1, b'a'],
        &[0x84, 9],
        // A later element of the same client.
        &[0x84, 0xac, 2, 7, 1, b'a'],
        &[0x44, 0xac, 2, 8, 1, b'a'],
        &[4, 0, 0xac, 2, 7, 1, b'a'],
    ] {
        assert!(read_all(&section(&[wrong])).is_err(), "{wrong:?}");
    }
    assert!(read_all(&section(&[&last, &[0, 1]])).is_err());
}
