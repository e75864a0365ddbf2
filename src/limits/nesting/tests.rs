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
