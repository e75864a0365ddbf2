//! Sets of elements.

use super::*;

fn read(bytes: &[u8]) -> Result<(ElementSet, usize), Malformed> {
    let mut reader = Reader::new(bytes);
    let read = ElementSet::read(&mut reader)?;
    reader.end()?;
    Ok(read)
}

fn range(client: u64, start: u32, end: u32) -> ElementRange {
    ElementRange { client, start, end }
}

#[test]
fn ranges_are_sorted_and_joined() {
    let bytes = [2, 9, 3, 4, 2, 0, 2, 2, 2, 5, 1, 1, 1];
    let (set, count) = read(&bytes).unwrap();
    assert_eq!(count, 4);
    let ranges = [range(5, 1, 2), range(9, 0, 6)];
    assert_eq!(set.ranges, ranges);
    assert_eq!(set.of_client(9), &ranges[1..]);
    assert_eq!(set.of_client(7), &[]);
    let mut writer = Writer::new();
    set.write(&mut writer);
    assert_eq!(writer.as_bytes(), [2, 9, 1, 0, 6, 5, 1, 1, 1]);
    assert_eq!(ElementSet::union([set.clone(), set.clone()]), set);
}

#[test]
fn a_set_contains_parts_of_its_ranges() {
    let set = |ranges: &[ElementRange]| ElementSet::from_ranges(ranges.to_vec());
    let whole = set(&[range(5, 1, 4), range(5, 6, 9), range(7, 0, 2)]);
    for part in [
        &[][..],
        &[range(5, 1, 4)],
        &[range(5, 7, 8), range(7, 1, 2)],
    ] {
        assert!(whole.contains(&set(part)), "{part:?}");
    }
    for other in [
        range(5, 0, 2),
        range(5, 3, 7),
        range(5, 8, 10),
        range(6, 0, 1),
    ] {
        assert!(!whole.contains(&set(&[other])), "{other:?}");
    }
    assert!(!ElementSet::default().contains(&whole));
}

#[test]
fn wrong_counts_and_clocks_are_refused() {
    for bytes in [
        &[1][..],
        &[200, 1, 0, 0],
        &[1, 5, 200, 1, 0, 0],
        &[1, 5, 1, 7, 0],
        &[1, 5, 1, 0xff, 0xff, 0xff, 0xff, 0x07, 1],
        &[1, 5, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x07],
        &[1, 5, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0],
    ] {
        assert!(read(bytes).is_err(), "{bytes:?}");
    }
    assert!(read(&[1, 5, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x07]).is_ok());
}
