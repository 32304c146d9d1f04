//! The code that the attribute generates.
//!
//! The generated names are hygienic (`Span::mixed_site`), so a test may be called `test` or
//! `runtime`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Ident, LitStr, Path};

use crate::args::{
    Args, Expectation, Flavor, IsolationLevel, Keep, Migrations, PoolKind, Runtime, RustType,
};
use crate::function::Function;

/// A test without arguments. It contains the user's function and calls it.
pub(crate) fn test(function: &Function, args: &Args, krate: &Path) -> TokenStream {
    let Function {
        attrs,
        vis,
        sig,
        body,
        ..
    } = function;
    let (name, output) = (&sig.ident, function.output());
    let inner = function.inner_signature();
    let calls = calls(args, krate);
    let acquire = acquire(function, krate);
    let values: Vec<_> = (0..sig.inputs.len())
        .map(|n| format_ident!("a{n}", span = Span::mixed_site()))
        .collect();
    let (run, runtime) = if function.is_async() {
        (quote!(run), Some(runtime(&args.runtime, krate)))
    } else {
        (quote!(run_blocking), None)
    };
    let passed = runtime
        .as_ref()
        .map(|_| quote_spanned!(Span::mixed_site()=> runtime,));
    quote_spanned! {Span::mixed_site()=>
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #name() #output {
            #inner #body
            let test = #krate::macro_support::Test::new(
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)),
                ::core::option_env!("CARGO_MANIFEST_DIR"),
            ) #calls;
            #runtime
            #krate::macro_support::#run(
                test,
                #passed
                #acquire,
                |(#(#values,)*)| #name(#(#values),*),
                |outcome| {
                    use #krate::macro_support::{OfAny as _, OfResult as _};
                    (&#krate::macro_support::Outcome(outcome)).failed()
                },
            )
        }
    }
}

