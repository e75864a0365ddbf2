//! Entry point of the fuzzer of [`FrameSplitter`].

use super::engine_frame::{EngineFrame, FrameSplitter};

/// Frames are the same however the writes are cut.
pub(in crate::transport) fn split_frames(input: &[u8]) {
    assert_eq!(
        split(input.chunks(input.len().max(1))),
        split(input.chunks(1)),
        "frames depend on how the writes are cut"
    );
}

fn split<'a>(writes: impl Iterator<Item = &'a [u8]>) -> Vec<EngineFrame> {
    let (mut splitter, mut frames) = (FrameSplitter::default(), Vec::new());
    for written in writes {
        splitter.split(written, |frame| frames.push(frame));
    }
    frames
}
