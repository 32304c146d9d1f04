//! `#[plan("audit")]` before an argument: the named plan that the argument's database belongs to.

use syn::{Attribute, FnArg, LitStr, Signature};

use crate::errors::Errors;

const HELP: &str = "write the plan's name as a string: `#[plan(\"audit\")]`";

/// Removes the attribute from every argument. Returns the plan of each argument, or `None` for the
/// default plan.
pub(crate) fn take(sig: &mut Signature, errors: &mut Errors) -> Vec<Option<LitStr>> {
    let mut plans = Vec::new();
    for input in &mut sig.inputs {
        let attrs = match input {
            FnArg::Typed(argument) => &mut argument.attrs,
            FnArg::Receiver(receiver) => &mut receiver.attrs,
        };
        let mut plan = None;
        for attr in attrs.extract_if(.., |attr| attr.path().is_ident("plan")) {
            if plan.is_some() {
                errors.add(
                    &attr,
                    "an argument must belong to one plan: remove this `#[plan]`",
                );
                continue;
            }
            plan = errors.record(name(&attr));
        }
        plans.push(plan);
    }
    plans
}

/// The name in the attribute's parentheses.
fn name(attr: &Attribute) -> syn::Result<LitStr> {
    let name: LitStr = attr
        .parse_args()
        .map_err(|_| syn::Error::new_spanned(attr, HELP))?;
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.value().is_empty() || !name.value().chars().all(is_legal) {
        let message = format!(
            "the name of a plan must consist of ASCII letters, digits, `_` and `-`, but is {:?}: \
             write the name that ebbtide.toml has, as in `#[plan(\"audit\")]`",
            name.value()
        );
        return Err(syn::Error::new_spanned(&name, message));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;

    use super::*;

    fn taken(signature: &str) -> (Vec<Option<String>>, Vec<String>, String) {
        let mut sig: Signature = syn::parse_str(signature).expect("a signature");
        let mut errors = Errors::default();
        let plans = take(&mut sig, &mut errors);
        let plans = plans
            .into_iter()
            .map(|plan| plan.map(|plan| plan.value()))
            .collect();
        (plans, errors.texts(), sig.to_token_stream().to_string())
    }

    #[test]
    fn the_attribute_is_taken_from_its_argument_and_others_stay() {
        let (plans, errors, rest) =
            taken("fn t(a: Tx, #[plan(\"read-model_2\")] #[ignore] b: Tx, #[plan(\"x\")] c: Tx)");
        let expected = [None, Some("read-model_2"), Some("x")];
        assert_eq!(plans, expected.map(|plan| plan.map(str::to_owned)));
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(rest, "fn t (a : Tx , # [ignore] b : Tx , c : Tx)");
    }

    #[test]
    fn every_mistake_in_the_attribute_has_its_remedy() {
        for attribute in ["#[plan]", "#[plan()]", "#[plan(AUDIT)]", "#[plan = \"a\"]"] {
            let (plans, errors, _) = taken(&format!("fn t({attribute} a: Tx)"));
            assert_eq!((plans, errors), (vec![None], vec![HELP.to_owned()]));
        }
        let (plans, errors, _) = taken("fn t(#[plan(\"a\")] #[plan(\"b\")] a: Tx)");
        assert_eq!(plans, [Some("a".to_owned())]);
        assert_eq!(
            errors,
            ["an argument must belong to one plan: remove this `#[plan]`"]
        );
        let (_, errors, _) = taken("fn t(#[plan(\"a b\")] a: Tx)");
        let message = "the name of a plan must consist of ASCII letters, digits, `_` and `-`, but \
                       is \"a b\": write the name that ebbtide.toml has, as in `#[plan(\"audit\")]`";
        assert_eq!(errors, [message]);
    }
}
