use super::*;

#[test]
fn numbers_become_the_names_that_javascript_makes_of_them() {
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
        let found = of_event(&array).expect(number);
        assert_eq!(found.name, name);
        assert_eq!(
            found.written("42", &array).unwrap(),
            format!("42[\"{name}\",1]")
        );
    }
}

#[test]
fn names_are_written_plainly_where_that_can_be() {
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
        let name = of_event(array).expect(array);
        assert_eq!(name.written("42", array).as_deref(), written, "{array}");
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
        assert!(of_event(no_name).is_none(), "{no_name}");
    }
}
