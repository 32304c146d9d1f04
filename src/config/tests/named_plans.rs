//! Named plans: what a plan has of its own, what it inherits, and every error.

use std::time::Duration;

use super::super::{Backend, Builder, Expect, External, Plan, Source};
use super::{ErrorKind, Package, kind_message_help, refused_file};

const TWO: &str = "
[server]
linger = '4s'
keep = 'failed'
settings = { timezone = 'UTC', work_mem = '8MB' }
[provision]
migrations = 'shop'
extensions = ['pg_trgm']
locale = 'C'
timeout = '9s'
expect = { tables = ['a'] }

[plan.audit.server]
linger = '5s'
settings = { work_mem = '16MB' }
[plan.audit.provision]
migrations = 'audit/migrations'
[plan.audit.provision.expect]
rows = { events = 0 }

[plan.read-model_2.provision]
migrations = false
seeds = 'rows'
";

fn two() -> Package {
    Package::with_file(TWO)
        .dir("shop")
        .dir("seeds")
        .dir("rows")
        .dir("audit/migrations")
}

fn named(package: &Package, name: &str, variables: &[(&str, &str)]) -> Plan {
    package
        .plan(&Builder::new().plan(name), variables)
        .expect("legal")
}

fn value(plan: &Plan, key: &str) -> (String, String) {
    let row = plan.get(key).expect("a row");
    (row.value, row.source.to_string())
}

fn text(value: &str, source: &str) -> (String, String) {
    (value.to_owned(), source.to_owned())
}

#[test]
fn a_plan_inherits_the_server_and_has_contents_of_its_own() {
    let package = two();
    let audit = named(&package, "audit", &[]);
    assert_eq!(audit.name(), Some("audit"));
    assert_eq!(value(&audit, "plan"), text("audit", "ebbtide.toml:13"));
    assert_eq!(value(&audit, "linger"), text("5s", "ebbtide.toml:14"));
    assert_eq!(value(&audit, "keep"), text("failed", "ebbtide.toml:4"));
    let timezone = value(&audit, "settings.timezone");
    assert_eq!(timezone, text("UTC", "ebbtide.toml:5"));
    let memory = value(&audit, "settings.work_mem");
    assert_eq!(memory, text("16MB", "ebbtide.toml:15"));
    let migrations = package.path("audit/migrations").display().to_string();
    assert_eq!(
        value(&audit, "migrations"),
        text(&migrations, "ebbtide.toml:17")
    );
    for (key, absent) in [
        ("seeds", "none"),
        ("extensions", "none"),
        ("locale", "the server's"),
        ("provision_timeout", "2m"),
    ] {
        assert_eq!(value(&audit, key), text(absent, "default"));
    }
    assert_eq!(*audit.expect, Expect::new().rows("events", 0));
    assert_eq!(
        audit.linger.source,
        Source::File {
            path: "ebbtide.toml".into(),
            line: 14,
            plan: Some("audit".to_owned()),
        }
    );
}

#[test]
fn the_default_plan_does_not_change_and_prints_no_name() {
    let package = two();
    let plan = package.plan(&Builder::new(), &[]).expect("legal");
    assert_eq!((plan.name(), plan.get("plan")), (None, None));
    assert_eq!(*plan.linger, Duration::from_secs(4));
    let shop = package.path("shop").display().to_string();
    assert_eq!(value(&plan, "migrations"), text(&shop, "ebbtide.toml:7"));
    let printed = named(&package, "audit", &[]).to_string();
    assert!(
        printed.starts_with("plan ") && printed.contains(" audit "),
        "{printed}"
    );
}

#[test]
fn variables_of_the_server_override_every_plan_and_those_of_the_contents_only_the_default_one() {
    let package = two().dir("other");
    let variables = [
        ("EBBTIDE_LINGER", "6s"),
        ("EBBTIDE_MIGRATIONS", "other"),
        ("EBBTIDE_EXTENSIONS", "citext"),
    ];
    for name in ["audit", "read-model_2"] {
        let plan = named(&package, name, &variables);
        assert_eq!(value(&plan, "linger"), text("6s", "EBBTIDE_LINGER"));
        assert_eq!(value(&plan, "extensions"), text("none", "default"));
        assert!(!value(&plan, "migrations").0.ends_with("other"));
    }
    let default = package.plan(&Builder::new(), &variables).expect("legal");
    assert_eq!(
        value(&default, "extensions"),
        text("citext", "EBBTIDE_EXTENSIONS")
    );
}

