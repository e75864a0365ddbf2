//! Parsing of retention rules.

use super::*;

#[test]
fn retention_rules_are_separated_by_semicolons_or_white_space() {
    let rules = RetentionRules::parse("team:*=1000,30d; ab*=5,1h\nuser:*=0,1d").unwrap();
    let read: Vec<_> = rules
        .iter()
        .map(|rule| (rule.pattern.as_str(), rule.messages, rule.age.as_secs()))
        .collect();
    assert_eq!(
        read,
        [
            ("team:*", 1000, 2_592_000),
            ("ab*", 5, 3600),
            ("user:*", 0, 86_400)
        ]
    );
    assert_eq!(RetentionRules::from_value(&rules.to_value()), Ok(rules));
}

#[test]
fn a_rule_without_pattern_count_or_age_is_rejected() {
    for text in [
        "team",
        "team=5",
        "=5,1d",
        "team=x,1d",
        "team=5,1",
        "team=5,1d,2",
    ] {
        assert_eq!(RetentionRule::parse(text), None, "{text}");
    }
}
