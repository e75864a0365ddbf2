//! The macros that define options, each exactly once.
//!
//! [`section!`] makes a struct of typed fields and, from the same lines, the table of its options; [`choice!`] makes
//! an option's type out of a few words.

use super::setting::{OptionSpec, Unfit, Value};

/// A struct whose fields are options, or sections of options.
pub trait Section: Default {
    /// Its options, in the order of its fields.
    fn options() -> Vec<OptionSpec>;

    /// Reads `value` into the field of `option`; `None` if the option is not here.
    fn set(&mut self, option: &OptionSpec, value: &Value) -> Option<Result<(), Unfit>>;

    /// The value of `option`; `None` if the option is not here.
    fn get(&self, option: &OptionSpec) -> Option<Value>;

    /// Whether the value of `option` that [`get`](Self::get) answers leaves out what is secret.
    fn hides(&self, option: &OptionSpec) -> bool;
}

/// Defines a struct whose fields are the options of one table of the file, and perhaps whole sections.
///
/// The documentation of a field is the documentation of the option; its default is text, read by the same parser as
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
                    $( $field: <$type as $crate::config::Setting>::parse($default)
                        .expect("a default is a value that its option takes"), )*
                    $( $( $sub: <$section>::default(), )* )?
                }
            }
        }

        impl $crate::config::Section for $name {
            fn options() -> Vec<$crate::config::OptionSpec> {
                #[allow(unused_mut)]
                let mut options = vec![ $( $crate::config::OptionSpec {
                    section: $at,
                    name: stringify!($field),
                    default: $default,
                    doc: concat!($($doc),+).trim_ascii(),
                    metavar: <$type as $crate::config::Setting>::METAVAR,
                    secret: <$type as $crate::config::Setting>::SECRET,
                    free: <$type as $crate::config::Setting>::FREE,
                    expected: <$type as $crate::config::Setting>::expected,
                }, )* ];
                $( $( options.extend(<$section as $crate::config::Section>::options()); )* )?
                options
            }

            fn set(
                &mut self,
                option: &$crate::config::OptionSpec,
                value: &$crate::config::Value,
            ) -> Option<Result<(), $crate::config::Unfit>> {
                $( if (option.section, option.name) == ($at, stringify!($field)) {
                    return Some($crate::config::Setting::read(value).map(|read| self.$field = read));
                } )*
                $( $( if let Some(done) = self.$sub.set(option, value) {
                    return Some(done);
                } )* )?
                None
            }

            fn get(&self, option: &$crate::config::OptionSpec) -> Option<$crate::config::Value> {
                $( if (option.section, option.name) == ($at, stringify!($field)) {
                    return Some($crate::config::Setting::show(&self.$field));
                } )*
                $( $( if let Some(value) = self.$sub.get(option) {
                    return Some(value);
                } )* )?
                None
            }

            fn hides(&self, option: &$crate::config::OptionSpec) -> bool {
                $( if (option.section, option.name) == ($at, stringify!($field)) {
                    return $crate::config::Setting::hides(&self.$field);
                } )*
                false $( $( || self.$sub.hides(option) )* )?
            }
        }
    };
}

/// Defines an option's type that is one of a few words.
macro_rules! choice {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident { $( $(#[$doc:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$doc])* $variant, )+ }

        impl $name {
            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::config::Setting for $name {
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

            fn show(&self) -> $crate::config::Value {
                $crate::config::Value::Text(self.as_str().to_owned())
            }
        }
    };
}

pub(crate) use {choice, section};
