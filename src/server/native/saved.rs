//! The templates of an ended server, saved in the cache for the next server with the same key.
//!
//! The supervisor saves and restores them (`saved.sh`, where the steps are drawn). This module
//! decides which servers do so, under which name, and what else a cluster may hold. A template is
//! found by its fingerprint and its seal, as on a server that has run all the time.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::backend::StartRequest;
use super::super::registry::Registry;
use super::binaries::Binaries;
use crate::config::{Cache, Role};
use crate::names::Literal;

/// How long saved data is kept after its last use.
pub(super) const MAX_AGE: Duration = Duration::from_hours(7 * 24);

const FILE_PREFIX: &str = "prepared-";

/// Databases that ebbtide created, as a regular expression.
const OWN_DATABASES: &str = "'^ebbtide_[tlbk]_[0-9A-Za-z_]+$'";

/// What the supervisor needs to save the data of one server, and to restore it.
#[derive(Debug, Clone)]
pub(super) struct SavedData {
    /// The path of the files up to the checksum. `None`: the server saves and restores nothing.
    prefix: Option<PathBuf>,
    inventory: String,
}

impl SavedData {
    /// `build` identifies the installation of PostgreSQL.
    pub(super) fn of(
        request: StartRequest<'_>,
        registry: &Registry,
        binaries: &Binaries,
        build: &str,
    ) -> Self {
        let plan = request.plan;
        // A dedicated server has roles or tablespaces, which the next build would create again.
        if *plan.cache == Cache::Never || request.sharing.is_dedicated() {
            return Self {
                prefix: None,
                inventory: String::new(),
            };
        }
        let name = format!("{FILE_PREFIX}{}-{build}", registry.key.as_str());
        Self {
            prefix: Some(registry.state.cache().join(name)),
            inventory: inventory(plan.roles.get(), binaries.major),
        }
    }

    /// The argument of the supervisor: empty if nothing is saved.
    pub(super) fn prefix(&self) -> &OsStr {
        self.prefix.as_deref().map_or("".as_ref(), Path::as_os_str)
    }

    /// The query with which the supervisor examines a cluster before it saves it.
    pub(super) fn inventory(&self) -> &str {
        &self.inventory
    }

    /// Deletes the saved data. Returns whether there was some.
    pub(super) fn discard(&self) -> bool {
        let Some(prefix) = &self.prefix else {
            return false;
        };
        let entries = prefix.parent().map(std::fs::read_dir);
        let mut has_removed = false;
        for entry in entries.into_iter().flatten().flatten().flatten() {
            let path = entry.path();
            let bytes = path.as_os_str().as_encoded_bytes();
            if bytes.starts_with(prefix.as_os_str().as_encoded_bytes()) {
                has_removed |= std::fs::remove_file(&path).is_ok();
            }
        }
        has_removed
    }
}

/// Whether a file of the cache holds saved data.
pub(super) fn is_file_name(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(FILE_PREFIX.as_bytes())
}

/// A query that lists ebbtide's databases, and whatever else ebbtide did not create in the cluster
/// or in the current database. One column `found`, with two words: `template NAME`, `drop NAME`,
/// `foreign KIND`.
///
/// One line, because single-user mode ends a command at a line break. A role whose name has one
/// makes the query fail, and nothing is saved.
fn inventory(roles: &[Role], major: u32) -> String {
    let literal = |role: &Role| Literal(&role.name).to_string();
    let names = roles.iter().map(literal).collect::<Vec<_>>().join(", ");
    // No role has an empty name, so this pair matches no membership.
    let mut pairs = vec!["('', '')".to_owned()];
    for role in roles {
        let groups = role.member_of.iter();
        pairs.extend(groups.map(|group| format!("({}, {})", literal(role), Literal(group))));
    }
    let pairs = pairs.join(", ");
    // `initdb` gives its objects identifiers below 16384
    // (https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT).
    // 10 is the superuser. The attributes of the plan's roles are those that a build gives them.
    let mut foreign = vec![
        (
            "role",
            format!(
                "pg_authid where oid >= 16384 and (rolname <> all (array[{names}]::name[]) or rolsuper \
                 or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls or not rolcanlogin \
                 or not rolinherit) or (oid >= 16384 or oid = 10) and (rolpassword is not null \
                 or rolconnlimit <> -1 or rolvaliduntil is not null) \
                 or oid = 10 and not (rolsuper and rolcreaterole and rolcreatedb and rolreplication \
                 and rolbypassrls and rolcanlogin and rolinherit) \
                 or oid < 16384 and oid <> 10 and (rolsuper or rolcanlogin)"
            ),
        ),
        (
            "membership",
            format!(
                "pg_auth_members a join pg_authid m on m.oid = a.member join pg_authid g on \
                 g.oid = a.roleid where m.rolname <> 'pg_monitor' and \
                 (a.admin_option or (m.rolname::text, g.rolname::text) not in (values {pairs}))"
            ),
        ),
        (
            "setting",
            format!(
                "pg_db_role_setting s left join pg_database d on d.oid = s.setdatabase \
                 where d.datname is null or d.datname !~ {OWN_DATABASES}"
            ),
        ),
        (
            "database",
            format!(
                "pg_database where datname !~ {OWN_DATABASES} and (datname <> all \
                 ('{{postgres,template0,template1}}') or datdba <> 10 or datconnlimit <> -1 \
                 or datallowconn = (datname = 'template0') or datistemplate = (datname = 'postgres') \
                 or datacl::text <> '{{=c/postgres,postgres=CTc/postgres}}')"
            ),
        ),
        (
            "tablespace",
            "pg_tablespace where oid >= 16384 or spcacl is not null".to_owned(),
        ),
        (
            "comment",
            "pg_shdescription where classoid <> 'pg_database'::regclass".to_owned(),
        ),
        // In the current database. Whatever has an owner, a schema or a part is in `pg_depend`.
        (
            "namespace",
            "pg_namespace where oid >= 16384 and nspname !~ '^pg_(toast_)?temp_'".to_owned(),
        ),
        ("object", "pg_depend where objid >= 16384".to_owned()),
    ];
    let further = [
        ("label", "pg_shseclabel"),
        ("subscription", "pg_subscription"),
        ("origin", "pg_replication_origin"),
        ("slot", "pg_replication_slots"),
        ("transaction", "pg_prepared_xacts"),
        ("blob", "pg_largeobject_metadata"),
    ];
    foreign.extend(further.map(|(kind, table)| (kind, table.to_owned())));
    if major >= 15 {
        foreign.push(("parameter", "pg_parameter_acl".to_owned()));
    }
    // A template has a seal, its comment. The rest of an interrupted drop may have the name.
    let mut query = format!(
        "select case when datname like 'ebbtide\\_t\\_%' and datistemplate and \
         shobj_description(oid, 'pg_database') is not null then 'template ' else 'drop ' end \
         || datname as found from pg_database where datname ~ {OWN_DATABASES}"
    );
    for (kind, from) in foreign {
        write!(query, " union all select 'foreign {kind}' from {from}")
            .expect("writing to a string does not fail");
    }
    query
}
