//! Whether the contents of a template may share a server with other contents.

use crate::config::{Dedicated, Plan};
use crate::names::Fingerprint;
use crate::provision::PlanInputs;
use crate::server::{Cause, Dedication, Sharing};

/// For a template that is built from migrations and seeds. `executed` are the inputs whose statements
/// may run: those of the template, and migrations that a test applies afterwards.
pub(super) fn of_contents(plan: &Plan, inputs: &PlanInputs, executed: &PlanInputs) -> Sharing {
    let cause = match plan.dedicated.get() {
        Dedicated::Never => None,
        Dedicated::Always => Some(Cause::Plan),
        Dedicated::Auto => server_wide_statement(executed),
    };
    cause.map_or(Sharing::Shared, |cause| {
        Sharing::Dedicated(Dedication {
            contents: versionless(plan, inputs),
            cause,
        })
    })
}

/// For a template that is a copy of another with fixtures added. It stays on the other's server
/// unless the fixtures contain a statement that touches the whole server.
pub(super) fn of_layer(
    plan: &Plan,
    inputs: &PlanInputs,
    base: (&Plan, &PlanInputs, &Sharing),
) -> Sharing {
    let (base_plan, base_inputs, of_base) = base;
    let cause = match plan.dedicated.get() {
        Dedicated::Never => None,
        // With `Always`, the base has a dedicated server already.
        Dedicated::Always | Dedicated::Auto => server_wide_statement(inputs),
    };
    cause.map_or_else(
        || of_base.clone(),
        |cause| {
            let contents = inputs.layered_fingerprint(plan, &versionless(base_plan, base_inputs));
            Sharing::Dedicated(Dedication { contents, cause })
        },
    )
}

/// The first statement of the inputs that touches the whole server.
fn server_wide_statement(inputs: &PlanInputs) -> Option<Cause> {
    inputs.server_wide().map(|found| Cause::Statement {
        place: found.place.clone(),
        statement: found.statement.clone(),
    })
}

/// A fingerprint without the server's version. It is a part of the server's key, so it is needed
/// before the server is found.
fn versionless(plan: &Plan, inputs: &PlanInputs) -> Fingerprint {
    // The role is left out, too: only an external server has one, and it is never dedicated.
    inputs.fingerprint(plan, 0, None)
}
