//! The function below the attribute.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, FnArg, ReturnType, Signature, Type, Visibility, token};

use crate::errors::Errors;

pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    /// The body is not parsed: that is the compiler's work, and an editor's, while it is half written.
    pub(crate) body: Group,
}

impl Function {
    /// Whether `#[rstest]` is still to come, which makes a function without arguments of every case.
    pub(crate) fn awaits_rstest(&self) -> bool {
        self.attrs.iter().any(|attr| is_called(attr, "rstest"))
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

    /// What a test may not be.
    pub(crate) fn check(&self) -> Errors {
        let mut errors = Errors::default();
        for attr in self.attrs.iter().filter(|attr| is_called(attr, "test")) {
            errors.add(
                attr,
                "remove this attribute: ebbtide::test makes a test of its own",
            );
        }
        let sig = &self.sig;
        let mut refuse = |tokens: Option<&dyn ToTokens>, message: &str| {
            if let Some(tokens) = tokens {
                errors.add(tokens, message);
            }
        };
        refuse(
            sig.constness.as_ref().map(|it| it as _),
            "a test is not `const`",
        );
        refuse(
            sig.unsafety.as_ref().map(|it| it as _),
            "a test is not `unsafe`",
        );
        refuse(sig.abi.as_ref().map(|it| it as _), "a test is not `extern`");
        refuse(
            sig.variadic.as_ref().map(|it| it as _),
            "a test has no variable arguments",
        );
        let generics = &sig.generics;
        refuse(
            (!generics.params.is_empty()).then_some(&generics.params as _),
            "a test has no generic parameters",
        );
        refuse(
            generics.where_clause.as_ref().map(|it| it as _),
            "a test has no `where` clause",
        );
        refuse(
            sig.receiver().map(|it| it as _),
            "a test is a free function: it has no `self`",
        );
        for ty in self
            .argument_types()
            .filter(|ty| says_impl(ty.to_token_stream()))
        {
            refuse(
                Some(ty),
                "name the type: `impl Trait` does not say which value to make",
            );
        }
        errors
    }

    /// Something to put beside errors: with the function gone, its imports would count as unused.
    pub(crate) fn as_dead_code(&self) -> TokenStream {
        let Self {
            attrs,
            vis,
            sig,
            body,
        } = self;
        let cfgs = attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        quote!(#(#cfgs)* #[allow(dead_code)] #vis #sig #body)
    }

    /// The signature of the function within the test. Lints about signatures (an `async fn` that never waits, an
    /// argument that could be a reference) see that it stands in a macro's output and say nothing: whoever writes a
    /// test has no choice there.
    pub(crate) fn inner_signature(&self) -> Signature {
        let ours = |span: Span| span.resolved_at(Span::mixed_site());
        let mut sig = self.sig.clone();
        sig.fn_token.span = ours(sig.fn_token.span);
        if let Some(token) = &mut sig.asyncness {
            token.span = ours(token.span);
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
            syn::Error::new(error.span(), format!("this is not a function: {error}"))
        })?;
        if !input.peek(token::Brace) {
            return Err(input.error("a test has a body"));
        }
        Ok(Self {
            attrs,
            vis,
            sig,
            body: input.parse()?,
        })
    }
}

fn is_called(attr: &Attribute, name: &str) -> bool {
    attr.path()
        .segments
        .last()
        .is_some_and(|segment| segment.ident == name)
}

fn says_impl(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Group(group) => says_impl(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(function: &str) -> Vec<String> {
        syn::parse_str::<Function>(function)
            .expect("the test's own text is a function")
            .check()
            .texts()
    }

    #[test]
    fn a_plain_function_is_fine_with_any_argument_and_result() {
        assert!(
            complaints(
                "pub async fn a(mut tx: Tx, Wrapper(x): Wrapper, n: &str) -> Result<(), Error> {}"
            )
            .is_empty()
        );
        assert!(complaints("#[should_panic] #[ignore] #[cfg(unix)] fn a() {}").is_empty());
    }

    #[test]
    fn everything_wrong_with_a_signature_is_said_at_once() {
        let said = complaints(
            "const unsafe extern \"C\" fn a<'a, T>(self, it: Vec<impl Copy>, x: ...) where T: Copy {}",
        );
        let expected = [
            "a test is not `const`",
            "a test is not `unsafe`",
            "a test is not `extern`",
            "a test has no variable arguments",
            "a test has no generic parameters",
            "a test has no `where` clause",
            "a test is a free function: it has no `self`",
            "name the type: `impl Trait` does not say which value to make",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn other_test_attributes_are_refused() {
        let said = complaints(
            "#[test] #[tokio::test(start_paused = true)] #[sqlx::test] #[ignore] fn a() {}",
        );
        assert_eq!(
            said,
            ["remove this attribute: ebbtide::test makes a test of its own"; 3]
        );
    }

    #[test]
    fn what_is_not_a_function_is_refused() {
        let error = |text: &str| {
            syn::parse_str::<Function>(text)
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(
            error("struct A;").as_deref(),
            Some("this is not a function: expected `fn`")
        );
        assert_eq!(error("fn a();").as_deref(), Some("a test has a body"));
    }

    #[test]
    fn rstest_is_found_by_its_last_word() {
        let awaits = |text: &str| {
            syn::parse_str::<Function>(text)
                .expect("a function")
                .awaits_rstest()
        };
        assert!(
            awaits("#[rstest] fn a() {}")
                && awaits("#[rstest::rstest] fn a() {}")
                && !awaits("#[other] fn a() {}")
        );
    }
}
