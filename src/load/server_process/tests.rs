//! Processes in `/proc`.

use std::net::TcpListener;

use super::*;

#[test]
fn the_process_that_listens_on_a_port_is_found() {
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listening.local_addr().unwrap().port();
    let mut server = ServerProcess::new(None, port);
    assert_eq!(server.pid(), Some(std::process::id()));
    let usage = server.usage().unwrap();
    assert!(usage.memory > 1 << 20);
    assert!(own_usage().cpu >= usage.cpu);
}

#[test]
fn a_process_that_does_not_exist_uses_nothing() {
    assert_eq!(ServerProcess::new(Some(u32::MAX), 1).usage(), None);
}

#[test]
fn only_listening_sockets_of_the_port_count() {
    let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:0BB8 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0
   2: 0100007F:1BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
";
    assert_eq!(listening(table, 3000).collect::<Vec<_>>(), ["111"]);
}
