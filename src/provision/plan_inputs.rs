//! The inputs of a template: their hash, and the files once they are needed.

use std::sync::Arc;
use std::time::SystemTime;

use once_cell::sync::OnceCell;

use super::fingerprint::ContentsHash;
use super::inputs::Inputs;
use super::inputs_memo::{Findings, InputsMemo};
use super::observed::{Observed, observe};
use super::server_wide::ServerWide;
use crate::config::Plan;
use crate::error::{Error, ErrorKind, Result};
use crate::names::Fingerprint;

/// Inputs whose hash is known. Their files are read when a template has to be built, and earlier
/// only if no memo has the hash.
#[derive(Debug, Clone)]
pub(crate) struct PlanInputs(Arc<Known>);

#[derive(Debug)]
struct Known {
    contents: ContentsHash,
    server_wide: OnceCell<Option<ServerWide>>,
    inputs: OnceCell<Result<Inputs>>,
    /// Whose files have the hash. `None` for inputs that are in memory.
    plan: Option<Arc<Plan>>,
}

/// What has to be recorded for later processes.
#[derive(Debug)]
pub(crate) struct NewMemo {
    memo: InputsMemo,
    findings: Findings,
    observed: Observed,
    began: SystemTime,
}

impl NewMemo {
    /// Records it, if the directory exists.
    pub(crate) fn write(self) {
        self.memo.record(&self.findings, self.observed, self.began);
    }
}

impl PlanInputs {
    /// The inputs of a plan, from the memo of an earlier process or from the files.
    ///
    /// A new memo is returned and not written here: at first, the state directory may not exist.
    ///
    /// # Errors
    /// The files cannot be read, or break a rule.
    pub(crate) fn find(plan: &Arc<Plan>) -> Result<(Self, Option<NewMemo>)> {
        let began = SystemTime::now();
        let memo = InputsMemo::of(plan, &plan.state_dir.join("cache"));
        if let Some(findings) = memo.as_ref().and_then(InputsMemo::recall) {
            let known = Known {
                contents: findings.contents,
                server_wide: OnceCell::with_value(findings.server_wide),
                inputs: OnceCell::new(),
                plan: Some(Arc::clone(plan)),
            };
            return Ok((Self(Arc::new(known)), None));
        }
        let (read, observed) = observe(|| {
            let read = Self::of(Inputs::read(plan)?);
            // The search for such a statement examines the files, too.
            let server_wide = read.server_wide().cloned();
            Ok::<_, Error>((read, server_wide))
        });
        let (read, server_wide) = read?;
        let new = memo.map(|memo| NewMemo {
            memo,
            findings: Findings {
                contents: read.0.contents,
                server_wide,
            },
            observed,
            began,
        });
        Ok((read, new))
    }

    /// Inputs that have been read.
    pub(crate) fn of(inputs: Inputs) -> Self {
        Self(Arc::new(Known {
            contents: inputs.contents_hash(),
            server_wide: OnceCell::new(),
            inputs: OnceCell::with_value(Ok(inputs)),
            plan: None,
        }))
    }

    /// The inputs, read at the first call.
    ///
    /// # Errors
    /// The files cannot be read, or have changed since the hash was made.
    pub(crate) fn get(&self) -> Result<&Inputs> {
        let read = || match &self.0.plan {
            Some(plan) => {
                let inputs = Inputs::read(plan)?;
                if inputs.contents_hash() == self.0.contents {
                    Ok(inputs)
                } else {
                    Err(changed())
                }
            }
            None => Ok(Inputs::default()),
        };
        self.0
            .inputs
            .get_or_init(read)
            .as_ref()
            .map_err(Error::clone)
    }

    /// See [`ContentsHash::fingerprint`](super::fingerprint::ContentsHash::fingerprint).
    pub(crate) fn fingerprint(
        &self,
        plan: &Plan,
        server_version_num: u32,
        role: Option<&str>,
    ) -> Fingerprint {
        self.0.contents.fingerprint(plan, server_version_num, role)
    }

    /// See [`Inputs::layered_fingerprint`]. For fixtures, which are in memory.
    pub(crate) fn layered_fingerprint(&self, plan: &Plan, base: &Fingerprint) -> Fingerprint {
        let inputs = self.get().expect("fixtures are not read from files");
        inputs.layered_fingerprint(plan, base)
    }

