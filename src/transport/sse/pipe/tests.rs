//! What a pipe holds, and how each end learns that the other is gone.

use futures_util::{FutureExt, StreamExt};
use tokio::io::AsyncWriteExt;

use super::*;

#[tokio::test]
async fn a_pipe_takes_up_to_its_limit_and_then_waits_for_its_reader() {
    let (mut writer, mut reader) = pipe(8);
    writer.write_all(b"12345").await.unwrap();
    assert_eq!(writer.write(b"6789").await.unwrap(), 3);
    let mut waiting = Box::pin(writer.write_all(b"9"));
    assert!((&mut waiting).now_or_never().is_none());
    let first = reader.next().await.unwrap().unwrap();
    assert_eq!(&first[..], b"12345678");
    waiting.await.unwrap();
    assert_eq!(&reader.next().await.unwrap().unwrap()[..], b"9");
    assert_eq!(lock(&reader.0.state).bytes.capacity(), 0);
}

#[tokio::test]
async fn parts_that_are_written_together_arrive_in_order() {
    let (mut writer, mut reader) = pipe(8);
    let parts = [
        IoSlice::new(b"abc"),
        IoSlice::new(b"defg"),
        IoSlice::new(b"hi"),
    ];
    assert_eq!(writer.write_vectored(&parts).await.unwrap(), 8);
    assert_eq!(&reader.next().await.unwrap().unwrap()[..], b"abcdefgh");
}

#[tokio::test]
async fn a_reader_gets_what_was_written_before_the_end() {
    let (mut writer, mut reader) = pipe(8);
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(piece) = reader.next().await {
            all.extend_from_slice(&piece.unwrap());
        }
        all
    });
    writer.write_all(b"one two three").await.unwrap();
    drop(writer);
    assert_eq!(reading.await.unwrap(), b"one two three");
}

#[tokio::test]
async fn writing_fails_once_the_reader_is_gone() {
    let (mut writer, reader) = pipe(4);
    writer.write_all(b"full").await.unwrap();
    let writing = tokio::spawn(async move { writer.write_all(b"more").await });
    drop(reader);
    let error = writing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
