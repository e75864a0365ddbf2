//! The nesting depth of JSON text.

/// Whether arrays and objects of a JSON text nest more than `max_depth` levels deep.
pub fn exceeds_depth(text: &str, max_depth: usize) -> bool {
    let text = text.as_bytes();
    // Few events have that many brackets at all, and counting them is many times faster than tracking them.
    let brackets = text.iter().filter(|byte| matches!(byte, b'[' | b'{'));
    brackets.count() > max_depth && depth(text) > max_depth
}

/// The deepest level of arrays and objects. The result for malformed text is unspecified; the parser that comes next
/// rejects it.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
