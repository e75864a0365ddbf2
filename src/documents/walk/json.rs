//! Checks that text is JSON, as `JSON.parse` has it.

use serde::de::IgnoredAny;

/// Whether text is JSON that nests at most `max_depth` levels deep. Nothing of it is kept.
pub fn is_json(text: &str, max_depth: usize) -> bool {
    depth(text) <= max_depth && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The deepest level of arrays and objects. The result for malformed text is unspecified.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
