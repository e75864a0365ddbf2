//! Documents in Redis, where a connection may be lost before a reply has arrived.

use bytes::Bytes;

use super::*;
use crate::{
    backend::{DocumentStore, UpdateTerms},
    model::RoomName,
};

#[tokio::test]
async fn an_update_that_is_sent_again_is_counted_once_and_not_refused_for_itself() {
    let server = Server::start().await;
    let node = TestNode::at(server.url(), &[]).await;
    let name = RoomName::parse("d").unwrap();
    let append = async |text: &'static str| {
        let terms = UpdateTerms {
            max_bytes: 10,
            is_told: false,
        };
        let update = Bytes::from_static(text.as_bytes());
        node.log.append_update(&name, update, terms).await
    };
    let first = append("12345").await.unwrap();
    let last = append("67890").await.unwrap();
    assert_eq!(last, first + 1);
    assert_eq!(append("67890").await.unwrap(), last);
    let info = node.log.find_document(&name).await.unwrap().unwrap();
    assert_eq!((info.last, info.updates, info.bytes), (last, 2, 10));
    for other in ["12345", "7890", ""] {
        let appended = append(other).await;
        assert_eq!(appended.is_ok(), other.is_empty(), "{other:?}");
    }
}
