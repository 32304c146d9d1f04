//! The attribute `#[ebbtide::test]` and the derive macro `PgEnum`.
//!
//! Use both through the crate `ebbtide`, which the generated code calls.

mod args;
mod errors;
mod function;
mod krate;
mod pg_enum;
mod plan;
mod render;

use proc_macro2::TokenStream;

use errors::Errors;
use function::Function;

/// A test with a PostgreSQL database of its own.
///
/// The function can be `async` or not. The function has any number of arguments, each of a type
/// that implements `ebbtide::TestArg`. It can return whatever a test can return. Attributes such as
/// `#[should_panic]` and `#[ignore]` work.
///
/// ```ignore
/// #[ebbtide::test]
/// async fn a_customer_has_a_name(mut tx: ebbtide::Tx) -> sqlx::Result<()> {
///     sqlx::query("INSERT INTO customers (name) VALUES ('Ada')")
///         .execute(&mut *tx)
///         .await?;
///     Ok(())
/// }
/// ```
///
/// # Options
///
/// In any order. Each option is allowed once, `fixtures` any number of times.
///
/// | option | meaning |
/// |---|---|
/// | `fixtures("a", "b")` | runs `fixtures/a.sql`, then `fixtures/b.sql`, relative to the directory of the test's source file |
/// | `fixtures("../x.sql", "./y.sql")` | runs these files: a path with several parts is used unchanged, relative to the same directory |
/// | `fixtures(path = "dir", scripts("a", "b"))` | runs `dir/a.sql`, then `dir/b.sql`, relative to the same directory |
/// | `migrations = "dir"` | applies the migrations in this directory, relative to the package's directory |
/// | `migrations = false` | applies no migrations |
/// | `migrator = "crate::MIGRATOR"` | applies the migrations of this `sqlx::migrate::Migrator` |
/// | `migrations_up_to = 41` | applies the migrations up to and with this version, a number or a string, and no seeds: `Database::migrate` applies the rest |
/// | `migrations_up_to = ("dir", 41)` | the same with several directories of migrations: the end of the directory's path, or a command's program, and the version |
/// | `pool = "database"` | the default: sqlx's types (`PgPool` and others) lead to a database of this test, where it can commit |
/// | `pool = "sandbox"` | `PgPool` is that of an `ebbtide::Sandbox`: one connection, in a transaction that is rolled back |
/// | `role = "auditor"` | the test's sessions log in as this role; default: `test.role` of the configuration |
/// | `isolation_level = "serializable"` | the isolation level of each `Tx` of the test: `"read committed"`, `"repeatable read"` or `"serializable"` |
/// | `savepoints` | in each `Tx` of the test, a failed statement undoes only itself |
/// | `keep = "always"` | keeps the database after the test; the variable `EBBTIDE_KEEP` overrides this |
/// | `keep = "failed"` | keeps the database if the test fails |
/// | `expect(tables("a", "b"))` | these tables must exist, else the test fails before it starts |
/// | `expect(rows(customers = 2, "schema.table" = 3))` | these tables must have exactly so many rows |
/// | `expect(enums(mood("sad", "happy")))` | this enum must have exactly these labels, in this order |
/// | `expect(enums(Mood))` | the enum type of this Rust enum, which derives `ebbtide::PgEnum`, must have its labels, in any order |
/// | `flavor = "current_thread"` | the runtime of an async test, as for `#[tokio::test]`: one thread, the default |
/// | `flavor = "multi_thread"` | a runtime with several threads |
/// | `worker_threads = 2` | the number of threads of that runtime, at least 1 |
/// | `start_paused = true` | tokio's clock is paused, on a runtime with one thread. Use it with `Tx`: a pool's timeouts expire at once under a paused clock |
/// | `crate = "some::path"` | the path of ebbtide, if it is not a dependency of the package |
///
/// `isolation_level` and `savepoints` apply to every argument of type `ebbtide::Tx`, and to
/// `ebbtide::tx()` within the test. See `ebbtide::TxOptions`.
///
/// `pool` applies to sqlx's types only. `Tx`, `Sandbox` and `Database` are not affected.
///
/// The compiler includes the files of fixtures into the test's binary, so a change to such a file
/// recompiles the test.
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
/// # Several databases
///
/// `#[plan("audit")]` before an argument makes the argument from the plan `audit`, which
/// `ebbtide.toml` describes in `[plan.audit.provision]`. It works with every argument type, and any
/// number of arguments. ebbtide waits for the connections of all arguments of such a test together.
///
/// ```ignore
/// #[ebbtide::test]
/// async fn an_order_is_audited(shop: ebbtide::Database, #[plan("audit")] mut audit: ebbtide::Tx) {
///     /* ... */
/// }
/// ```
///
/// `fixtures`, `migrations`, `migrator`, `migrations_up_to` and `expect` apply to the arguments
/// without `#[plan]`, and to `ebbtide::tx()` within the test. The other options apply to all arguments.
///
/// rstest does not accept `#[plan]`. With it, use a type of yours whose `TestArg` calls
/// `TestContext::on_plan`.
///
/// # With rstest
///
/// The two attributes work in both orders. Mark an argument that ebbtide makes with `#[ignore]`, so
/// that rstest ignores it.
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
/// The compiler reports all errors in the options and in the function together. It reports a
/// missing fixture and a missing directory of migrations at their names, and a type without
/// `TestArg` at the type.
#[proc_macro_attribute]
pub fn test(
    options: proc_macro::TokenStream,
    function: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    expand(&options.into(), function.into()).into()
}

