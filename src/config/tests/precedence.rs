//! The precedence: the variable, then `.env`, then the builder, then the file, then the default.

use std::path::Path;
use std::time::Duration;

use super::super::key_type::KeyType;
use super::super::missing_tables::MissingTables;
use super::super::{
    Backend, Builder, Cache, Container, Dedicated, Expect, Extension, External, Keep,
    LocaleProvider, Native, Plan, Secret, Source, Storage,
};
use super::Package;

/// One key, as each source writes it.
struct Case {
    variable: &'static str,
    /// The value of each source: variable, `.env`, builder, file.
    values: [&'static str; 4],
    build: fn(Builder) -> Builder,
    file: &'static str,
    default: &'static str,
    /// The plan's value as text, and its source.
    read: fn(&Plan) -> (String, &Source),
}

const CASES: &[Case] = &[
    Case {
        variable: "EBBTIDE_OWNER",
        values: ["a", "b", "c", "d"],
        build: |b| b.owner("c"),
        file: "[provision]\nowner = 'd'",
        default: "None",
        read: |plan| (text(plan.owner.as_ref()), &plan.owner.source),
    },
    Case {
        variable: "EBBTIDE_TEST_ROLE",
        values: ["a", "b", "c", "d"],
        build: |b| b.test_role("c"),
        file: "[test]\nrole = 'd'",
        default: "None",
        read: |plan| (text(plan.test_role.as_ref()), &plan.test_role.source),
    },
    Case {
        variable: "EBBTIDE_ROLE_PASSWORD",
        values: ["a", "b", "c", "d"],
        build: |b| b.backend(External::new().url("postgres://x").role_password("c")),
        file: "[server]\nrole_password = 'd'",
        default: "None",
        read: |plan| {
            let password = plan.role_password.as_ref().map(Secret::expose);
            (text(password.as_ref()), &plan.role_password.source)
        },
    },
    Case {
        variable: "EBBTIDE_BACKEND",
        values: ["native", "container", "native", "container"],
        build: |b| b.backend(Backend::Native),
        file: "[server]\nbackend = 'container'",
        default: "auto",
        read: |plan| (plan.backend.to_string(), &plan.backend.source),
    },
    Case {
        variable: "EBBTIDE_POSTGRES",
        values: ["18", "17", "16", "15"],
        build: |b| b.postgres(16),
        file: "[server]\npostgres = 15",
        default: "None",
        read: |plan| (text(plan.postgres.as_ref()), &plan.postgres.source),
    },
    Case {
        variable: "EBBTIDE_IMAGE",
        values: ["a", "b", "c", "d"],
        build: |b| b.backend(Container::new().image("c")),
        file: "[server]\nimage = 'd'",
        default: "None",
        read: |plan| (text(plan.image.as_ref()), &plan.image.source),
    },
    Case {
        variable: "EBBTIDE_URL",
        values: [
            "postgres://a",
            "postgres://b",
            "postgres://c",
            "postgres://d",
        ],
        build: |b| b.backend(External::new().url("postgres://c")),
        file: "[server]\nurl = 'postgres://d'",
        default: "None",
        read: |plan| (text(plan.url.as_ref()), &plan.url.source),
    },
    Case {
        variable: "EBBTIDE_ALLOW_REMOTE",
        values: ["false", "true", "true", "true"],
        build: |b| b.backend(External::new().url("postgres://c").allow_remote()),
        file: "[server]\nallow_remote = true",
        default: "false",
        read: |plan| (plan.allow_remote.to_string(), &plan.allow_remote.source),
    },
    Case {
        variable: "EBBTIDE_LINGER",
        values: ["1s", "2s", "3s", "4s"],
        build: |b| b.linger(Duration::from_secs(3)),
        file: "[server]\nlinger = '4s'",
        default: "30s",
        read: |plan| (format!("{:?}", *plan.linger), &plan.linger.source),
    },
    Case {
        variable: "EBBTIDE_KEEP_FOR",
        values: ["1s", "2s", "3s", "4s"],
        build: |b| b.keep_for(Duration::from_secs(3)),
        file: "[server]\nkeep_for = '4s'",
        default: "3600s",
        read: |plan| (format!("{:?}", *plan.keep_for), &plan.keep_for.source),
    },
    Case {
        variable: "EBBTIDE_KEEP",
        values: ["failed", "always", "failed", "always"],
        build: |b| b.keep(Keep::Failed),
        file: "[server]\nkeep = 'always'",
        default: "never",
        read: |plan| (plan.keep.to_string(), &plan.keep.source),
    },
    Case {
        variable: "EBBTIDE_LOG_PLANS_SLOWER_THAN",
        values: ["1s", "2s", "3s", "4s"],
        build: |b| b.log_plans_slower_than(Duration::from_secs(3)),
        file: "[server]\nlog_plans_slower_than = '4s'",
        default: "None",
        read: |plan| {
            (
                plan.log_plans_slower_than
                    .map_or("None".to_owned(), |limit| format!("{limit:?}")),
                &plan.log_plans_slower_than.source,
            )
        },
    },
    Case {
        variable: "EBBTIDE_STORAGE",
        values: ["disk", "memory", "disk", "memory"],
        build: |b| b.storage(Storage::Disk),
        file: "[server]\nstorage = 'memory'",
        default: "auto",
        read: |plan| (plan.storage.to_string(), &plan.storage.source),
    },
    Case {
        variable: "EBBTIDE_CACHE",
        values: ["auto", "never", "auto", "never"],
        build: |b| b.cache(Cache::Auto),
        file: "[server]\ncache = 'never'",
        default: "auto",
        read: |plan| (plan.cache.to_string(), &plan.cache.source),
    },
    Case {
        variable: "EBBTIDE_DEDICATED",
        values: ["auto", "never", "always", "never"],
        build: |b| b.dedicated(Dedicated::Always),
        file: "[server]\ndedicated = 'never'",
        default: "auto",
        read: |plan| (plan.dedicated.to_string(), &plan.dedicated.source),
    },
    Case {
        variable: "EBBTIDE_PG_BIN",
        values: ["/a", "/b", "/c", "/d"],
        build: |b| b.backend(Native::new().bin("/c")),
        file: "[server]\nbin = '/d'",
        default: "None",
        read: |plan| (path(plan.bin.as_deref()), &plan.bin.source),
    },
    Case {
        variable: "EBBTIDE_STATE_DIR",
        values: ["/a", "/b", "/c", "/d"],
        build: |b| b.state_dir("/c"),
        file: "[server]\nstate_dir = '/d'",
        default: "/tmp/ebbtide-1000",
        read: |plan| (path(Some(plan.state_dir.get())), &plan.state_dir.source),
    },
    Case {
        variable: "EBBTIDE_START_TIMEOUT",
        values: ["1s", "2s", "3s", "4s"],
        build: |b| b.start_timeout(Duration::from_secs(3)),
        file: "[server]\nstart_timeout = '4s'",
        default: "60s",
        read: |plan| {
            (
                format!("{:?}", *plan.start_timeout),
                &plan.start_timeout.source,
            )
        },
    },
    Case {
        variable: "EBBTIDE_IGNORE_MISSING_TABLES",
        values: ["a, app.b", "false", "c", "all"],
        build: |b| b.ignore_missing_tables(["c"]),
        file: "[provision]\nignore_missing_tables = true",
        default: "false",
        read: |plan| {
            let tables = &plan.ignore_missing_tables;
            (missing(tables.get()), &tables.source)
        },
    },
    Case {
        variable: "EBBTIDE_EXTENSIONS",
        values: ["a, b schema s version 1.1", "b no-cascade", "c", "d"],
        build: |b| b.extension("c"),
        file: "[provision]\nextensions = ['d']",
        default: "",
        read: |plan| {
            (
                Vec::<Extension>::print(plan.extensions.get(), ""),
                &plan.extensions.source,
            )
        },
    },
    Case {
        variable: "EBBTIDE_LOCALE",
        values: ["a", "b", "c", "d"],
        build: |b| b.locale("c"),
        file: "[provision]\nlocale = 'd'",
        default: "None",
        read: |plan| (text(plan.locale.as_ref()), &plan.locale.source),
    },
    Case {
        variable: "EBBTIDE_ENCODING",
        values: ["a", "b", "c", "d"],
        build: |b| b.encoding("c"),
        file: "[provision]\nencoding = 'd'",
        default: "None",
        read: |plan| (text(plan.encoding.as_ref()), &plan.encoding.source),
    },
    Case {
        variable: "EBBTIDE_LOCALE_PROVIDER",
        values: ["icu", "builtin", "icu", "builtin"],
        build: |b| b.locale_provider(LocaleProvider::Icu),
        file: "[provision]\nlocale_provider = 'builtin'",
        default: "libc",
        read: |plan| {
            (
                plan.locale_provider.to_string(),
                &plan.locale_provider.source,
            )
        },
    },
    Case {
        variable: "EBBTIDE_MIGRATIONS",
        values: ["None", "None", "None", "None"],
        build: Builder::without_migrations,
        file: "[provision]\nmigrations = false",
        default: "None",
        read: |plan| (format!("{:?}", *plan.migrations), &plan.migrations.source),
    },
    Case {
        variable: "EBBTIDE_SEEDS",
        values: ["None", "None", "None", "None"],
        build: Builder::without_seeds,
        file: "[provision]\nseeds = false",
        default: "None",
        read: |plan| (path(plan.seeds.as_deref()), &plan.seeds.source),
    },
    Case {
        variable: "EBBTIDE_PROVISION_TIMEOUT",
        values: ["1s", "2s", "3s", "4s"],
        build: |b| b.provision_timeout(Duration::from_secs(3)),
        file: "[provision]\ntimeout = '4s'",
        default: "120s",
        read: |plan| {
            (
                format!("{:?}", *plan.provision_timeout),
                &plan.provision_timeout.source,
            )
        },
    },
];

#[test]
fn for_every_key_and_every_set_of_sources_the_strongest_source_counts() {
    for case in CASES {
        // Bit 0 is the variable, bit 1 `.env`, bit 2 the builder, bit 3 the file.
        for set in 0..16_u8 {
            let has = |source: u8| set & (1 << source) != 0;
            let written = |value: &str| {
                if value == "None" {
                    value.to_lowercase()
                } else {
                    value.into()
                }
            };
            let package = if has(3) {
                Package::with_file(case.file)
            } else {
                Package::new()
            };
            let value = written(case.values[0]);
            let variables: &[(&str, &str)] = if has(0) {
                &[(case.variable, &value)]
            } else {
                &[]
            };
            let mut environment = package.environment(variables);
            if has(1) {
                let text = format!("{}='{}'", case.variable, written(case.values[1]));
                environment = environment
                    .with_dot_env(Path::new(".env"), &text)
                    .expect("a legal line");
            }
            let builder = if has(2) {
                (case.build)(Builder::new())
            } else {
                Builder::new()
            };
            let plan = builder.resolve(&environment).expect("legal values");
            let (name, file) = (
                case.variable,
                Source::File {
                    path: "ebbtide.toml".into(),
                    line: 2,
                    plan: None,
                },
            );
            let sources = [
                Source::Variable(name),
                Source::DotEnv(name),
                Source::Builder,
                file,
            ];
            let expected = match set.trailing_zeros() as usize {
                strongest @ 0..4 => (
                    case.values[strongest].to_owned(),
                    sources[strongest].clone(),
                ),
                _ => (case.default.to_owned(), Source::Default),
            };
            let (value, source) = (case.read)(&plan);
            assert_eq!(
                (value, source.clone()),
                expected,
                "{name} with the sources {set:04b}"
            );
        }
    }
}

#[test]
fn directories_have_the_same_precedence() {
    let package = Package::with_file("[provision]\nmigrations = 'd'\nseeds = 'd'")
        .dir("a")
        .dir("c")
        .dir("d")
        .dir("migrations")
        .dir("seeds");
    let builder = Builder::new().migrations("c").seeds("c");
    let variables = [("EBBTIDE_MIGRATIONS", "a"), ("EBBTIDE_SEEDS", "a")];
    let planned = |builder: &Builder, variables| {
        let plan = package.plan(builder, variables).expect("legal");
        (
            format!("{:?}", *plan.migrations),
            path(plan.seeds.as_deref()),
        )
    };
    let expected = |name: &str| {
        let dir = package.path(name);
        (
            format!("Some(Directory({dir:?}))"),
            dir.display().to_string(),
        )
    };
    assert_eq!(planned(&builder, &variables), expected("a"));
    assert_eq!(planned(&builder, &[]), expected("c"));
    assert_eq!(planned(&Builder::new(), &[]), expected("d"));
}

#[test]
fn settings_are_merged_by_name_and_the_builder_is_stronger() {
    let text = "[server.settings]\nTimeZone = 'UTC'\nwork_mem = 8\njit = true\nseed = 0.5";
    let builder = Builder::new()
        .setting("timezone", "Europe/Madrid")
        .setting("Lock_Timeout", "1s");
    let plan = Package::with_file(text).plan(&builder, &[]).expect("legal");
    let planned: Vec<String> = plan
        .settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        planned,
        [
            "jit=on",
            "lock_timeout=1s",
            "seed=0.5",
            "timezone=Europe/Madrid",
            "work_mem=8"
        ]
    );
    assert_eq!(plan.settings.source.to_string(), "builder, ebbtide.toml:4");
    let planned: Vec<String> = plan
        .settings
        .sources
        .values()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        planned,
        [
            "ebbtide.toml:4",
            "builder",
            "ebbtide.toml:5",
            "builder",
            "ebbtide.toml:3"
        ]
    );
}

