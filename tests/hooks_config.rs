//! `[[hooks.call]]` and `[[hooks.notify]]` as an operator meets them: where it is written, what is said of what is wrong, and what is printed.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output},
    thread,
};

use tempfile::TempDir;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Runs `switchboard` in a folder with files; returns the exit code, and everything that was printed.
fn run(files: &[(&str, &str)], variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("the folder can be written");
    }
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .current_dir(folder.path())
        .env_clear()
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .expect("the command starts");
    let printed = String::from_utf8([stdout, stderr].concat()).expect("text");
    (status.code().expect("an exit code"), printed)
}

const GOOD: &str = r#"
[hooks]
response_bytes = "2 MiB"

[[hooks.call]]
url = "https://app.example/realtime?key=hush"
events = ["createOrder", "cart:*"]
on = ["connect", "join", "publish"]
rooms = "team-*"
timeout = "2s"
concurrency = 7
headers = ["cookie"]
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

[[hooks.call]]
url = "http://127.0.0.1:8000/"
events = ["typing"]
secret_file = "secret"

[[hooks.notify]]
url = "https://app.example/events?key=hush"
events = ["message", "member.left"]
rooms = "team-*"
timeout = "20s"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"#;

#[test]
fn endpoints_come_from_the_file_or_from_json_in_a_variable() {
    let (code, printed) = run(
        &[("switchboard.toml", GOOD), ("secret", SECRET)],
        &[],
        &["config", "--check"],
    );
    assert_eq!((code, &*printed), (0, "configuration is valid\n"));
    let json = r#"[{"url":"http://127.0.0.1:8000/","events":["createOrder"]}]"#;
    let (code, printed) = run(&[], &[("SWITCHBOARD_HOOKS_CALL", json)], &["config"]);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("#   / hook: createOrder\n"), "{printed}");
    assert!(
        printed.contains("# environment SWITCHBOARD_HOOKS_CALL\n"),
        "{printed}"
    );
}

#[test]
fn the_printed_endpoints_load_again_and_show_no_secret() {
    let files = [("switchboard.toml", GOOD), ("secret", SECRET)];
    let (code, printed) = run(&files, &[], &["config"]);
    assert_eq!(code, 0, "{printed}");
    for line in [
        "[[hooks.call]] # switchboard.toml:5\n",
        "# url = \"https://app.example/realtime?***\"\n",
        "concurrency = 7\n",
        "# secret = \"(set)\"",
        "url = \"http://127.0.0.1:8000/\"\n",
        "secret_file = \"secret\"",
        "[[hooks.notify]] # switchboard.toml:20\n",
        "# url = \"https://app.example/events?***\"\n",
        "timeout = \"20s\"\n",
    ] {
        assert!(printed.contains(line), "{line:?} is missing:\n{printed}");
    }
    assert!(
        !printed.contains("hush") && !printed.contains("MfKQ"),
        "{printed}"
    );
    let again = printed
        .replace(
            "# url = \"https://app.example/realtime?***\"",
            "url = \"http://a/\"",
        )
        .replace(
            "# url = \"https://app.example/events?***\"",
            "url = \"http://b/\"",
        );
    let files = [("switchboard.toml", &*again), ("secret", SECRET)];
    let (code, printed) = run(&files, &[], &["config"]);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("rooms = \"team-*\"\n"), "{printed}");
}

#[test]
fn every_problem_is_reported_with_index_and_key_and_no_secret() {
    let file = r#"
[socketio]
relay = ["draw"]

[[hooks.call]]
url = "gopher://a"
events = ["draw", "disconnect", "fine"]
secret = "hush"

[[hooks.call]]
url = "http://a/"
on = ["join", "leave"]
timeout = "soon"
colour = "red"
"#;
    let (code, printed) = run(&[("switchboard.toml", file)], &[], &["config", "--check"]);
    assert_eq!(code, 2, "{printed}");
    for problem in [
        "hooks.call[0].url: is no URL of http or https",
        "hooks.call[0].secret: is no secret; expected whsec_",
        "hooks.call[1].on: has \"leave\"; expected connect or join or publish",
        "hooks.call[1].timeout: expected ",
        "hooks.call[1].colour: there is no such key; there are url, ",
    ] {
        assert!(printed.contains(problem), "{problem}\n{printed}");
    }
    assert!(!printed.contains("hush"), "{printed}");
    let file = r#"
socketio.relay = ["draw"]
[[hooks.call]]
url = "http://a/"
events = ["draw", "disconnect", "a*", "ab*", "twice", "twice"]
"#;
    let (_, printed) = run(&[("switchboard.toml", file)], &[], &["config", "--check"]);
    for problem in [
        "hooks.call[0].events: \"draw\" is relayed by socketio.relay, too",
        "hooks.call[0].events: \"disconnect\" cannot be answered",
        "hooks.call[0].events: \"ab*\" never applies",
        "hooks.call[0].events: \"twice\" is named twice",
    ] {
        assert!(printed.contains(problem), "{problem}\n{printed}");
    }
    let notify = r#"[{"url":"http://a/","events":["message","member.join"]},{"url":"http://a/","events":["user.online"],"rooms":"a"}]"#;
    let (code, printed) = run(&[], &[("SWITCHBOARD_HOOKS_NOTIFY", notify)], &["config"]);
    assert_eq!(code, 2);
    for problem in [
        "hooks.notify[0].events: has \"member.join\"; expected some of message, ",
        "hooks.notify[1].rooms: narrows ",
    ] {
        assert!(printed.contains(problem), "{problem}\n{printed}");
    }
    let (code, printed) = run(
        &[],
        &[("SWITCHBOARD_HOOKS_CALL", "[{\"secret\":\"hush\"")],
        &["config"],
    );
    assert_eq!(code, 2);
    assert!(
        printed.contains("SWITCHBOARD_HOOKS_CALL: hooks.call has a wrong value; expected tables"),
        "{printed}"
    );
    assert!(!printed.contains("hush"), "{printed}");
}

#[test]
fn endpoints_are_reached_only_with_online() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (mut stream, mut head) = (stream, [0; 4096]);
            let _ = stream.read(&mut head);
            let _ = stream
                .write_all(b"HTTP/1.1 405 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let hooks = |url: &str| format!(r#"[{{"url":"{url}","events":["a"],"timeout":"2s"}}]"#);
    let there = hooks(&format!("http://127.0.0.1:{port}/"));
    let nowhere = hooks("http://127.0.0.1:1/");
    for (option, event) in [
        ("SWITCHBOARD_HOOKS_CALL", "a"),
        ("SWITCHBOARD_HOOKS_NOTIFY", "message"),
    ] {
        let check = |hooks: &str, arguments: &[&str]| {
            let hooks = hooks.replace(r#"["a"]"#, &format!(r#"["{event}"]"#));
            let arguments = [&["config", "--check"], arguments].concat();
            run(&[], &[(option, &hooks)], &arguments)
        };
        assert_eq!(check(&nowhere, &[]).0, 0);
        assert_eq!(
            check(&there, &["--online"]),
            (0, "configuration is valid\n".to_owned())
        );
        let (code, printed) = check(&nowhere, &["--online"]);
        assert_eq!(code, 1);
        assert!(
            printed.contains("error: hooks: http://127.0.0.1:1/: no connection"),
            "{printed}"
        );
    }
}
