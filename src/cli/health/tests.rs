//! The health command without a server.

use super::*;

#[test]
fn a_server_on_every_address_is_asked_on_this_machine() {
    for (listen, asked) in [
        ("0.0.0.0:3000", "127.0.0.1:3000"),
        ("[::]:80", "[::1]:80"),
        ("10.1.2.3:7", "10.1.2.3:7"),
    ] {
        assert_eq!(
            connect_address(listen.parse().unwrap()),
            asked.parse().unwrap()
        );
    }
}

#[test]
fn a_server_is_asked_where_it_has_its_health_routes() {
    let mut config = Config {
        listen: "127.0.0.1:3000".parse().unwrap(),
        ..Config::default()
    };
    config.http.prefix = "/realtime".to_owned();
    let address = |config: &Config| {
        HealthRoutes::of(config).map(|it| format!("{} {}{}", it.tls, it.listen, it.prefix))
    };
    assert_eq!(address(&config).unwrap(), "false 127.0.0.1:3000/realtime");
    config.tls.self_signed = true;
    assert_eq!(address(&config).unwrap(), "true 127.0.0.1:3000/realtime");
    config.http.routes = vec![RouteGroup::Rest];
    assert_eq!(address(&config), None);
    config.http.internal_listen = Some("127.0.0.1:9090".parse().unwrap());
    assert_eq!(address(&config).unwrap(), "false 127.0.0.1:9090");
}

#[test]
fn the_status_and_the_body_of_an_answer_are_read() {
    let answer = parse_response("HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\n{}").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (503, "{}"));
    assert!(parse_response("+PONG\r\n\r\n").is_none());
}
