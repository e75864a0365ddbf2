//! What items hold.

use proptest::prelude::*;

use super::*;

fn read(kind: u8, bytes: &[u8]) -> Option<(Content<'_>, u32)> {
    let mut reader = Reader::new(bytes);
    let content = Content::read(&mut reader, kind).ok()?;
    reader.is_at_end().then_some(content)
}

fn write(content: Content<'_>, length: u32) -> Vec<u8> {
    let mut writer = Writer::new();
    content.write(length, &mut writer);
    writer.into_bytes()
}

#[test]
fn every_kind_is_read_and_written_as_it_is() {
    for (kind, length, bytes) in [
        (DELETED, 5, &[5][..]),
        (JSON, 3, b"\x03\x01{\x02{}\x09undefined"),
        (JSON, 2, b"\x02\x01\x31\x02{}"),
        (BINARY, 1, &[2, 0xff, 0]),
        (TEXT, 4, "\u{7}a\u{1f600}ü".as_bytes()),
        (TEXT, 0, &[0]),
        (EMBED, 1, b"\x07{\"a\":1}"),
        (FORMAT, 1, b"\x04bold\x04true"),
        (TYPE, 1, &[0]),
        (TYPE, 1, &[1]),
        (TYPE, 1, &[2]),
        (TYPE, 1, &[3, 1, b'p']),
        (TYPE, 1, &[4]),
        (TYPE, 1, &[5, 1, b'h']),
        (TYPE, 1, &[6]),
        (ANY, 2, &[2, 125, 1, 119, 1, b'a']),
        (ANY, 0, &[0]),
        (
            DOC,
            1,
            &[1, b'g', 118, 1, 4, b'm', b'e', b't', b'a', 118, 0],
        ),
    ] {
        let read = read(kind, bytes);
        if kind == JSON && length == 3 {
            assert_eq!(read, None, "a value is no JSON");
            continue;
        }
        let (content, found) = read.unwrap();
        assert_eq!((content.kind(), found), (kind, length), "{bytes:?}");
        assert_eq!(write(content, length), bytes);
    }
}

#[test]
fn what_clients_cannot_read_is_refused() {
    for (kind, bytes) in [
        (DELETED, &[0][..]),
        (DELETED, &[0x80, 0x80, 0x80, 0x80, 0x08]),
        (JSON, &[5, 1, b'1']),
        (TEXT, &[1, 0xff]),
        (EMBED, b"\x03{a}"),
        (FORMAT, b"\x01b\x09undefined"),
        (TYPE, &[7]),
        (TYPE, &[9]),
        (TYPE, &[15]),
        (TYPE, &[0x83, 0, 1, b'p']),
        (ANY, &[9, 126]),
        (ANY, &[1, 42]),
        (DOC, &[1, b'g', 126]),
        (10, &[1]),
        (11, &[1]),
        (31, &[1]),
    ] {
        assert_eq!(read(kind, bytes), None, "{kind} {bytes:?}");
    }
}

#[test]
fn values_are_divided() {
    let (content, _) = read(ANY, &[3, 126, 119, 1, b'a', 120]).unwrap();
    let (left, right) = content.split(2).unwrap();
    assert_eq!(write(left, 2), [2, 126, 119, 1, b'a']);
    assert_eq!(write(right, 1), [1, 120]);
}

#[test]
fn half_a_pair_becomes_a_replacement_character() {
    let (content, 3) = read(TEXT, "\u{5}a\u{1f600}".as_bytes()).unwrap() else {
        panic!("three units")
    };
    let (left, right) = content.split(2).unwrap();
    assert_eq!(write(left, 2), "\u{4}a\u{fffd}".as_bytes());
    assert_eq!(write(right, 1), "\u{3}\u{fffd}".as_bytes());
}

proptest! {
    #[test]
    fn text_is_divided_as_utf16(text in "[a-ü日\u{1f600}-\u{1f610}]{2,20}", cuts: [prop::sample::Index; 3]) {
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut rest = Content::Text(Text::new(&text));
        let mut at = 0;
        let mut cuts = cuts.map(|cut| cut.index(units.len()));
        cuts.sort_unstable();
        for cut in cuts {
            if cut == at {
                continue;
            }
            let (left, right) = rest.split((cut - at) as u32).unwrap();
            check_text(left, &units[at..cut])?;
            rest = right;
            at = cut;
        }
        check_text(rest, &units[at..])?;
    }
}

fn check_text(content: Content<'_>, units: &[u16]) -> Result<(), TestCaseError> {
    let expected = String::from_utf16_lossy(units);
    let mut writer = Writer::new();
    writer.var_string(&expected);
    prop_assert_eq!(write(content, units.len() as u32), writer.as_bytes());
    Ok(())
}
