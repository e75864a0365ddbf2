//! The nesting depth of JSON.

use super::*;

#[test]
fn depth_is_counted_outside_strings_only() {
    for (text, depth) in [
        (r#"["a",{"b":[1,{}]}]"#, 4),
        (r#"["[[[[","\"[[",{}]"#, 2),
        ("]]][", 1),
        ("7", 0),
    ] {
        assert!(
            exceeds_depth(text, depth.max(1) - 1) || depth == 0,
            "{text}"
        );
        assert!(!exceeds_depth(text, depth), "{text}");
    }
}

#[test]
fn brackets_are_counted_in_texts_of_any_length() {
    for count in [0, 1, 254, 255, 256, 1000] {
        let text = "[{".repeat(count) + "x\"]}";
        assert_eq!(count_brackets(text.as_bytes()), 2 * count);
    }
}
