//! Checks the expectations of row level security: of tables, and of a role.

use sqlx::postgres::PgConnection;

use crate::catalog::{self, TableSecurity};
use crate::config::Expect;

/// The expectations that do not hold, one line each.
pub(super) async fn unmet(
    connection: &mut PgConnection,
    expect: &Expect,
) -> Result<Vec<String>, sqlx::Error> {
    let mut unmet = Vec::new();
    if !expect.row_security.is_empty() {
        let tables = TableSecurity::read_all(connection).await?;
        for pattern in &expect.row_security {
            unmet.extend(of_pattern(pattern, &tables));
        }
    }
    if let Some(role) = &expect.role {
        match catalog::exemptions(connection, role).await? {
            None => unmet.push(format!("role {role} is missing")),
            Some(reasons) => {
                let all = reasons.iter();
                unmet.extend(all.map(|reason| format!("role {role} {reason}")));
            }
        }
    }
    unmet.dedup();
    Ok(unmet)
}

fn of_pattern(pattern: &str, tables: &[TableSecurity]) -> Vec<String> {
    let bare = pattern.strip_prefix("public.").unwrap_or(pattern);
    let mut matching = tables
        .iter()
        .filter(|table| matches(bare, &table.table))
        .peekable();
    if matching.peek().is_none() {
        return vec![format!(
            "no table matches the row security pattern {pattern}"
        )];
    }
    let lines = matching.filter_map(|table| {
        let lacks = table.lacks();
        (!lacks.is_empty()).then(|| format!("table {} lacks {}", table.table, lacks.join(", ")))
    });
    lines.collect()
}

/// Whether a name matches a pattern in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|left| {
            let ends = left.char_indices().map(|(at, _)| at).chain([left.len()]);
            ends.into_iter().any(|at| matches(rest, &left[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name) in [
            ("orders", "orders"),
            ("tenant_*", "tenant_"),
            ("tenant_*", "tenant_invoices"),
            ("*", "app.orders"),
            ("app.*_log", "app.audit_log_log"),
            ("*ä*", "naïve_ä"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("orders", "orders2"),
            ("tenant_*", "tenants"),
            ("*_log", "log"),
            ("a*b*a", "aba_"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
