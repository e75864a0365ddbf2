//! A server with socketioxide alone: it joins rooms, and relays each message to one by `io.to(room).emit`, in packets of the form and size
//! of Switchboard's.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
};

use super::{load::serve_alone, process::Result};

/// Serves on a free port, which is printed.
pub async fn serve() -> Result<()> {
    let (layer, io) = SocketIo::builder().max_buffer_size(16384).build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on(
            "join",
            async |socket: SocketRef, Data::<String>(room), ack: AckSender| {
                socket.join(room);
                let _ = ack.send(&json!({ "ok": true }));
            },
        );
        let number = Arc::new(AtomicU64::new(0));
        socket.on(
            "message",
            async move |io: SocketIo, Data::<Value>(body), ack: AckSender| {
                let seq = number.fetch_add(1, Ordering::Relaxed) + 1;
                let room = body["room"].as_str().unwrap_or_default().to_owned();
                let message = json!({
                    "room": room, "id": "01a1fe43-56cd-7457-a913-1ccf91cbce8f", "seq": seq, "event": "message",
                    "from": { "user": "sender" }, "data": body["data"], "ts": 1_795_267_188_429_u64,
                });
                let _ = io.to(room).emit("message", &(message, format!("{seq}~"))).await;
                // Without an ack in the request this does nothing.
                let _ = ack.send(&json!({ "ok": true }));
            },
        );
        let _ = socket.emit("session", &json!({}));
    });
    serve_alone("plain", layer).await
}
