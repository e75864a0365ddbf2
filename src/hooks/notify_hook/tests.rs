use crate::{hooks::HooksSettings, options::Tables};

fn problems(json: &str) -> Vec<String> {
    let settings = HooksSettings {
        notify: Tables::from_json(json).unwrap(),
        ..HooksSettings::default()
    };
    let problems = settings.notifications().err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn an_endpoint_needs_a_url_and_something_to_be_told_of() {
    assert_eq!(
        problems(r#"[{"url":"http://127.0.0.1:8000/events","events":["message","user.online"]}]"#),
        [""; 0]
    );
    assert_eq!(problems(r#"[{"events":["message"]}]"#).len(), 1);
    assert_eq!(problems(r#"[{"url":"http://a/"}]"#).len(), 1);
}

#[test]
fn every_problem_is_named_by_index_and_key() {
    let found = problems(
        r#"[{"url":"http://a/","events":["message","member.join"],"timeout":"61s","secret":"hush"},
            {"url":"http://b/?token=hush","events":["user.online"],"rooms":"a*","concurrency":2},
            {"url":"http://a/","events":["message"]},
            {"url":"http://c/","events":["message"]},{"url":"http://c/","events":["user.online"]}]"#,
    );
    for start in [
        "hooks.notify[0].events: has \"member.join\"; expected some of message, notification.unseen, ",
        "hooks.notify[0].timeout: ",
        "hooks.notify[0].secret: is no secret",
        "hooks.notify[1].rooms: narrows",
        "hooks.notify[1].concurrency: there is no such key",
        "hooks.notify[4].url: another table",
    ] {
        assert!(
            found.iter().any(|problem| problem.starts_with(start)),
            "{start}: {found:#?}"
        );
    }
    assert!(!found.concat().contains("hush"));
}