    /// The first statement that affects the whole server.
    pub(crate) fn server_wide(&self) -> Option<&ServerWide> {
        let search = || self.get().ok().and_then(Inputs::server_wide);
        self.0.server_wide.get_or_init(search).as_ref()
    }
}

/// The error for files that are not those whose hash names the template.
fn changed() -> Error {
    Error::new(
        ErrorKind::MigrationSource,
        "the migrations and seeds must stay the same while a process runs, but a file has changed \
         since the process began",
    )
    .with_help("run the tests again")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::{Builder, Environment};

    /// A package with two migrations and a seed, and the state directory beside it.
    fn package() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("the temporary directory is writable");
        for dir in ["state/cache", "package/migrations", "package/seeds"] {
            fs::create_dir_all(root.path().join(dir)).expect("the directory is writable");
        }
        let write = |path: &str, text: &str| {
            fs::write(root.path().join("package").join(path), text).expect("it is writable");
        };
        write("migrations/1_a.sql", "create table a ()");
        write("migrations/2_b.sql", "create table b ()");
        write("seeds/1_a.csv", "id\n1\n");
        root
    }

    fn plan(root: &Path, migrations: &str) -> Arc<Plan> {
        let package = root.join("package");
        let variables = [("CARGO_MANIFEST_DIR", package.clone())];
        let environment = Environment::new(variables, &package, root, 0);
        let builder = Builder::new().state_dir(root.join("state"));
        let plan = builder.migrations(migrations).resolve(&environment);
        Arc::new(plan.expect("the plan is legal"))
    }

    /// Finds the inputs, and records them as if they had changed long ago.
    fn find_and_record(plan: &Arc<Plan>) -> PlanInputs {
        let (inputs, memo) = PlanInputs::find(plan).expect("the files are legal");
        let memo = memo.expect("there was no memo");
        NewMemo {
            began: memo.began + Duration::from_mins(1),
            ..memo
        }
        .write();
        inputs
    }

    fn is_recalled(plan: &Arc<Plan>) -> bool {
        let (_, memo) = PlanInputs::find(plan).expect("the files are legal");
        memo.is_none()
    }

    #[test]
    fn unchanged_inputs_have_the_same_hash_and_are_read_only_when_they_are_needed() {
        let root = package();
        let plan = plan(root.path(), "migrations");
        let read = find_and_record(&plan);
        let (recalled, memo) = PlanInputs::find(&plan).expect("the files are legal");
        assert!(memo.is_none());
        assert!(recalled.0.inputs.get().is_none(), "no file was read");
        assert_eq!(recalled.0.contents, read.0.contents);
        assert_eq!(recalled.server_wide(), None);
        let inputs = recalled.get().expect("the files are legal");
        assert_eq!(inputs.seeds, read.get().expect("they are read").seeds);
    }

    #[test]
    fn a_statement_that_affects_the_whole_server_is_recalled() {
        let root = package();
        let file = root.path().join("package/migrations/2_b.sql");
        fs::write(file, "create role app").expect("the file is writable");
        let plan = plan(root.path(), "migrations");
        let read = find_and_record(&plan);
        let (recalled, _) = PlanInputs::find(&plan).expect("the files are legal");
        assert!(recalled.0.inputs.get().is_none(), "no file was read");
        assert!(recalled.server_wide().is_some());
        assert_eq!(recalled.server_wide(), read.server_wide());
    }

    #[test]
    fn every_change_of_an_input_is_seen() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 9] = [
            ("text of the same length, at the same time", |package| {
                let path = package.join("migrations/1_a.sql");
                let time = fs::metadata(&path).and_then(|found| found.modified());
                fs::write(&path, "create table z ()").expect("it is writable");
                let file = fs::File::options().append(true).open(&path);
                let file = file.expect("it is writable");
                file.set_modified(time.expect("it has a time"))
                    .expect("the time can be set");
            }),
            ("another file in its place", |package| {
                let path = package.join("migrations/1_a.sql");
                fs::write(package.join("new"), "create table z ()").expect("it is writable");
                fs::rename(package.join("new"), path).expect("it is writable");
            }),
            ("a new migration", |package| {
                let path = package.join("migrations/3_c.sql");
                fs::write(path, "select 1").expect("it is writable");
            }),
            ("no second migration", |package| {
                fs::remove_file(package.join("migrations/2_b.sql")).expect("it is writable");
            }),
            ("another name", |package| {
                let [from, to] =
                    ["2_b.sql", "4_b.sql"].map(|it| package.join("migrations").join(it));
                fs::rename(from, to).expect("it is writable");
            }),
            ("another directory in its place", |package| {
                let dir = package.join("migrations");
                fs::rename(&dir, package.join("old")).expect("it is writable");
                fs::create_dir(&dir).expect("it is writable");
                fs::write(dir.join("1_a.sql"), "create table a ()").expect("it is writable");
            }),
            ("a stray file in a new directory", |package| {
                let dir = package.join("migrations/later");
                fs::create_dir(&dir).expect("it is writable");
                fs::write(dir.join("5_c.sql"), "select 1").expect("it is writable");
            }),
            ("another seed", |package| {
                let path = package.join("seeds/1_a.csv");
                fs::write(path, "id\n2\n").expect("it is writable");
            }),
            ("sqlx's configuration", |package| {
                let path = package.join("sqlx.toml");
                fs::write(path, "[migrate]\ntable-name = \"t\"\n").expect("it is writable");
            }),
        ];
        for (name, change) in changes {
            let root = package();
            let plan = plan(root.path(), "migrations");
            let before = find_and_record(&plan);
            assert!(is_recalled(&plan), "{name}");
            change(&root.path().join("package"));
            let (after, memo) = PlanInputs::find(&plan).expect("the files are legal");
            assert!(memo.is_some(), "{name}: the memo still counts");
            assert_ne!(after.0.contents, before.0.contents, "{name}");
        }
    }

    #[test]
    fn what_makes_a_directory_another_tools_is_seen_where_it_was_missing() {
        for file in ["migrations/sqitch.plan", "migrations/meta/_journal.json"] {
            let root = package();
            let plan = plan(root.path(), "migrations");
            find_and_record(&plan);
            let path = root.path().join("package").join(file);
            let dir = path.parent().expect("it is in a directory");
            fs::create_dir_all(dir).expect("it is writable");
            fs::write(path, "").expect("it is writable");
            PlanInputs::find(&plan).expect_err("the directory belongs to another tool");
        }
    }

    #[test]
    fn a_file_that_changed_shortly_before_it_was_read_is_not_recorded() {
        let root = package();
        let plan = plan(root.path(), "migrations");
        let (_, memo) = PlanInputs::find(&plan).expect("the files are legal");
        memo.expect("there was no memo").write();
        assert!(!is_recalled(&plan));
    }

    #[test]
    fn another_plan_and_half_a_memo_do_not_count() {
        let root = package();
        let [one, other] = ["migrations", "."].map(|dir| plan(root.path(), dir));
        let cache = root.path().join("state/cache");
        find_and_record(&one);
        let memo = || {
            let mut entries = fs::read_dir(&cache).expect("it is readable");
            let entry = entries.next().expect("there is a memo");
            entry.expect("it is readable").path()
        };
        assert_ne!(
            InputsMemo::of(&one, &cache).expect("it is known").recall(),
            InputsMemo::of(&other, &cache)
                .expect("it is known")
                .recall()
        );
        let text = fs::read(memo()).expect("it is readable");
        for length in 0..text.len() {
            fs::write(memo(), &text[..length]).expect("it is writable");
            let recalled = InputsMemo::of(&one, &cache).expect("it is known").recall();
            assert!(recalled.is_none(), "{length} of {}", text.len());
        }
    }

    #[test]
    fn files_that_change_after_their_hash_was_recalled_build_no_template() {
        let root = package();
        let plan = plan(root.path(), "migrations");
        find_and_record(&plan);
        let (recalled, _) = PlanInputs::find(&plan).expect("the files are legal");
        let path = root.path().join("package/migrations/1_a.sql");
        fs::write(path, "create table z ()").expect("the file is writable");
        let error = recalled.get().expect_err("the file has changed");
        assert_eq!(error.kind(), ErrorKind::MigrationSource);
        assert!(error.to_string().contains("has changed"), "{error}");
    }
}
