//! Whether the contents of a template may share a server with others.

use crate::config::{Dedicated, Plan};
use crate::names::Fingerprint;
use crate::provision::Inputs;
use crate::server::{Cause, Dedication, Sharing};

/// For what is built from migrations and seeds.
pub(super) fn of_contents(plan: &Plan, inputs: &Inputs) -> Sharing {
    let cause = match plan.dedicated.get() {
        Dedicated::Never => None,
        Dedicated::Always => Some(Cause::Plan),
        Dedicated::Auto => statement(inputs),
    };
    cause.map_or(Sharing::Shared, |cause| {
        Sharing::Dedicated(Dedication {
            contents: versionless(plan, inputs),
            cause,
        })
    })
}

/// For what fixtures make of another template. They stay on its server as long as they touch only their own database.
pub(super) fn of_layer(plan: &Plan, inputs: &Inputs, base: (&Plan, &Inputs, &Sharing)) -> Sharing {
    let (base_plan, base_inputs, of_base) = base;
    let cause = match plan.dedicated.get() {
        Dedicated::Never => None,
        Dedicated::Always | Dedicated::Auto => statement(inputs),
    };
    cause.map_or_else(
        || of_base.clone(),
        |cause| {
            let contents = inputs.layered_fingerprint(plan, &versionless(base_plan, base_inputs));
            Sharing::Dedicated(Dedication { contents, cause })
        },
    )
}

fn statement(inputs: &Inputs) -> Option<Cause> {
    inputs.server_wide().map(|found| Cause::Statement {
        place: found.place,
        statement: found.statement,
    })
}

/// The server is found by it, so its version is not known yet.
fn versionless(plan: &Plan, inputs: &Inputs) -> Fingerprint {
    inputs.fingerprint(plan, 0, None)
}
