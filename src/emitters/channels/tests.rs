//! Who speaks on which channel.

use super::*;

fn namespaces() -> [Namespace; 2] {
    ["/", "/chat"].map(|name| Namespace::parse(name).unwrap())
}

#[test]
fn a_channel_tells_the_namespace_and_the_only_room() {
    let both = [EmitterSystem::SocketIo, EmitterSystem::Python];
    let channels = Channels::new(&both, "socket.io", &namespaces());
    let of = |channel: &str| match channels.source(channel) {
        Some(Source::Broadcast(channels, room)) => {
            format!("{} {}", channels.namespace, room.unwrap_or("-"))
        }
        Some(Source::Request(channels)) => format!("request {}", channels.responses),
        Some(Source::Python) => "python".to_owned(),
        None => "nobody".to_owned(),
    };
    for (channel, expected) in [
        ("socket.io#/#", "/ -"),
        ("socket.io#/#lobby#", "/ lobby"),
        ("socket.io#/chat#a#b#", "/chat a#b"),
        ("socket.io#/other#", "nobody"),
        (
            "socket.io-request#/chat#",
            "request socket.io-response#/chat#",
        ),
        ("socket.io-response#/chat#", "nobody"),
        ("socketio", "python"),
        ("", "nobody"),
    ] {
        assert_eq!(of(channel), expected, "{channel}");
    }
}

#[test]
fn only_the_channels_of_the_configured_systems_are_subscribed_to() {
    let named = |name: &str| Channel::Named(name.to_owned());
    let python = Channels::new(&[EmitterSystem::Python], "socket.io", &namespaces());
    assert_eq!(python.subscriptions(), [named("socketio")]);
    assert!(python.source("socket.io#/#").is_none());
    let node = Channels::new(&[EmitterSystem::SocketIo], "k", &namespaces()[..1]);
    let beginning = Channel::Beginning("k#/#".to_owned());
    assert_eq!(node.subscriptions(), [beginning, named("k-request#/#")]);
    assert!(node.source("socketio").is_none());
}
