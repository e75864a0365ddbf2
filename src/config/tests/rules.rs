//! Rules over several options, and secrets in what is printed.

use super::*;

#[test]
fn rules_over_several_options_are_checked() {
    let rules: [(&str, &[(&str, &str)]); 19] = [
        (
            "both are set",
            &[
                ("auth.hmac_secret", "a"),
                ("auth.hmac_secret_file", "/nowhere"),
            ],
        ),
        (
            "the file /nowhere cannot be read",
            &[("auth.hmac_secret_file", "/nowhere")],
        ),
        (
            "the file /nowhere cannot be read",
            &[("auth.public_key", "/nowhere")],
        ),
        (
            "holds a PRIVATE KEY",
            &[(
                "auth.public_key",
                "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----",
            )],
        ),
        (
            "/nowhere: the file cannot be read",
            &[("auth.jwks", "/nowhere")],
        ),
        (
            "burst of 10 is less than 50",
            &[("limits.messages_burst", "10")],
        ),
        ("burst of 1 is less than 20", &[("limits.joins_burst", "1")]),
        (
            "cannot hold a message of 1 MiB",
            &[
                ("limits.message_bytes", "1 MiB"),
                ("websocket.max_payload", "2 MiB"),
            ],
        ),
        (
            "cannot hold a message of 1 MiB",
            &[
                ("limits.message_bytes", "1 MiB"),
                ("socketio.max_payload", "2 MiB"),
            ],
        ),
        (
            "\"socket.io\" is no path",
            &[("socketio.path", "socket.io")],
        ),
        (
            "\"/nowhere\" is neither a folder here nor a URL of one",
            &[("socketio.client", "/nowhere")],
        ),
        (
            "are rules for the same event",
            &[("socketio.relay", "draw, draw=all")],
        ),
        (
            "/chat is none of socketio.namespaces",
            &[("socketio.contract", "/chat")],
        ),
        ("is no prefix of paths", &[("http.prefix", "/realtime/")]),
        ("is no prefix of paths", &[("http.prefix", "/{tenant}")]),
        (
            "fits no origin",
            &[("http.origins", "https://example.com/chat")],
        ),
        ("shorter than drain.over", &[("drain.over", "1m")]),
        ("must be at least 1s", &[("presence.lease", "999ms")]),
        (
            "log.filter: invalid filter \"a=b=c\"",
            &[("log.filter", "a=b=c")],
        ),
    ];
    for (part, flags) in rules {
        let message = problems("", &[], flags);
        assert_contains(&message, &[part, "invalid configuration:"]);
    }
    for good in [
        ("limits.messages_burst", "0"),
        ("limits.messages_per_second", "0"),
        (
            "socketio.relay",
            "chat message, new message=all, join, / draw:*=ack",
        ),
        ("http.origins", "https://*.example.com, *"),
        ("auth.jwks", "https://example.com/jwks.json"),
    ] {
        loaded("", &[], &[good]).unwrap_or_else(|problems| panic!("{good:?}: {problems}"));
    }
}

#[test]
fn listening_on_a_public_address_needs_a_key_or_allow_anyone() {
    let public = ("listen", "0.0.0.0:3000");
    assert_contains(
        &problems("", &[], &[public]),
        &[
            "auth.hmac_secret, auth.public_key or auth.jwks",
            "auth.allow_anyone = true",
        ],
    );
    assert!(loaded("", &[], &[public, ("auth.hmac_secret", SECRET)]).is_ok());
    assert!(loaded("", &[], &[public, ("auth.allow_anyone", "true")]).is_ok());
    assert!(loaded("", &[], &[("listen", "[::1]:3000")]).is_ok());
    // An empty secret, as from an unset variable of a compose file, is no secret.
    problems("", &[("SWITCHBOARD_AUTH_HMAC_SECRET", "")], &[public]);
}

#[test]
fn an_invalid_key_is_not_also_reported_as_missing() {
    let message = problems(
        "listen = '0.0.0.0:1'\n[auth]\nhmac_secret = ['hush']\n",
        &[],
        &[],
    );
    assert_contains(
        &message,
        &[
            "invalid configuration:",
            "toml:3: auth.hmac_secret has a wrong value",
        ],
    );
    assert!(!message.contains("hush"));
}

#[test]
fn a_secret_is_never_printed() {
    let flags = [("auth.hmac_secret", SECRET), ("node", "n")];
    let found = loaded("", &[], &flags).unwrap();
    assert_eq!(
        found.config.auth.hmac_secret.as_ref().unwrap().expose(),
        SECRET
    );
    let printed = print(&found.config, &found.value_sources);
    assert_contains(
        &printed,
        &["\n# hmac_secret = \"(set)\" # --auth-hmac-secret\n"],
    );
    for text in [printed, format!("{found:?}")] {
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn a_secret_file_may_end_in_a_line_break() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("secret");
    let flags = [("auth.hmac_secret_file", path.to_str().unwrap())];
    fs::write(&path, format!("{SECRET}\n")).unwrap();
    let auth = loaded("", &[], &flags).unwrap().config.auth;
    assert_eq!(auth.signing_secret().unwrap().unwrap().expose(), SECRET);
    fs::write(&path, "hush\n").unwrap();
    assert_contains(
        &problems("", &[], &flags),
        &["has 4 bytes", "at least 32 random ones"],
    );
}
