//! What a reader with a small buffer gets of a stream that is read through the shared one.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

#[tokio::test]
async fn bytes_come_in_order_through_buffers_of_any_size() {
    let sent: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
    for caller in [1, 7, 256, 4096, 9000] {
        let (near, mut far) = duplex(1 << 20);
        far.write_all(&sent).await.unwrap();
        drop(far);
        let mut reader = SharedBufferReader::new(near, 4096);
        let (mut received, mut buffer) = (Vec::new(), vec![0; caller]);
        loop {
            match reader.read(&mut buffer).await.unwrap() {
                0 => break,
                read => received.extend_from_slice(&buffer[..read]),
            }
        }
        assert_eq!(received, sent);
        assert_eq!(reader.rest.capacity(), 0);
    }
}

#[test]
fn a_use_within_a_use_has_a_buffer_of_its_own() {
    let text = with_read_buffer(4, |outer| {
        outer.copy_from_slice(b"kept");
        with_read_buffer(8, |inner| inner.fill(0));
        outer.to_vec()
    });
    assert_eq!(text, b"kept");
}
