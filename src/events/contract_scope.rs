//! In which namespaces the contract's own events exist: an option's type.

use crate::{
    model::Namespace,
    options::{InvalidValue, OptionValue, Value},
};

/// The namespaces in which the contract's own events exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContractScope {
    /// In all of them.
    All,
    /// In none.
    None,
    /// In these.
    Only(Vec<Namespace>),
}

impl ContractScope {
    /// Whether the contract's events exist in a namespace.
    pub fn includes(&self, namespace: &Namespace) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(namespaces) => namespaces.contains(namespace),
        }
    }
}

impl OptionValue for ContractScope {
    const METAVAR: &'static str = "true|false|LIST";

    fn expected() -> String {
        format!(
            "true, false or a list of namespaces, each {}",
            Namespace::expected()
        )
    }

    fn parse(text: &str) -> Option<Self> {
        Self::from_value(&Value::Text(text.to_owned())).ok()
    }

    fn to_value(&self) -> Value {
        match self {
            Self::All => Value::Bare("true".to_owned()),
            Self::None => Value::Bare("false".to_owned()),
            Self::Only(namespaces) => namespaces.to_value(),
        }
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match value {
            Value::Text(text) | Value::Bare(text) if text.trim() == "true" => Ok(Self::All),
            Value::Text(text) | Value::Bare(text) if text.trim() == "false" => Ok(Self::None),
            value => match Vec::<Namespace>::from_value(value) {
                Ok(namespaces) if !namespaces.is_empty() => Ok(Self::Only(namespaces)),
                Ok(_) => Err(InvalidValue::expected(Self::expected())),
                Err(invalid) => Err(InvalidValue {
                    expected: Self::expected(),
                    ..invalid
                }),
            },
        }
    }
}

#[cfg(test)]
mod tests;
