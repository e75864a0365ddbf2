//! Locations of key sets, and reading files.

use super::*;

#[test]
fn a_location_is_a_url_or_a_path() {
    assert!(matches!(
        JwksSource::parse("keys/jwks.json"),
        Ok(JwksSource::File(_))
    ));
    assert!(matches!(
        JwksSource::parse("https://id.example/jwks"),
        Ok(JwksSource::Url { .. })
    ));
    assert!(matches!(
        JwksSource::parse("http://"),
        Err(LoadError::Url(_))
    ));
}

#[test]
fn plain_http_is_exposed_unless_on_loopback() {
    let exposed = |location| JwksSource::parse(location).unwrap().is_exposed();
    assert!(exposed("http://id.example/jwks"));
    assert!(!exposed("http://127.0.0.1:8080/jwks"));
    assert!(!exposed("http://[::1]/jwks"));
    assert!(!exposed("http://localhost/jwks"));
    assert!(!exposed("https://id.example/jwks"));
}

#[test]
fn a_password_in_the_url_is_redacted() {
    let source = JwksSource::parse("https://me:secret@id.example/jwks?key=secret").unwrap();
    let shown = "https://***@id.example/jwks?***";
    assert_eq!(source.to_string(), shown);
    assert_eq!(format!("{source:?}"), shown);
}

#[test]
fn a_file_that_is_missing_or_too_large_is_an_error_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let error = JwksSource::read_file(&path).unwrap_err();
    assert!(
        error.with_causes().contains("No such file"),
        "{}",
        error.with_causes()
    );
    std::fs::write(&path, vec![b' '; MAX_BYTES]).unwrap();
    assert_eq!(JwksSource::read_file(&path).unwrap().len(), MAX_BYTES);
    std::fs::write(&path, vec![b' '; MAX_BYTES + 1]).unwrap();
    assert!(matches!(
        JwksSource::read_file(&path),
        Err(LoadError::TooLarge)
    ));
}
