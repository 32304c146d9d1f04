//! A test that a debugger starts: without the variables of cargo, and in the directory of another
//! project.

use ebbtide::Tx;

use crate::child_process::{is_child, run_without_cargo, this_test};

/// A directory of another project, with its own configuration and migrations.
struct OtherProject(std::path::PathBuf);

impl OtherProject {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("ebbtide-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("migrations")).unwrap();
        std::fs::write(
            dir.join("ebbtide.toml"),
            "[provision]\nextensions = ['absent']\n",
        )
        .unwrap();
        std::fs::write(
            dir.join("migrations/1_other.sql"),
            "create table other (id int);",
        )
        .unwrap();
        Self(dir)
    }
}

impl Drop for OtherProject {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn the_attribute_finds_its_package_without_cargo() {
    #[ebbtide::test]
    async fn subject(mut tx: Tx) {
        let services: i64 = sqlx::query_scalar("select count(*) from services")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert!(services > 0);
        let root = ebbtide::Harness::shared()
            .unwrap()
            .plan()
            .get("package_root")
            .unwrap();
        assert_eq!(root.value, env!("CARGO_MANIFEST_DIR"));
        assert_eq!(root.source.to_string(), "#[ebbtide::test]");
    }
    if is_child() {
        return subject();
    }
    let other = OtherProject::new("attribute");
    run_without_cargo(&other.0, this_test!()).assert_passed();
}

#[test]
fn without_cargo_and_the_attribute_the_package_must_be_named() {
    if is_child() {
        let error = ebbtide::Harness::builder().build().unwrap_err();
        assert_eq!(error.kind(), ebbtide::ErrorKind::Config);
        let text = "the directory of the package under test must be known";
        assert!(error.to_string().contains(text), "{error}");
        assert!(
            error.help().unwrap().contains("Builder::package_root"),
            "{error:?}"
        );
        let builder = ebbtide::Harness::builder().package_root(env!("CARGO_MANIFEST_DIR"));
        let plan = builder.build().unwrap();
        let root = plan.plan().get("package_root").unwrap();
        assert_eq!(root.value, env!("CARGO_MANIFEST_DIR"));
        return;
    }
    let other = OtherProject::new("builder");
    run_without_cargo(&other.0, this_test!()).assert_passed();
}