/// Derives `ebbtide::PgEnum`: the labels that an enum has in PostgreSQL.
///
/// The labels are those that the code sends. The macro reads sqlx's attributes
/// (`#[sqlx(type_name = "userrole", rename_all = "lowercase")]`, `#[sqlx(rename = "...")]` at a
/// variant) and strum's (`serialize_all`, `to_string`, `serialize`). The macro's own attributes
/// override both:
///
/// | option | at | meaning |
/// |---|---|---|
/// | `#[pg_enum(name = "userrole")]` | the enum | the type's name in the database. Default: sqlx's `type_name`, else the enum's name |
/// | `#[pg_enum(rename_all = "lowercase")]` | the enum | the case of the labels, with sqlx's words |
/// | `#[pg_enum(rename = "root")]` | a variant | its label |
/// | `#[pg_enum(crate = "some::path")]` | the enum | the path of ebbtide, if it is not a dependency of the package |
///
/// # Errors
///
/// A type other than an enum, a variant with fields, two variants with the same label, an unknown
/// option or case.
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
    let Some(mut function) = errors.record(syn::parse2::<Function>(function)) else {
        return errors.into_compile_errors().unwrap_or_default();
    };
    let krate = args.krate.clone().unwrap_or_else(krate::path);
    if function.has_unexpanded_rstest() {
        return match errors.into_compile_errors() {
            None => render::below_rstest(&function, options, &krate),
            Some(errors) => errors,
        };
    }
    function.take_plans(&mut errors);
    if function.has_only_named_plans() && args.has_contents() {
        errors.add(
            &function.sig.ident,
            "`fixtures`, `migrations`, `migrator`, `migrations_up_to` and `expect` are for \
             arguments without `#[plan]`, and this test has none: add one, or remove these options",
        );
    }
    if function.is_async() {
        args.runtime.check(&mut errors);
    } else {
        args.runtime.forbid(&mut errors);
    }
    let of_function = function.check();
    // A function with errors is left out of the output, because it could cause further errors.
    let dead_code = of_function.is_empty().then(|| function.as_dead_code());
    errors.append(of_function);
    match errors.into_compile_errors() {
        None => render::test(&function, &args, &krate),
        Some(errors) => {
            let files = render::include_fixtures(&args.fixtures);
            quote::quote!(#errors #files #dead_code)
        }
    }
}