/// The function with this attribute last, so that `#[rstest]` expands first and copies this
/// attribute to every case.
pub(crate) fn below_rstest(
    function: &Function,
    options: &TokenStream,
    krate: &Path,
) -> TokenStream {
    let Function {
        attrs,
        vis,
        sig,
        body,
        ..
    } = function;
    quote!(#(#attrs)* #[#krate::test(#options)] #vis #sig #body)
}

/// Includes the fixtures, so that the compiler reports missing files together with other errors.
pub(crate) fn include_fixtures(fixtures: &[LitStr]) -> TokenStream {
    let texts = fixtures.iter().map(include_str);
    quote!(#(const _: &::core::primitive::str = #texts;)*)
}

/// The calls that pass the options to the generated test.
fn calls(args: &Args, krate: &Path) -> TokenStream {
    let site = Span::mixed_site();
    let fixtures = args.fixtures.iter().map(fixture);
    let migrations = args.migrations.as_ref().map(|migrations| match migrations {
        Migrations::Dir(dir) => quote_spanned!(site=> .migrations(#dir)),
        Migrations::Without => quote_spanned!(site=> .without_migrations()),
        Migrations::Migrator(path) => quote_spanned!(site=> .migrator(&#path)),
    });
    let up_to = args.migrations_up_to.as_ref().map(|last| {
        let version = &last.version;
        if let Some(source) = &last.source {
            quote_spanned!(site=> .migrations_up_to((#source, #version)))
        } else {
            quote_spanned!(site=> .migrations_up_to(#version))
        }
    });
    let pool = args.pool.map(|pool| {
        let kind = match pool {
            PoolKind::Sandbox => quote!(Sandbox),
            PoolKind::Database => quote!(Database),
        };
        quote_spanned!(site=> .pool(#krate::macro_support::PoolKind::#kind))
    });
    let role = args
        .role
        .as_ref()
        .map(|role| quote_spanned!(site=> .role(#role)));
    let isolation_level = args.isolation_level.map(|level| {
        let variant = match level {
            IsolationLevel::ReadCommitted => quote!(ReadCommitted),
            IsolationLevel::RepeatableRead => quote!(RepeatableRead),
            IsolationLevel::Serializable => quote!(Serializable),
        };
        quote_spanned!(site=> .isolation_level(#krate::macro_support::IsolationLevel::#variant))
    });
    let savepoints = args
        .savepoints
        .map(|()| quote_spanned!(site=> .savepoints()));
    let keep = args.keep.map(|keep| {
        let variant = match keep {
            Keep::Always => quote!(Always),
            Keep::Failed => quote!(Failed),
        };
        quote_spanned!(site=> .keep(#krate::macro_support::Keep::#variant))
    });
    let expect = expect(&args.expect, krate);
    quote!(#(#fixtures)* #migrations #up_to #pool #role #isolation_level #savepoints #keep #expect)
}

/// The call that passes the expectations, if there are any.
fn expect(expectations: &[Expectation], krate: &Path) -> Option<TokenStream> {
    let site = Span::mixed_site();
    let each = expectations.iter().map(|expectation| match expectation {
        Expectation::Table(name) => quote_spanned!(site=> .table(#name)),
        Expectation::Rows(name, count) => quote_spanned!(site=> .rows(#name, #count)),
        Expectation::Enum(name, labels) => {
            quote_spanned!(site=> .enum_labels(#name, [#(#labels),*]))
        }
        Expectation::EnumOf(RustType(path)) => quote_spanned!(site=> .enum_of::<#path>()),
    });
    let expect = quote_spanned!(site=> .expect(#krate::macro_support::Expect::new() #(#each)*));
    (!expectations.is_empty()).then_some(expect)
}

fn fixture(path: &LitStr) -> TokenStream {
    let text = include_str(path);
    quote_spanned!(path.span().resolved_at(Span::mixed_site())=> .fixture(#path, #text))
}

/// The text of a file. Every token has the literal's span, so the compiler reports a missing file
/// at the literal. It searches relative to the file that calls the outermost macro, which is the
/// test's file.
fn include_str(path: &LitStr) -> TokenStream {
    quote_spanned!(path.span().resolved_at(Span::mixed_site())=> ::core::include_str!(#path))
}

fn runtime(runtime: &Runtime, krate: &Path) -> TokenStream {
    let site = Span::mixed_site();
    let builder = match runtime.flavor {
        Some(Flavor::MultiThread) => quote!(new_multi_thread),
        Some(Flavor::CurrentThread) | None => quote!(new_current_thread),
    };
    let worker_threads = runtime
        .worker_threads
        .map(|number| quote_spanned!(site=> .worker_threads(#number)));
    let start_paused = runtime.start_paused.filter(|paused| *paused);
    let start_paused = start_paused.map(|paused| quote_spanned!(site=> .start_paused(#paused)));
    quote_spanned! {site=>
        let mut runtime = #krate::macro_support::tokio::runtime::Builder::#builder();
        runtime.enable_all() #worker_threads #start_paused;
    }
}

/// The closure that makes the arguments. The compiler reports a type without `TestArg` at the type.
///
/// Of several arguments, all are announced before the first is made, so that the test can wait for
/// all of its connections at once. They are made in the order of their plans, which is the same in
/// every test: two tests that have one lane each do not wait for each other's.
fn acquire(function: &Function, krate: &Path) -> TokenStream {
    let site = Span::mixed_site();
    let context = Ident::new("context", site);
    let announced: Vec<TokenStream> = function
        .argument_types()
        .zip(&function.plans)
        .map(|(ty, plan)| {
            let site = ty.span().resolved_at(site);
            match plan {
                None => quote_spanned!(site=> #krate::macro_support::argument::<#ty>(#context)),
                Some(plan) => quote_spanned! {site=>
                    #krate::macro_support::argument_of_plan::<#ty>(#context, #plan)
                },
            }
        })
        .collect();
    let (body, context) = match &*announced {
        [] => (quote!(()), Ident::new("_context", site)),
        [one] => (quote_spanned!(site=> (#one.await?,)), context),
        several => (several_arguments(several, function, krate), context),
    };
    quote_spanned! {site=>
        async |#context: &#krate::TestContext| -> ::core::result::Result<_, #krate::Error> {
            ::core::result::Result::Ok(#body)
        }
    }
}

fn several_arguments(announced: &[TokenStream], function: &Function, krate: &Path) -> TokenStream {
    let site = Span::mixed_site();
    let names: Vec<_> = (0..announced.len())
        .map(|n| format_ident!("a{n}", span = site))
        .collect();
    let mut in_order: Vec<_> = names.iter().zip(&function.plans).collect();
    in_order.sort_by_key(|(_, plan)| plan.as_ref().map(LitStr::value));
    let made = in_order
        .into_iter()
        .map(|(name, _)| quote_spanned!(site=> let #name = #name.await?;));
    quote_spanned! {site=> {
        #(let #names = #announced;)*
        let reserved = #krate::macro_support::reserve(context).await?;
        #(#made)*
        ::core::mem::drop(reserved);
        (#(#names,)*)
    }}
}