#[test]
fn expectations_are_merged_and_have_both_sources() {
    let text =
        "[provision.expect]\ntables = ['a']\nrows = { a = 1, b = 2 }\nenums = { mood = ['sad'] }";
    let expect = Expect::new()
        .table("b")
        .rows("a", 3)
        .enum_labels("mood", ["sad", "happy"]);
    let builder = Builder::new().expect(expect);
    let plan = Package::with_file(text).plan(&builder, &[]).expect("legal");
    assert_eq!(plan.expect.tables, ["a", "b"]);
    assert_eq!(
        plan.expect.rows,
        [("a".to_owned(), 3), ("b".to_owned(), 2)].into()
    );
    assert_eq!(plan.expect.enums["mood"], ["sad", "happy"]);
    assert_eq!(plan.expect.source.to_string(), "builder, ebbtide.toml:1");
}

#[test]
fn extensions_of_a_builder_accumulate_without_repetitions() {
    let builder = Builder::new()
        .extension("a")
        .extension("b")
        .extension("a")
        .extension("c");
    let plan = Package::with_file("[provision]\nextensions = ['d']")
        .plan(&builder, &[])
        .expect("legal");
    assert_eq!(
        Vec::<Extension>::print(plan.extensions.get(), ""),
        "a, b, c"
    );
}