#[test]
fn the_builder_overrides_a_plan() {
    let package = two();
    let builder = Builder::new().plan("audit").extension("citext");
    let plan = package
        .plan(&builder.linger(Duration::from_secs(7)), &[])
        .expect("legal");
    assert_eq!(value(&plan, "linger"), text("7s", "builder"));
    assert_eq!(value(&plan, "extensions"), text("citext", "builder"));
}

#[test]
fn a_url_and_a_backend_of_a_plan_do_not_meet_those_of_the_default_plan() {
    let contents = "[plan.p.provision]\nmigrations = false\n";
    for (server, of_plan, backend, url) in [
        (
            "backend = 'native'",
            "url = 'postgres://b'",
            "external",
            "postgres://b",
        ),
        (
            "url = 'postgres://a'",
            "backend = 'native'",
            "native",
            "none",
        ),
        (
            "url = 'postgres://a'",
            "url = 'postgres://b'",
            "external",
            "postgres://b",
        ),
        (
            "url = 'postgres://a'",
            "linger = '1s'",
            "external",
            "postgres://a",
        ),
        (
            "url = 'postgres://a'",
            "backend = 'external'",
            "external",
            "postgres://a",
        ),
    ] {
        let file = format!("[server]\n{server}\n[plan.p.server]\n{of_plan}\n{contents}");
        let plan = named(&Package::with_file(&file), "p", &[]);
        let found = [plan.get("backend"), plan.get("url")].map(|row| row.expect("a row").value);
        assert_eq!(found, [backend, url], "{file}");
    }
    let file = format!("[plan.p.server]\nbackend = 'external'\n{contents}");
    let variables = [("TEST_DATABASE_URL", "postgres://t")];
    let plan = named(&Package::with_file(&file), "p", &variables);
    assert_eq!(plan.get("url").expect("a row").value, "postgres://t");
    let builder = Builder::new()
        .plan("p")
        .backend(External::new().url("postgres://c"));
    let plan = Package::with_file(&file)
        .plan(&builder, &[])
        .expect("legal");
    assert_eq!(*plan.backend, Backend::External);
    assert_eq!(plan.get("url").expect("a row").value, "postgres://c");
}

#[test]
fn a_plan_without_migrations_is_refused_even_if_the_default_directory_exists() {
    let package = Package::with_file("[plan.audit.provision]\nseeds = 'rows'")
        .dir("migrations")
        .dir("rows");
    let error = package
        .plan(&Builder::new().plan("audit"), &[])
        .expect_err("the database would be empty");
    assert_eq!(
        kind_message_help(&error),
        (
            ErrorKind::Config,
            "ebbtide.toml:1: plan audit must set migrations, because the directory `migrations` \
             belongs to the default plan"
                .to_owned(),
            "write migrations = \"DIRECTORY\" below [plan.audit.provision], or migrations = false \
             for a database without migrations",
        )
    );
    package
        .plan(&Builder::new().plan("audit").without_migrations(), &[])
        .expect("code sets them");
}

#[test]
fn the_error_of_an_unknown_plan_names_the_file_the_closest_and_all_plans() {
    let refused = |file: Option<&str>, name: &str| {
        let package = file.map_or_else(Package::new, Package::with_file);
        let error = package
            .plan(&Builder::new().plan(name), &[])
            .expect_err("no such plan");
        assert_eq!(error.kind(), ErrorKind::Config);
        let root = package.root().display().to_string();
        let help = error.help().unwrap_or_default().to_owned();
        (error.to_string().replace(&root, "ROOT"), help)
    };
    let two = "[plan.audit.provision]\n[plan.billing.provision]";
    for (file, name, message, help) in [
        (
            Some(two),
            "adit",
            "ROOT/ebbtide.toml has no plan \"adit\"",
            "did you mean audit? plans of the file: audit, billing",
        ),
        (
            Some(two),
            "search",
            "ROOT/ebbtide.toml has no plan \"search\"",
            "plans of the file: audit, billing",
        ),
        (
            Some(""),
            "audit",
            "ROOT/ebbtide.toml has no plan \"audit\"",
            "the file has no named plan: add the section [plan.NAME.provision]",
        ),
        (
            None,
            "audit",
            "there is no ebbtide.toml, so it has no plan \"audit\"",
            "create ebbtide.toml beside the package's Cargo.toml, with the section \
             [plan.NAME.provision]",
        ),
    ] {
        assert_eq!(refused(file, name), text(message, help));
    }
}

