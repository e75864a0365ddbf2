use super::*;

fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).unwrap()
}

#[test]
fn a_scope_is_read_from_true_false_or_a_list_and_printed_as_it_reads() {
    let list = ContractScope::Only(vec![namespace("/"), namespace("/chat")]);
    for (text, scope) in [
        ("true", ContractScope::All),
        ("false", ContractScope::None),
        ("/, /chat", list),
    ] {
        let read = ContractScope::parse(text).unwrap();
        assert_eq!(read, scope);
        assert_eq!(ContractScope::from_value(&read.to_value()).unwrap(), read);
    }
    for wrong in ["", "yes", "chat", "/,chat"] {
        assert_eq!(ContractScope::parse(wrong), None, "{wrong:?}");
    }
    assert!(ContractScope::from_value(&Value::Items(Vec::new())).is_err());
}

#[test]
fn a_scope_includes_the_namespaces_it_names() {
    let only = ContractScope::Only(vec![namespace("/chat")]);
    assert!(only.includes(&namespace("/chat")));
    assert!(!only.includes(&Namespace::root()));
    assert!(ContractScope::All.includes(&Namespace::root()));
    assert!(!ContractScope::None.includes(&Namespace::root()));
}
