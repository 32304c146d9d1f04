//! The function that has the attribute.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, FnArg, LitStr, ReturnType, Signature, Type, Visibility, token};

use crate::errors::Errors;
use crate::plan;

pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    /// The plan of each argument; `None` for the default plan.
    pub(crate) plans: Vec<Option<LitStr>>,
    /// Not parsed: the compiler parses it, and an editor expands the attribute while the body is
    /// still incomplete.
    pub(crate) body: Group,
}

impl Function {
    /// Whether the compiler has yet to expand `#[rstest]`, which makes a function without arguments
    /// for every case.
    pub(crate) fn has_unexpanded_rstest(&self) -> bool {
        self.attrs
            .iter()
            .any(|attr| has_last_segment(attr, "rstest"))
    }

    /// Takes `#[plan(..)]` from the arguments.
    pub(crate) fn take_plans(&mut self, errors: &mut Errors) {
        self.plans = plan::take(&mut self.sig, errors);
    }

    /// Whether the function has arguments, and each belongs to a named plan.
    pub(crate) fn has_only_named_plans(&self) -> bool {
        !self.plans.is_empty() && self.plans.iter().all(Option::is_some)
    }

    pub(crate) fn is_async(&self) -> bool {
        self.sig.asyncness.is_some()
    }

    pub(crate) fn argument_types(&self) -> impl Iterator<Item = &Type> {
        self.sig.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(argument) => Some(&*argument.ty),
            FnArg::Receiver(_) => None,
        })
    }

    /// The errors of a function that cannot be a test.
    pub(crate) fn check(&self) -> Errors {
        let mut errors = Errors::default();
        for attr in self
            .attrs
            .iter()
            .filter(|attr| has_last_segment(attr, "test"))
        {
            errors.add(
                attr,
                "`ebbtide::test` must be the only test attribute: remove this one",
            );
        }
        for attr in self
            .attrs
            .iter()
            .filter(|attr| attr.path().is_ident("plan"))
        {
            errors.add(
                attr,
                "`#[plan]` must be before an argument: write \
                 `async fn t(#[plan(\"audit\")] audit: Database)`",
            );
        }
        let sig = &self.sig;
        let mut forbid = |tokens: Option<&dyn ToTokens>, message: &str| {
            if let Some(tokens) = tokens {
                errors.add(tokens, message);
            }
        };
        forbid(
            sig.constness.as_ref().map(|it| it as _),
            "a test must not be `const`: remove `const`",
        );
        forbid(
            sig.unsafety.as_ref().map(|it| it as _),
            "a test must not be `unsafe`: remove `unsafe`",
        );
        forbid(
            sig.abi.as_ref().map(|it| it as _),
            "a test must not be `extern`: remove `extern`",
        );
        forbid(
            sig.variadic.as_ref().map(|it| it as _),
            "a test must not have variable arguments: remove them",
        );
        let generics = &sig.generics;
        forbid(
            (!generics.params.is_empty()).then_some(&generics.params as _),
            "a test must not have generic parameters: remove them, and write concrete types",
        );
        forbid(
            generics.where_clause.as_ref().map(|it| it as _),
            "a test must not have a `where` clause: remove it",
        );
        forbid(
            sig.receiver().map(|it| it as _),
            "a test must be a free function: remove `self`",
        );
        for ty in self
            .argument_types()
            .filter(|ty| contains_impl(ty.to_token_stream()))
        {
            forbid(
                Some(ty),
                "an argument must have a concrete type: write the type instead of `impl Trait`",
            );
        }
        errors
    }

    /// The function for the output with errors. Without the function, the compiler would also
    /// report its imports as unused.
    pub(crate) fn as_dead_code(&self) -> TokenStream {
        let Self {
            attrs,
            vis,
            sig,
            body,
            ..
        } = self;
        let cfgs = attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        quote!(#(#cfgs)* #[allow(dead_code)] #vis #sig #body)
    }

    /// The signature of the user's function inside the generated test.
    ///
    /// The spans of its keywords come from the macro. So lints about signatures skip the function,
    /// for example that for an `async fn` without an await. The attribute determines the signature,
    /// and not the author.
    pub(crate) fn inner_signature(&self) -> Signature {
        let from_macro = |span: Span| span.resolved_at(Span::mixed_site());
        let mut sig = self.sig.clone();
        sig.fn_token.span = from_macro(sig.fn_token.span);
        if let Some(token) = &mut sig.asyncness {
            token.span = from_macro(token.span);
        }
        sig
    }

    pub(crate) fn output(&self) -> &ReturnType {
        &self.sig.output
    }
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let sig = input.parse().map_err(|error: syn::Error| {
            syn::Error::new(
                error.span(),
                format!("`ebbtide::test` must be on a function: {error}"),
            )
        })?;
        if !input.peek(token::Brace) {
            return Err(input.error("a test must have a body: write `{ }` instead of `;`"));
        }
        Ok(Self {
            attrs,
            vis,
            sig,
            plans: Vec::new(),
            body: input.parse()?,
        })
    }
}

