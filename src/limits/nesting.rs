//! How deep a JSON text nests.

/// Whether arrays and objects of a JSON text stand at more than `most` levels.
pub fn nests_deeper(text: &str, most: usize) -> bool {
    let text = text.as_bytes();
    // Hardly any event has so many brackets at all, and counting them is many times quicker than following them.
    let brackets = text.iter().filter(|byte| matches!(byte, b'[' | b'{'));
    brackets.count() > most && depth(text) > most
}

/// The deepest level of arrays and objects in a JSON text. Of malformed text it may say anything; the parser that comes
/// after refuses that.
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
