//! Names of events, in every way that JSON can write them.

use super::*;

#[test]
fn numbers_become_names_as_in_javascript() {
    for (number, name) in [
        ("42", "42"),
        ("-1", "-1"),
        ("0", "0"),
        ("-0", "0"),
        ("1.5", "1.5"),
        ("1.0", "1"),
        ("10e2", "1000"),
        ("0.1", "0.1"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("123456789012345680000", "123456789012345680000"),
        ("1e21", "1e+21"),
        ("1.25e-9", "1.25e-9"),
        ("12345678901234567890", "12345678901234567000"),
    ] {
        let array = format!("[{number},1]");
        let found = parse_event_name(&array).expect(number);
        assert_eq!(found.name, name);
        assert_eq!(
            found.write_plainly("42", &array).unwrap(),
            format!("42[\"{name}\",1]")
        );
    }
}

#[test]
fn names_are_written_without_escapes_where_possible() {
    for (array, written) in [
        (r#"["say",1]"#, Some(r#"["say",1]"#)),
        (r#"[ "say" ,1]"#, Some(r#"[ "say" ,1]"#)),
        (r#"["gr\u00f6\u00dfe",1]"#, Some(r#"42["größe",1]"#)),
        (r#"["a\/b"]"#, Some(r#"42["a/b"]"#)),
        (r#"[ "\ud83d\ude00" ]"#, Some(r#"42["😀" ]"#)),
        (r#"["a\"b"]"#, None),
        (r#"["a\\b"]"#, None),
        (r#"["a\nb"]"#, None),
    ] {
        let name = parse_event_name(array).expect(array);
        assert_eq!(
            name.write_plainly("42", array).as_deref(),
            written,
            "{array}"
        );
    }
    for no_name in [
        "[]",
        "[",
        "",
        "[null]",
        "[[1]]",
        "[{}]",
        "[true]",
        "[\"a",
        "[\"\\ud800\"]",
        "[1e999]",
    ] {
        assert!(parse_event_name(no_name).is_none(), "{no_name}");
    }
}