#[test]
fn an_empty_variable_has_no_value_and_hides_the_one_in_dot_env() {
    let package = Package::new();
    let environment = package.environment(&[("EBBTIDE_IMAGE", "")]);
    let environment = environment
        .with_dot_env(Path::new(".env"), "EBBTIDE_IMAGE=a")
        .expect("legal");
    let plan = Builder::new().resolve(&environment).expect("legal");
    assert_eq!(*plan.image, None);
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map_or("None".to_owned(), ToString::to_string)
}

fn path(value: Option<&Path>) -> String {
    value.map_or("None".to_owned(), |path| path.display().to_string())
}

fn missing(tables: &MissingTables) -> String {
    match tables {
        MissingTables::These(names) if names.is_empty() => "false".to_owned(),
        MissingTables::These(names) => names.join(", "),
        MissingTables::All => "all".to_owned(),
    }
}

#[test]
fn missing_tables_of_a_builder_accumulate_until_all_may_be_missing() {
    let some = Builder::new()
        .ignore_missing_tables(["a", "app.b"])
        .ignore_missing_tables(["a", "c"]);
    let all = some.clone().ignore_all_missing_tables();
    let all = all.ignore_missing_tables(["d"]);
    for (builder, expected) in [(some, "a, app.b, c"), (all, "all")] {
        let plan = Package::new().plan(&builder, &[]).expect("legal");
        assert_eq!(missing(&plan.ignore_missing_tables), expected);
    }
}
