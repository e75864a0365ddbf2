//! The macros that define options.
//!
//! [`section!`] defines a struct with typed fields and, from the same lines, the list of its options; [`choice!`] defines
//! an enum whose variants are written as fixed words.

use super::value::{InvalidValue, OptionSpec, Value};

/// A struct whose fields are options or nested sections.
pub trait Section: Default {
    /// The options of the section and of its nested sections, in declaration order.
    fn options() -> Vec<OptionSpec>;

    /// Parses `value` and stores it in the field of `option`; `None` if the section has no such option.
    fn set(&mut self, option: &OptionSpec, value: &Value) -> Option<Result<(), InvalidValue>>;

    /// Returns the value of `option`; `None` if the section has no such option.
    fn get(&self, option: &OptionSpec) -> Option<Value>;

    /// Whether [`get`](Self::get) redacts the value of `option`.
    fn is_redacted(&self, option: &OptionSpec) -> bool;
}

/// Defines a struct whose fields are the options of one table of the file, optionally with nested sections.
///
/// The doc comment of a field is the description of the option. The default is text that goes through the same parser as
/// every other source.
macro_rules! section {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident at $at:literal {
            $( $(#[doc = $doc:literal])+ $field:ident : $type:ty = $default:literal, )*
        }
        $( sections { $( $(#[doc = $subdoc:literal])+ $sub:ident : $section:ty, )* } )?
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )*
            $( $( $(#[doc = $subdoc])+ pub $sub: $section, )* )?
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $( $field: <$type as $crate::options::OptionValue>::parse($default)
                        .expect("the default of an option is valid"), )*
                    $( $( $sub: <$section>::default(), )* )?
                }
            }
        }

        impl $crate::options::Section for $name {
            fn options() -> Vec<$crate::options::OptionSpec> {
                #[allow(unused_mut)]
                let mut options = vec![ $( $crate::options::OptionSpec {
                    section: $at,
                    name: stringify!($field),
                    default: $default,
                    doc: concat!($($doc),+).trim_ascii(),
                    metavar: <$type as $crate::options::OptionValue>::METAVAR,
                    secret: <$type as $crate::options::OptionValue>::SECRET,
                    any_text: <$type as $crate::options::OptionValue>::ANY_TEXT,
                    expected: <$type as $crate::options::OptionValue>::expected,
                }, )* ];
                $( $( options.extend(<$section as $crate::options::Section>::options()); )* )?
                options
            }

            fn set(
                &mut self,
                option: &$crate::options::OptionSpec,
                value: &$crate::options::Value,
            ) -> Option<Result<(), $crate::options::InvalidValue>> {
                $( if (option.section, option.name) == ($at, stringify!($field)) {
                    return Some($crate::options::OptionValue::from_value(value).map(|read| self.$field = read));
                } )*
                $( $( if let Some(done) = self.$sub.set(option, value) {
                    return Some(done);
                } )* )?
                None
            }

            fn get(&self, option: &$crate::options::OptionSpec) -> Option<$crate::options::Value> {
                $( if (option.section, option.name) == ($at, stringify!($field)) {
                    return Some($crate::options::OptionValue::to_value(&self.$field));
                } )*
                $( $( if let Some(value) = self.$sub.get(option) {
                    return Some(value);
                } )* )?
                None
            }

            fn is_redacted(&self, option: &$crate::options::OptionSpec) -> bool {
                $( if (option.section, option.name) == ($at, stringify!($field)) {
                    return $crate::options::OptionValue::is_redacted(&self.$field);
                } )*
                false $( $( || self.$sub.is_redacted(option) )* )?
            }
        }
    };
}

/// Defines an enum as an option's type: each variant is written as one word.
macro_rules! choice {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident { $( $(#[$doc:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$doc])* $variant, )+ }

        impl $name {
            /// The word that stands for the variant.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::options::OptionValue for $name {
            const METAVAR: &'static str = concat!($("|", $word),+).split_at(1).1;

            fn expected() -> String {
                [$($word),+].join(" or ")
            }

            fn parse(text: &str) -> Option<Self> {
                match text.trim() {
                    $( $word => Some(Self::$variant), )+
                    _ => None,
                }
            }

            fn to_value(&self) -> $crate::options::Value {
                $crate::options::Value::Text(self.as_str().to_owned())
            }
        }
    };
}

pub(crate) use {choice, section};
