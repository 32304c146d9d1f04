//! The attribute `#[ebbtide::test]` and the derive macro `PgEnum`.
//!
//! Use them from the crate `ebbtide`, which has everything that the expanded code needs.

mod args;
mod errors;
mod function;
mod krate;
mod pg_enum;
mod render;

use proc_macro2::TokenStream;

use errors::Errors;
use function::Function;

/// A test with a PostgreSQL database of its own.
///
/// The function may be `async` or not and takes any number of arguments, each of a type that ebbtide can make for a
/// test. It may return whatever a test may return. Attributes such as `#[should_panic]` and `#[ignore]` work.
///
/// ```ignore
/// #[ebbtide::test]
/// async fn a_customer_has_a_name(mut tx: ebbtide::Tx) -> sqlx::Result<()> {
///     sqlx::query("INSERT INTO customers (name) VALUES ('Ada')").execute(&mut *tx).await?;
///     Ok(())
/// }
/// ```
///
/// # Options
///
/// In any order, each at most once, `fixtures` as often as wanted:
///
/// | option | meaning |
/// |---|---|
/// | `fixtures("a", "b")` | runs `fixtures/a.sql`, then `fixtures/b.sql`, from beside the test's source file |
/// | `fixtures("../x.sql", "./y.sql")` | paths of more than one part are used as they are, from the source file's directory |
/// | `fixtures(path = "dir", scripts("a", "b"))` | runs `dir/a.sql`, then `dir/b.sql` |
/// | `migrations = "dir"` | applies the migrations in this directory, from the package's root |
/// | `migrations = false` | applies none |
/// | `migrator = "crate::MIGRATOR"` | applies the migrations of this `sqlx::migrate::Migrator` |
/// | `pool = "sandbox"` | the test gets a transaction that is rolled back |
/// | `pool = "database"` | the test gets a database of its own, where it may commit |
/// | `isolation_level = "serializable"` | the level of each `Tx` of the test; or `"repeatable read"`, `"read committed"` |
/// | `savepoints` | in each `Tx` of the test, a statement that fails undoes only itself |
/// | `keep`, `keep = "always"` | the database stays after the test |
/// | `keep = "failed"` | the database stays after a test that failed |
/// | `expect(tables("a", "b"))` | these tables are there, or the test fails before it starts |
/// | `expect(rows(customers = 2, "schema.table" = 3))` | these tables have so many rows |
/// | `expect(enums(mood("sad", "happy")))` | these enums have exactly these labels |
/// | `expect(enums(Mood))` | so has the enum type of this Rust enum, which derives `ebbtide::PgEnum`, in any order |
/// | `flavor = "current_thread"` | the runtime of an async test, as for `#[tokio::test]`; this one unless said otherwise |
/// | `flavor = "multi_thread"` | a runtime with several threads |
/// | `worker_threads = 2` | how many, at least 1 |
/// | `start_paused = true` | the clock stands still, on a runtime with one thread; for `Tx`, since a pool's timeouts pass at once under it |
/// | `crate = "some::path"` | where ebbtide is found, if not among the package's dependencies |
///
/// `isolation_level` and `savepoints` hold for each argument `ebbtide::Tx`, and for `ebbtide::tx()` within the test.
/// `ebbtide::TxOptions` tells what they do.
///
/// Files of fixtures become part of the test: changing one compiles it anew.
///
/// ```ignore
/// #[ebbtide::test(
///     fixtures("customers"),
///     fixtures(path = "../shared", scripts("moods")),
///     migrations = "database/migrations",
///     pool = "database",
///     keep = "failed",
///     expect(tables(orders), rows(customers = 2), enums(mood("sad", "happy"))),
/// )]
/// async fn orders_belong_to_customers(pool: sqlx::PgPool) { /* ... */ }
///
/// #[ebbtide::test(isolation_level = "serializable", savepoints)]
/// async fn a_name_is_taken_once(mut tx: ebbtide::Tx) { /* goes on after an error */ }
///
/// #[ebbtide::test(flavor = "multi_thread", worker_threads = 2)]
/// async fn two_at_once(pool: sqlx::PgPool) { /* ... */ }
/// ```
///
/// # With rstest
///
/// Both orders work. An argument that ebbtide makes is marked `#[ignore]`, for rstest to leave it alone.
///
/// ```ignore
/// #[rstest]
/// #[case("Ada")]
/// #[case("Grace")]
/// #[ebbtide::test]
/// async fn names_are_kept(#[ignore] mut tx: ebbtide::Tx, #[case] name: &str) { /* ... */ }
/// ```
///
/// # Errors
///
/// What is wrong with the options or the function is reported all at once. A missing file of a fixture is an error at
/// its name, a missing directory of migrations likewise, a type that is no argument at the type.
#[proc_macro_attribute]
pub fn test(
    options: proc_macro::TokenStream,
    function: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    expand(&options.into(), function.into()).into()
}

/// Derives `ebbtide::PgEnum`: the labels that an enum has in PostgreSQL.
///
/// The labels are those that the code sends. They are taken from what is said to sqlx (`#[sqlx(type_name = "userrole",
/// rename_all = "lowercase")]`, `#[sqlx(rename = "...")]` at a variant) or to strum (`serialize_all`, `to_string`,
/// `serialize`), or to this macro, which counts most:
///
/// | option | at | meaning |
/// |---|---|---|
/// | `#[pg_enum(name = "userrole")]` | the enum | the type's name in the database; else sqlx's, else the enum's own |
/// | `#[pg_enum(rename_all = "lowercase")]` | the enum | the case of the labels: the words of sqlx |
/// | `#[pg_enum(rename = "root")]` | a variant | its label |
/// | `#[pg_enum(crate = "some::path")]` | the enum | where ebbtide is found, if not among the package's dependencies |
///
/// # Errors
///
/// A type that is no enum, a variant with fields, two variants with one label, an unknown option or case.
#[proc_macro_derive(PgEnum, attributes(pg_enum, sqlx, strum))]
pub fn pg_enum(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    match syn::parse(input) {
        Ok(input) => pg_enum::derive(&input).into(),
        Err(error) => error.to_compile_error().into(),
    }
}

fn expand(options: &TokenStream, function: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = args::parse(
        options.clone(),
        krate::package_root().as_deref(),
        &mut errors,
    );
    let Some(function) = errors.note(syn::parse2::<Function>(function)) else {
        return errors.into_compile_errors().unwrap_or_default();
    };
    let krate = args.krate.clone().unwrap_or_else(krate::path);
    if function.awaits_rstest() {
        return match errors.into_compile_errors() {
            None => render::below_rstest(&function, options, &krate),
            Some(errors) => errors,
        };
    }
    if function.is_async() {
        args.runtime.check(&mut errors);
    } else {
        args.runtime.refuse(&mut errors);
    }
    let refusals = function.check();
    let dead_code = refusals.is_empty().then(|| function.as_dead_code());
    errors.append(refusals);
    match errors.into_compile_errors() {
        None => render::test(&function, &args, &krate),
        Some(errors) => {
            let files = render::look_for(&args.fixtures);
            quote::quote!(#errors #files #dead_code)
        }
    }
}
