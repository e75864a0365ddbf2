//! Which idle connections are closed when there are too many.

use futures_util::FutureExt;

use super::*;

fn idle_connections(most: usize) -> Arc<IdleConnections> {
    let proxies = Arc::new(["10.0.0.0/8".parse().unwrap()]);
    IdleConnections::new(most, proxies, Arc::default())
}

fn from(all: &Arc<IdleConnections>, address: &str) -> Arc<ConnectionActivity> {
    ConnectionActivity::new(all.clone(), address.parse().unwrap())
}

fn is_closed(activity: &ConnectionActivity) -> bool {
    activity.closed().now_or_never().is_some()
}

#[test]
fn the_oldest_connection_of_the_busiest_address_is_closed() {
    let all = idle_connections(4);
    let other = from(&all, "192.0.2.1");
    let proxied: Vec<_> = (0..2).map(|_| from(&all, "10.0.0.1")).collect();
    let greedy: Vec<_> = (0..6).map(|_| from(&all, "192.0.2.7")).collect();
    let closed =
        |kept: &[Arc<ConnectionActivity>]| kept.iter().map(|it| is_closed(it)).collect::<Vec<_>>();
    assert_eq!(closed(&greedy), [true, true, true, true, true, false]);
    assert!(!is_closed(&other));
    assert_eq!(closed(&proxied), [false, false]);
    assert_eq!(all.metrics.idle_connections.get(), 4);
    drop((greedy, other, proxied));
    assert_eq!(all.metrics.idle_connections.get(), 0);
    assert!(!all.close_one());
}

#[test]
fn connections_that_a_proxy_passes_on_count_for_their_clients() {
    let all = idle_connections(4);
    let other = from(&all, "192.0.2.1");
    let passed_on = |client: &str| {
        let activity = from(&all, "10.0.0.1");
        activity.attribute_to(client.parse().unwrap());
        activity
    };
    let greedy: Vec<_> = (0..6).map(|_| passed_on("192.0.2.7")).collect();
    let closed: Vec<_> = greedy.iter().map(|it| is_closed(it)).collect();
    assert_eq!(closed, [true, true, true, false, false, false]);
    assert!(!is_closed(&other));
    drop((greedy, other));
    assert_eq!(all.metrics.idle_connections.get(), 0);
}

#[test]
fn addresses_of_one_ipv6_network_count_as_one() {
    let all = idle_connections(2);
    let other = from(&all, "192.0.2.1");
    let first = from(&all, "2001:db8::1");
    let _second = from(&all, "2001:db8::2");
    assert!(is_closed(&first) && !is_closed(&other));
}

#[test]
fn a_connection_with_an_open_request_is_closed_only_after_its_response() {
    let all = idle_connections(1);
    let busy = from(&all, "192.0.2.1");
    let request = busy.open_request();
    let _newcomer = from(&all, "192.0.2.1");
    assert!(!is_closed(&busy));
    let second = busy.open_request();
    drop(request);
    assert_eq!(all.metrics.idle_connections.get(), 1);
    drop(second);
    assert_eq!(all.metrics.idle_connections.get(), 1, "the older one went");

    let late = from(&all, "192.0.2.9");
    let (other, _one_more) = (from(&all, "192.0.2.1"), from(&all, "192.0.2.1"));
    let closing = late.closed();
    let request = late.open_request();
    late.closed.cancel();
    assert!(!is_closed(&late), "its open_request came first");
    drop((closing, request));
    assert!(is_closed(&late));
    drop(other);
}
