use super::*;

#[test]
fn an_error_of_the_server_keeps_its_code_and_any_other_is_not_the_clients_business() {
    let own = Error::forbidden("not you").retry_after(Duration::from_secs(1));
    let own = HandlerError::from(own);
    assert_eq!((own.code(), own.message()), ("forbidden", "not you"));
    assert_eq!(own.retry_after_ms, Some(1000));
    assert_eq!(own.to_error().code(), Code::Forbidden);
    let foreign = HandlerError::from(std::io::Error::other("the password is 1234"));
    assert_eq!(foreign.code(), "internal");
    assert!(!foreign.encode().text.contains("1234"));
    assert!(foreign.source().unwrap().to_string().contains("1234"));
}

#[test]
fn a_client_is_sent_code_message_and_data() {
    let error = HandlerError::new("too_poor", "not enough").with_data(&[5]);
    assert_eq!(
        &*error.encode().text,
        r#"[{"ok":false,"error":{"code":"too_poor","message":"not enough","data":[5]}}]"#
    );
    assert_eq!(error.to_error().code(), Code::BadRequest);
}
