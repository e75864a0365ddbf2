//! The nesting depth of JSON text.

/// Whether arrays and objects of a JSON text nest more than `max_depth` levels deep.
pub fn exceeds_depth(text: &str, max_depth: usize) -> bool {
    let text = text.as_bytes();
    // Few events have that many brackets at all, and counting them is many times faster than tracking them.
    count_brackets(text) > max_depth && depth(text) > max_depth
}

/// How many arrays and objects are opened, within strings or not. Summed up in bytes, so that the compiler counts many at a time.
fn count_brackets(text: &[u8]) -> usize {
    let is_open = |byte: &u8| u8::from((*byte == b'[') | (*byte == b'{'));
    let chunks = text.chunks(usize::from(u8::MAX));
    chunks
        .map(|chunk| usize::from(chunk.iter().map(is_open).sum::<u8>()))
        .sum()
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