/// Whether the attribute's path ends in this name.
fn has_last_segment(attr: &Attribute, name: &str) -> bool {
    attr.path()
        .segments
        .last()
        .is_some_and(|segment| segment.ident == name)
}

fn contains_impl(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Group(group) => contains_impl(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The errors of a function.
    fn errors_of(function: &str) -> Vec<String> {
        syn::parse_str::<Function>(function)
            .expect("the test's own text is a function")
            .check()
            .texts()
    }

    #[test]
    fn a_function_may_have_any_arguments_and_any_result() {
        assert!(
            errors_of(
                "pub async fn a(mut tx: Tx, Wrapper(x): Wrapper, n: &str) -> Result<(), Error> {}"
            )
            .is_empty()
        );
        assert!(errors_of("#[should_panic] #[ignore] #[cfg(unix)] fn a() {}").is_empty());
    }

    #[test]
    fn all_errors_of_a_signature_are_reported_together() {
        let errors = errors_of(
            "const unsafe extern \"C\" \
             fn a<'a, T>(self, it: Vec<impl Copy>, x: ...) where T: Copy {}",
        );
        let expected = [
            "a test must not be `const`: remove `const`",
            "a test must not be `unsafe`: remove `unsafe`",
            "a test must not be `extern`: remove `extern`",
            "a test must not have variable arguments: remove them",
            "a test must not have generic parameters: remove them, and write concrete types",
            "a test must not have a `where` clause: remove it",
            "a test must be a free function: remove `self`",
            "an argument must have a concrete type: write the type instead of `impl Trait`",
        ];
        assert_eq!(errors, expected);
    }

    #[test]
    fn another_test_attribute_is_an_error() {
        let errors = errors_of(
            "#[test] #[tokio::test(start_paused = true)] #[sqlx::test] #[ignore] fn a() {}",
        );
        assert_eq!(
            errors,
            ["`ebbtide::test` must be the only test attribute: remove this one"; 3]
        );
    }

    #[test]
    fn an_item_other_than_a_function_with_a_body_is_an_error() {
        let error = |text: &str| {
            syn::parse_str::<Function>(text)
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(
            error("struct A;").as_deref(),
            Some("`ebbtide::test` must be on a function: expected `fn`")
        );
        assert_eq!(
            error("fn a();").as_deref(),
            Some("a test must have a body: write `{ }` instead of `;`")
        );
    }

    #[test]
    fn rstest_is_recognised_by_the_last_segment_of_its_path() {
        let has_rstest = |text: &str| {
            syn::parse_str::<Function>(text)
                .expect("a function")
                .has_unexpanded_rstest()
        };
        assert!(
            has_rstest("#[rstest] fn a() {}")
                && has_rstest("#[rstest::rstest] fn a() {}")
                && !has_rstest("#[other] fn a() {}")
        );
    }
}