#[test]
fn a_plan_that_is_never_used_is_checked_and_its_errors_name_its_section() {
    const PROVISION: &str = "legal keys: extensions, locale, encoding, locale_provider, roles, owner, bootstrap, \
                             migrations, seeds, timeout, ignore_missing_tables, expect";
    for (file, message, help) in [
        (
            "[plan.audit.server]\nbackend = 'dokcer'",
            "ebbtide.toml:2: plan.audit.server.backend must be auto, container, native or \
             external, but is \"dokcer\"",
            "did you mean container?",
        ),
        (
            "[plan.audit.provision]\nmigration = 'x'",
            "ebbtide.toml:2: unknown key plan.audit.provision.migration",
            &format!("did you mean migrations? {PROVISION}"),
        ),
        (
            "[plan.audit.provision.expect]\nrows = { a = -1 }",
            "ebbtide.toml:2: plan.audit.provision.expect.rows.a must be a number of rows \
             (a whole number from 0), but is -1",
            "legal values: whole numbers by table, such as { services = 15 }",
        ),
        (
            "plan.audit.server.settings = { port = 1 }",
            "ebbtide.toml:1: plan.audit.server.settings.port is managed by ebbtide and cannot be \
             set",
            "remove it: ebbtide decides where its servers listen, log and keep their data",
        ),
        (
            "[plan.audit]\nmigrations = 'x'",
            "ebbtide.toml:2: unknown key plan.audit.migrations",
            "move migrations below [plan.audit.provision]",
        ),
        (
            "[plan.audit.serv]",
            "ebbtide.toml:1: unknown key plan.audit.serv",
            "legal keys: server, provision, test",
        ),
        (
            "plan = 'audit'",
            "ebbtide.toml:1: plan must be a table, but is a string",
            "legal values: a table of plans, as in [plan.audit.provision]",
        ),
        (
            "plan.audit = 'x'",
            "ebbtide.toml:1: plan.audit must be a table, but is a string",
            "legal values: a table of sections, as in [plan.audit.provision]",
        ),
        (
            "[plan.provision]\nmigrations = 'x'",
            "ebbtide.toml:1: [plan.provision] must begin with the plan's name",
            "write [plan.NAME.provision], as in [plan.audit.provision]",
        ),
        (
            "[plan.'a b'.provision]",
            "ebbtide.toml:1: the name of a plan must consist of ASCII letters, digits, _ and -, \
             but is \"a b\"",
            "rename the plan, as in [plan.audit.provision]",
        ),
    ] {
        let error = refused_file(file);
        let found = kind_message_help(&error);
        assert_eq!(found, (ErrorKind::Config, message.to_owned(), help));
    }
}

#[test]
fn a_plan_inherits_the_roles_which_belong_to_the_server() {
    let package = Package::with_file(
        "[provision]\nroles = ['app_owner', 'app']\nowner = 'app_owner'\n[test]\nrole = 'app'\n\
         [plan.audit.provision]\nmigrations = false\n\
         [plan.other.provision]\nmigrations = false\nroles = ['other']\n[plan.other.test]\nrole = 'other'\n",
    );
    let audit = named(&package, "audit", &[("EBBTIDE_TEST_ROLE", "auditor")]);
    assert_eq!(
        value(&audit, "roles"),
        text("app_owner, app", "ebbtide.toml:2")
    );
    assert_eq!(value(&audit, "owner"), text("app_owner", "ebbtide.toml:3"));
    assert_eq!(
        value(&audit, "test_role"),
        text("auditor", "EBBTIDE_TEST_ROLE")
    );
    let other = named(&package, "other", &[]);
    assert_eq!(value(&other, "roles").0, "other");
    assert_eq!(value(&other, "test_role").0, "other");
    assert_eq!(value(&other, "owner").0, "app_owner");
}
