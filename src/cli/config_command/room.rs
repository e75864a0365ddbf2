//! `switchboard config --room`: what applies in a room, where it is set, and what an identity may do there.

use std::{fmt::Write as _, fs};

use crate::{
    auth::{Permission, Principal},
    config::{Config, LoadedConfig, ValueSource},
    model::{RoomName, Timestamp},
    policies::{
        self, EventRule, JoinRule, KeptHistory, PresenceRule, PublishRule, RoomPolicies, RoomPolicy,
    },
};

/// Describes a room, and what the identity of a token may do there.
///
/// # Errors
/// What is wrong with the token.
pub(super) fn describe(
    loaded: &LoadedConfig,
    room: &RoomName,
    token: Option<&str>,
) -> Result<String, String> {
    let policies = loaded.config.policies();
    let policies = policies.unwrap_or_default();
    let policy = policies.of(room);
    let mut text = match policy {
        Some(policy) => format!(
            "room {room}: {}, match = \"{}\"{}\n",
            policy.name(),
            policy.pattern,
            place(loaded, policy.index)
        ),
        None => format!("room {room}: no table of [[rooms]] matches it\n"),
    };
    let mut rows = rows(&loaded.config, room, &policies);
    if let Some(token) = token {
        let principal = verify(&loaded.config, token)?;
        rows.push(Row::heading(format!("user {}", principal.user)));
        rows.extend(permissions(room, policy, &principal));
    }
    for Row { name, value, from } in rows {
        let line = match name {
            "" => format!("\n{value}"),
            name => format!("  {name:<14} {value:<24} {from}"),
        };
        let _ = writeln!(text, "{}", line.trim_end());
    }
    Ok(text)
}

/// A line of the description.
struct Row {
    name: &'static str,
    value: String,
    /// Where it is set, or why.
    from: String,
}

impl Row {
    fn new(name: &'static str, value: impl Into<String>, from: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
            from: from.into(),
        }
    }

    fn heading(text: String) -> Self {
        Self::new("", text, "")
    }
}

/// What applies in the room.
fn rows(config: &Config, room: &RoomName, policies: &RoomPolicies) -> Vec<Row> {
    let policy = policies.of(room);
    let from = |key: &str, otherwise: &str| match policy {
        Some(policy) if config.rooms.has(policy.index, key) => policy.name(),
        _ => otherwise.to_owned(),
    };
    let kept = config.retention(policies).policy(room);
    let kept = KeptHistory {
        messages: kept.messages,
        age: kept.age,
    };
    let bytes = policy.and_then(|policy| policy.message_bytes);
    let bytes = bytes.unwrap_or(config.limits.message_bytes.bytes());
    let rate = policy.and_then(|policy| policy.rate.as_ref());
    let rate = match rate {
        Some(rates) => format!("{} of each user", rates.rate),
        None => "no rate of its own".to_owned(),
    };
    let word = |of_policy: fn(&RoomPolicy) -> &'static str, otherwise: &'static str| {
        policy.map_or(otherwise, of_policy)
    };
    let history_from = match config.history.rooms.is_empty() {
        true => "history.messages, history.age",
        false => "history.rooms",
    };
    let mut rows = vec![
        Row::new(
            "join",
            word(|p| p.join.as_str(), "anyone"),
            from("join", "everywhere"),
        ),
        Row::new(
            "publish",
            word(|p| p.publish.as_str(), "anyone"),
            from("publish", "everywhere"),
        ),
        Row::new("history", kept.to_string(), from("history", history_from)),
        Row::new(
            "presence",
            word(|p| p.presence.as_str(), "users"),
            from("presence", "everywhere"),
        ),
        Row::new(
            "typing",
            policy.is_none_or(|p| p.typing).to_string(),
            from("typing", "everywhere"),
        ),
        Row::new("rate", rate, from("rate", "limits.messages_per_second")),
        Row::new(
            "message_bytes",
            bytes.to_string(),
            from("message_bytes", "limits.message_bytes"),
        ),
    ];
    let events = policy.into_iter().flat_map(|policy| policy.events.iter());
    let shown = |(event, rule): (&str, &EventRule)| match rule {
        EventRule::Anything => format!("{event}: anything"),
        EventRule::Refused => format!("{event}: refused"),
        EventRule::Schema(schema) => format!("{event}: {}", schema.file().display()),
    };
    let events: Vec<_> = events.map(shown).collect();
    match events.is_empty() {
        true => rows.push(Row::new("events", "anything", "everywhere")),
        false => rows.extend(
            events
                .into_iter()
                .map(|event| Row::new("events", event, from("events", ""))),
        ),
    }
    rows
}

