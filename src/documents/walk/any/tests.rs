//! Values of the `Any` encoding.

use super::{super::super::encoding::Writer, *};

fn accepts(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    skip_any(&mut reader).is_ok() && reader.is_at_end()
}

#[test]
fn every_type_is_read_to_its_end() {
    for bytes in [
        &[127][..],
        &[126],
        &[125, 0x40],
        &[125, 0xff, 0x7f],
        &[124, 0, 0, 0, 0],
        &[123, 0, 0, 0, 0, 0, 0, 0, 0],
        &[122, 0, 0, 0, 0, 0, 0, 0, 0],
        &[121],
        &[120],
        &[119, 1, b'a'],
        &[118, 2, 1, b'a', 126, 0, 117, 0],
        &[117, 2, 127, 118, 0],
        &[116, 2, 0xff, 0xff],
    ] {
        assert!(accepts(bytes), "{bytes:?}");
        assert!(!accepts(&bytes[..bytes.len() - 1]), "{bytes:?}");
    }
}

#[test]
fn unknown_types_and_wrong_counts_are_refused() {
    for bytes in [
        &[115][..],
        &[128, 1],
        &[0],
        &[117, 3, 126, 126],
        &[118, 1, 0],
        &[119, 1, 0xff],
        &[117, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ] {
        assert!(!accepts(bytes), "{bytes:?}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        let mut writer = Writer::new();
        for level in 0..depth {
            if level % 2 == 0 {
                writer.raw(&[117, 1]);
            } else {
                writer.raw(&[118, 1, 0]);
            }
        }
        writer.byte(126);
        writer.into_bytes()
    };
    assert!(accepts(&nested(MAX_DEPTH)));
    assert!(!accepts(&nested(MAX_DEPTH + 1)));
    assert!(!accepts(&nested(1_000_000)));
}
