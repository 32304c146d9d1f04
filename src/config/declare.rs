//! The macro behind `keys`: everything that follows from the declaration of a key.

/// The first of several expressions. Optional parts of a macro precede their default.
macro_rules! first {
    ($first:expr $(, $rest:expr)* $(,)?) => {
        $first
    };
}

/// One `impl` for each type with methods for keys. An entry has the backends that use the key, and
/// the method.
macro_rules! key_methods {
    (@of $owner:ident { $($backends:tt $method:tt)* }) => {
        impl $owner {
            $(key_method! { $owner $backends $method })*
        }
    };
    ($($owner:ident)+: $entries:tt) => {
        $(key_methods! { @of $owner $entries })+
    };
}

/// The method of one type for a key, if the type has it and if it is not written by hand.
macro_rules! key_method {
    ($owner:ident $backends:tt { $field:ident; $path:literal, $($variable:literal)? }) => {};
    // A key of one backend belongs to its options, and to those of `Auto` if the backend is one of
    // `Backend::AUTO_CANDIDATES`, which a macro cannot read. Every other key belongs to the
    // builder.
    (Container [Container] $method:tt) => { key_method! { $method } };
    (Native [Native] $method:tt) => { key_method! { $method } };
    (External [External] $method:tt) => { key_method! { $method } };
    (Auto [Container] $method:tt) => { key_method! { $method } };
    (Auto [Native] $method:tt) => { key_method! { $method } };
    (Builder [] $method:tt) => { key_method! { $method } };
    (Builder [$first:ident $($further:ident)+] $method:tt) => { key_method! { $method } };
    ($other:ident $backends:tt $method:tt) => {};
    ({
        $(#[$doc:meta])*
        $field:ident ($($argument:ident: $type:ty)?) => $value:expr;
        $path:literal, $variable:literal
    }) => {
        $(#[$doc])*
        ///
        #[doc = concat!("Key `", $path, "`, variable `", $variable, "`.")]
        pub fn $field(mut self $(, $argument: $type)?) -> Self {
            self.layer.$field = Some(Sourced::new($value, Source::Builder));
            self
        }
    };
}

/// Declares all keys.
///
/// An entry with arguments, `name(argument: Type) => value`, also declares the method that sets the
/// value in code: its doc comments are the method's. An entry without them names a method in
/// `builder` that is written by hand. These lines follow, in this order:
///
/// - `path`: section and key in `ebbtide.toml`.
/// - `variable`: absent if a variable cannot have such a value.
/// - `method`: only without arguments.
/// - `backends`: the backends that use the value; absent if all do. With one backend, the key
///   belongs to it: its method is one of that backend's options, and not of the builder. A file or
///   a variable can set the key for a backend that is not selected, and the printed plan marks the
///   value.
/// - `type`: the [`KeyType`](super::key_type::KeyType), which reads, checks, merges and prints the
///   value.
/// - `legal`: the legal values, for the help of an error.
/// - `default`: a value; with `=> "text"` if it prints as that text. Or `default_of`: a function of
///   the environment, and the text for the documentation.
/// - `about`: the row in the documentation, see `tests::documentation`.
///
/// From the entries follow:
///
/// - [`Keys`](super::keys::Keys): their names,
/// - [`Layer`](super::keys::Layer): the values of one source, read and merged,
/// - [`Plan`](super::Plan): the resolved values, and their rows when it prints,
/// - the methods of [`Builder`](super::Builder) and of each backend's options.
macro_rules! declare_keys {
    ($(
        $(#[$doc:meta])*
        $field:ident $(($($argument:ident: $argument_type:ty)?) => $value:expr)? ;
        path: $path:literal,
        $(variable: $variable:literal,)?
        $(method: $method:literal,)?
        $(backends: [$($backend:ident),+],)?
        type: $type:ty,
        legal: $legal:expr,
        $(default: $default:expr $(=> $default_text:literal)?,)?
        $(default_of: $default_of:expr => $default_of_text:literal,)?
        about: $about:literal;
    )*) => {
        /// The names of each key.
        #[derive(Debug)]
        pub(super) struct Keys {
            $(pub(super) $field: Key,)*
        }

        pub(super) static KEYS: Keys = Keys {
            $($field: Key {
                path: $path,
                variable: first!($($variable,)? ""),
                method: first!($($method,)? stringify!($field)),
                backends: &[$($(Backend::$backend),+)?],
                legal: $legal,
                about: $about,
            },)*
        };

        impl Keys {
            /// All keys in the order of their declaration.
            pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
                [$(&self.$field,)*].into_iter()
            }

            /// Each key and the text of its default, for the table in the documentation.
            #[cfg(test)]
            pub(super) fn with_defaults(&self) -> Vec<(&Key, String)> {
                vec![$((
                    &self.$field,
                    first!(
                        $(
                            $($default_text.to_owned(),)?
                            format!("`{}`", <$type as KeyType>::print(&$default, "")),
                        )?
                        $($default_of_text.to_owned(),)?
                    ),
                ),)*]
            }
        }

        /// The values of one source. `None`: the source has no value, and a weaker one decides.
        #[derive(Debug, Clone, Default)]
        pub(super) struct Layer {
            $(pub(super) $field: Option<Sourced<<$type as KeyType>::Value>>,)*
        }

        impl Layer {
            /// The values of the variables.
            pub(super) fn from_variables(environment: &Environment) -> Result<Self> {
                Ok(Self {
                    $($field: environment.read::<$type>(&KEYS.$field)?,)*
                })
            }

            /// Stores the value of an entry of `ebbtide.toml`. Relative paths in the value are
            /// relative to `dir`. Returns `false` if no key has the entry's path.
            pub(super) fn set(&mut self, entry: &Entry<'_>, dir: &Path) -> Result<bool> {
                match entry.key_path() {
                    $($path => {
                        let key = &KEYS.$field;
                        self.$field = Some(<$type as KeyType>::from_file(key, entry, dir)?);
                    })*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            /// Checks the values that the builder has set. Values of variables and of the file are
            /// checked while they are read.
            pub(super) fn check(&self) -> Result<()> {
                $(if let Some(value) = &self.$field {
                    <$type as KeyType>::check(&KEYS.$field, value.get(), &value.source)?;
                })*
                Ok(())
            }

            /// Only the values of one section of `ebbtide.toml`.
            pub(super) fn only(self, section: &str) -> Layer {
                Layer {
                    $($field: self.$field.filter(|_| KEYS.$field.section() == section),)*
                }
            }

            /// Merges this layer with a weaker one.
            pub(super) fn over(self, weaker: Layer) -> Layer {
                Layer {
                    $($field: match (self.$field, weaker.$field) {
                        (Some(strong), Some(weak)) => {
                            Some(<$type as KeyType>::over(strong, weak))
                        }
                        (one, other) => one.or(other),
                    },)*
                }
            }
        }

        /// The resolved configuration: every value with its source.
        ///
        /// A plan is made once, from the [`Builder`](crate::config::Builder), the environment and
        /// `ebbtide.toml`. It does not change afterwards. `Display` prints it as a table, with
        /// `***` for every password.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Plan {
            $(
                #[doc = concat!("Key `", $path, "`: ", $about)]
                pub(crate) $field: Sourced<<$type as KeyType>::Value>,
            )*
            /// The plan's name; `None` for the default plan.
            pub(crate) name: Sourced<Option<String>>,
            /// The directories to search for programs, in the form of `PATH`. Empty if there are
            /// none.
            pub(crate) path: Sourced<OsString>,
            /// The variables that choose a container engine.
            pub(crate) engine: EngineHints,
            /// nextest's slot: the number of this test among those that run at the same time, from
            /// 0.
            pub(crate) slot: Sourced<Option<usize>>,
            /// The directory of the package under test, absolute.
            pub(crate) package_root: Sourced<PathBuf>,
            /// The name of the package under test, if cargo sets it.
            pub(crate) package_name: Sourced<Option<String>>,
            /// The configuration file that was read, absolute.
            pub(crate) config_file: Sourced<Option<PathBuf>>,
            /// Whether the harness of this plan is one of those that the process has without a
            /// builder: the default one, and those of named plans.
            pub(crate) is_process_wide: bool,
        }

        impl Plan {
            /// The plan of the merged values. Defaults fill what no source has.
            pub(super) fn complete(
                merged: Layer,
                name: Sourced<Option<String>>,
                config_file: Sourced<Option<PathBuf>>,
                environment: &Environment,
            ) -> Result<Self> {
                let root = environment.package_root();
                Ok(Self {
                    $($field: match merged.$field {
                        Some(value) => <$type as KeyType>::resolve(&KEYS.$field, value, &root)?,
                        None => first!(
                            $(Sourced::by_default($default),)?
                            $(($default_of)(environment),)?
                        ),
                    },)*
                    name,
                    path: environment.search_path(),
                    engine: environment.engine(),
                    slot: environment.slot(),
                    package_name: environment.package_name(),
                    config_file,
                    is_process_wide: false,
                    package_root: root,
                })
            }

            /// The row of each key. A key of several values can have several.
            pub(super) fn rows_of_keys(&self) -> Vec<Row<'_>> {
                let mut rows = Vec::new();
                $({
                    let of_key = <$type as KeyType>::rows(
                        stringify!($field),
                        &self.$field,
                        first!($($($default_text,)?)? ""),
                    );
                    let is_used = KEYS.$field.is_used_by(*self.backend);
                    for mut row in of_key {
                        if !is_used {
                            row.mark_as_unused_by(*self.backend);
                        }
                        rows.push(row);
                    }
                })*
                rows
            }
        }

        key_methods! { Builder Auto Container Native External: {
            $([$($($backend)+)?] {
                $(#[$doc])*
                $field $(($($argument: $argument_type)?) => $value)?; $path, $($variable)?
            })*
        } }
    };
}

pub(super) use {declare_keys, first, key_method, key_methods};
