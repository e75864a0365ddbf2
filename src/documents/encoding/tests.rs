//! The lib0 encoding.

use proptest::prelude::*;

use super::*;

#[test]
fn integers_are_encoded_as_lib0_does() {
    for (value, bytes) in [
        (0, &[0][..]),
        (127, &[127]),
        (128, &[128, 1]),
        (16_383, &[255, 127]),
        (
            MAX_INTEGER,
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ),
    ] {
        assert_eq!(Writer::new().var_uint(value).as_bytes(), bytes);
        assert_eq!(Reader::new(bytes).var_uint(), Ok(value));
    }
}

#[test]
fn an_integer_of_more_than_53_bits_is_refused() {
    let mut larger = Writer::new();
    larger.var_uint(MAX_INTEGER + 1);
    for bytes in [larger.as_bytes(), &[0xff; 9], &[0x80; 9], &[0x80], &[]] {
        assert!(Reader::new(bytes).var_uint().is_err(), "{bytes:?}");
        assert!(Reader::new(bytes).skip_var_int().is_err() || bytes.len() == 8);
    }
}

#[test]
fn a_length_beyond_the_end_is_refused() {
    let mut declared = Writer::new();
    declared.var_uint(MAX_INTEGER).raw(b"abc");
    assert!(Reader::new(declared.as_bytes()).var_bytes().is_err());
    assert!(Reader::new(declared.as_bytes()).count(1).is_err());
    assert!(Reader::new(&[2, 1, 1, 1]).count(2).is_err());
    assert_eq!(Reader::new(&[2, 1, 1, 1, 1]).count(2), Ok(2));
}

#[test]
fn text_has_to_be_utf8() {
    assert!(Reader::new(&[1, 0xff]).var_string().is_err());
    assert_eq!(Reader::new("\u{3}日".as_bytes()).var_string(), Ok("日"));
}

#[test]
fn an_error_says_where() {
    let mut reader = Reader::new(&[1, 2]);
    reader.byte().unwrap();
    assert_eq!(
        reader.end().unwrap_err().to_string(),
        "trailing bytes at byte 1"
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in 0..=MAX_INTEGER, text: String, bytes: Vec<u8>) {
        let mut writer = Writer::new();
        writer.var_uint(value).var_string(&text).var_bytes(&bytes);
        let mut reader = Reader::new(writer.as_bytes());
        prop_assert_eq!(reader.var_uint(), Ok(value));
        prop_assert_eq!(reader.var_string(), Ok(&*text));
        prop_assert_eq!(reader.var_bytes(), Ok(&*bytes));
        prop_assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        let mut reader = Reader::new(&bytes);
        while !reader.is_at_end() {
            let _ = reader.clone().var_string();
            let _ = reader.clone().var_bytes();
            let _ = reader.clone().skip_var_int();
            let _ = reader.clone().count(3);
            if reader.var_uint().is_err() {
                break;
            }
        }
    }
}
