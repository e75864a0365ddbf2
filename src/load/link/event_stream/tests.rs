//! Blocks, however they are cut.

use super::pass_blocks;

#[test]
fn blocks_are_found_wherever_chunks_end() {
    let text = b"event: a\ndata: 1\n\n:\n\nevent: b\ndata: 22\nid: x\n\nrest";
    for first in 0..text.len() {
        for second in [first, text.len().midpoint(first), text.len()] {
            let (mut block, mut found) = (Vec::new(), Vec::new());
            for part in [&text[..first], &text[first..second], &text[second..]] {
                pass_blocks(part, &mut block, &mut |text| found.push(text.to_vec()));
            }
            let expected = [
                &b"event: a\ndata: 1"[..],
                b":",
                b"event: b\ndata: 22\nid: x",
            ];
            assert_eq!(found, expected, "{first} {second}");
            assert_eq!(block, b"rest");
        }
    }
}
