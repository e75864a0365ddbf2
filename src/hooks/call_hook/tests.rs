use crate::{hooks::HooksSettings, options::Tables};

fn problems(json: &str) -> Vec<String> {
    let settings = HooksSettings {
        call: Tables::from_json(json).unwrap(),
        ..HooksSettings::default()
    };
    let problems = settings.calls().err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn an_endpoint_needs_a_url_and_something_to_answer() {
    assert_eq!(
        problems(r#"[{"url":"http://127.0.0.1:8000/hook","events":["a","b:*"]}]"#),
        [""; 0]
    );
    assert_eq!(problems(r#"[{"events":["a"]}]"#).len(), 1);
    assert_eq!(problems(r#"[{"url":"http://a/"}]"#).len(), 1);
}

#[test]
fn every_problem_is_named_by_index_and_key() {
    let found = problems(
        r#"[{"url":"ftp://a/","on":["conect"],"timeout":"0s","concurrency":0,"secret":"hush","headers":["a b"],"rooms":"a b"},
            {"url":"http://a/","events":["a"],"secret_file":"/no/such/file","colour":1},
            {"url":"http://a/","on":["connect"],"rooms":"*"},{"url":"http://b/","on":["connect"]}]"#,
    );
    for start in [
        "hooks.call[0].url: is no URL",
        "hooks.call[0].on: has \"conect\"; expected connect or join or publish",
        "hooks.call[0].rooms: expected a pattern",
        "hooks.call[0].headers: \"a b\"",
        "hooks.call[0].secret: is no secret",
        "hooks.call[0].timeout: ",
        "hooks.call[0].concurrency: ",
        "hooks.call[1].secret_file: /no/such/file cannot be read",
        "hooks.call[1].colour: there is no such key",
        "hooks.call[2].rooms: narrows",
    ] {
        assert!(
            found.iter().any(|problem| problem.starts_with(start)),
            "{start}: {found:#?}"
        );
    }
    assert!(!found.concat().contains("hush"));
    let twice =
        problems(r#"[{"url":"http://a/","on":["connect"]},{"url":"http://b/","on":["connect"]}]"#);
    assert_eq!(twice.len(), 1);
    assert!(twice[0].starts_with("hooks.call[1].on: another endpoint"));
}