/// What an identity may do in the room.
fn permissions(room: &RoomName, policy: Option<&RoomPolicy>, principal: &Principal) -> Vec<Row> {
    let by_grants = |permission: Permission| match principal.may(permission, room) {
        true => Ok(()),
        false => Err("the token does not grant it".to_owned()),
    };
    let join = by_grants(Permission::Join).and_then(|()| match policy.map(|policy| policy.join) {
        Some(JoinRule::Nobody) => Err("nobody may".to_owned()),
        Some(JoinRule::Hook) => Ok("if a hook permits it"),
        _ => Ok(""),
    });
    let publish =
        by_grants(Permission::Publish).and_then(|()| match policy.map(|policy| policy.publish) {
            Some(PublishRule::Nobody) => Err("nobody may".to_owned()),
            Some(PublishRule::Backend) => Err("only back ends may".to_owned()),
            Some(PublishRule::Hook) => Ok("if a hook permits it"),
            Some(PublishRule::Members) => Ok("as a member"),
            _ => Ok(""),
        });
    let of_members = |permission, is_for_members: bool| {
        by_grants(permission).and_then(|()| match is_for_members {
            true => Ok(""),
            false => Err("the policy does not permit it".to_owned()),
        })
    };
    let publish_rule = policy.map_or(PublishRule::Anyone, |policy| policy.publish);
    let signals = matches!(publish_rule, PublishRule::Anyone | PublishRule::Members);
    let shows = policy.is_none_or(|policy| policy.presence != PresenceRule::Off);
    let history = by_grants(Permission::History).map(|()| match &join {
        Ok(_) => "",
        Err(_) => "as a member",
    });
    [
        ("join", join),
        ("publish", publish),
        ("history", history),
        ("presence", of_members(Permission::Presence, shows)),
        ("signal", of_members(Permission::Signal, signals)),
    ]
    .into_iter()
    .map(|(name, may)| match may {
        Ok(why) => Row::new(name, "yes", why),
        Err(why) => Row::new(name, "no", why),
    })
    .collect()
}

/// Who a token speaks for.
fn verify(config: &Config, token: &str) -> Result<Principal, String> {
    crate::app::install_default_provider();
    let authority = config.auth.authority();
    let authority =
        authority.map_err(|problems| crate::config::ConfigError::from(problems).to_string())?;
    if authority.is_open() {
        return Err("no key is configured, so tokens are not read".to_owned());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the runtime failed: {error}"))?;
    runtime.block_on(async {
        authority
            .start(tokio_util::sync::CancellationToken::new())
            .await;
        let verified = authority.verify(token, Timestamp::now()).await;
        verified.map_err(|error| format!("the token is refused: {}", error.message()))
    })
}

/// Where a table is in the file, if it is in one.
fn place(loaded: &LoadedConfig, index: usize) -> String {
    let source = loaded.value_sources.get(policies::OPTION);
    let Some(ValueSource::File(path, _)) = source else {
        return source.map_or_else(String::new, |source| format!(" ({source})"));
    };
    let text = fs::read_to_string(path).unwrap_or_default();
    let header = format!("[[{}]]", policies::OPTION);
    let mut lines = text.lines().enumerate();
    let line = lines
        .by_ref()
        .filter(|(_, line)| line.replace(' ', "").starts_with(&header))
        .nth(index);
    match line {
        Some((line, _)) => format!(" ({}:{})", path.display(), line + 1),
        None => format!(" ({})", path.display()),
    }
}
