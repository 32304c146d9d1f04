//! Templates that a container saves to a volume, and that the next container restores.

use serde_json::{Value, json};

use super::testbed::{ContainerTestbed, runs_on_containers};
use crate::support::this_test;
use crate::worker::Worker;

/// An image with a label of its own, so that no other test uses its volume. Dropping it removes the
/// image and the volume.
struct Image<'a> {
    testbed: &'a ContainerTestbed,
    name: String,
    volume: Option<String>,
}

impl<'a> Image<'a> {
    /// An image derived from the one of which the testbed starts containers.
    fn derived(testbed: &'a ContainerTestbed) -> Self {
        let mut any = testbed.worker();
        any.execute("start");
        let from = testbed.daemon.image_of(&testbed.container());
        end(testbed, any);
        let label = uuid::Uuid::new_v4().simple().to_string();
        let source = testbed.daemon.request_ok(
            "POST",
            "/containers/create",
            Some(&json!({ "Image": from })),
        );
        let source = source["Id"].as_str().unwrap().to_owned();
        let tag = &label[..8];
        let commit = format!(
            "/commit?container={source}&repo=ebbtide-cachetest&tag={tag}&changes=LABEL%20test={label}"
        );
        testbed.daemon.request_ok("POST", &commit, None);
        testbed.daemon.remove(&source);
        Self {
            testbed,
            name: format!("ebbtide-cachetest:{tag}"),
            volume: None,
        }
    }

    /// Starts a worker that starts a new container from this image.
    fn worker(&mut self, seeds: &str) -> Worker {
        let variables = [
            ("EBBTIDE_CACHE", "auto".into()),
            ("EBBTIDE_IMAGE", (&self.name).into()),
            ("EBBTIDE_SEEDS", self.testbed.base.path(seeds)),
        ];
        let mut worker = self.testbed.worker_with(&variables);
        worker.execute("start");
        let volumes = self.testbed.container().volumes;
        self.volume = volumes
            .into_iter()
            .find(|name| name.starts_with("ebbtide-cache-"));
        worker
    }

    fn volume(&self) -> &str {
        self.volume
            .as_deref()
            .expect("the container has a volume for templates")
    }

    /// Runs a shell script in a container with the volume at `/cache`.
    fn run_on_volume(&self, script: &str) {
        let body = json!({
            "Image": self.name,
            "Entrypoint": ["sh", "-c", script],
            "HostConfig": { "Binds": [format!("{}:/cache", self.volume())], "NetworkMode": "none" },
        });
        let daemon = &self.testbed.daemon;
        let made = daemon.request_ok("POST", "/containers/create", Some(&body));
        let id = made["Id"].as_str().unwrap();
        daemon.request_ok("POST", &format!("/containers/{id}/start"), None);
        let ended = daemon.request_ok("POST", &format!("/containers/{id}/wait"), None);
        daemon.remove(id);
        assert_eq!(ended["StatusCode"], 0, "{script}: {ended}");
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        let daemon = &self.testbed.daemon;
        for container in self.testbed.containers() {
            daemon.remove(&container.id);
        }
        if let Some(volume) = &self.volume {
            daemon.request("DELETE", &format!("/volumes/{volume}"), None);
        }
        daemon.request("DELETE", &format!("/images/{}", self.name), None);
    }
}

/// Ends the process, and waits until its container has saved its templates and is removed.
fn end(testbed: &ContainerTestbed, worker: Worker) {
    assert_eq!(worker.end().code(), Some(0));
    testbed.wait_until_nothing_is_left();
}

#[test]
fn the_next_container_restores_the_templates_of_the_one_before() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let testbed = ContainerTestbed::new();
    testbed.base.write(
        "one/things.sql",
        "insert into things (name) values ('one');",
    );
    testbed.base.write(
        "two/things.sql",
        "insert into things (name) values ('one'), ('two');",
    );
    let mut image = Image::derived(&testbed);
    let assert_provisions = |worker: &mut Worker, how: &str, count: &str| {
        assert_eq!(worker.execute("provision"), how);
        worker.execute("open");
        assert_eq!(
            worker.execute("query select count(*)::text from things"),
            count
        );
        worker.execute("close");
    };

    let mut first = image.worker("one");
    assert_provisions(&mut first, "built", "1");
    let volume: Value =
        testbed
            .daemon
            .request_ok("GET", &format!("/volumes/{}", image.volume()), None);
    assert_eq!(volume["Labels"]["ebbtide.role"], "cache", "{volume}");
    assert!(
        volume["Labels"]["ebbtide.owner"]
            .as_str()
            .unwrap()
            .contains('/'),
        "{volume}"
    );
    end(&testbed, first);

    let mut second = image.worker("one");
    assert_provisions(&mut second, "reused", "1");
    end(&testbed, second);

    let mut changed = image.worker("two");
    assert_provisions(&mut changed, "built", "2");
    end(&testbed, changed);

    let (mut both, mut second_user) = (image.worker("two"), image.worker("one"));
    assert_provisions(&mut both, "reused", "2");
    assert_provisions(&mut second_user, "reused", "1");
    drop(second_user);
    end(&testbed, both);

    for damage in [
        "for file in /cache/*.tar; do head -c 1000000 $file > /cache/part; cat /cache/part > $file; done",
        "for file in /cache/*.tar; do rm $file; mkdir $file; done; touch /cache/0-0.tar",
        "rm -rf /cache/*; chmod 000 /cache",
    ] {
        image.run_on_volume(&format!("ls /cache/*.tar > /dev/null && {damage}"));
        let mut next = image.worker("one");
        assert_provisions(&mut next, "built", "1");
        end(&testbed, next);
    }
    image.run_on_volume("chmod 755 /cache");
}

#[test]
fn a_dedicated_container_neither_saves_templates_nor_restores_them() {
    if !runs_on_containers(this_test!()) {
        return;
    }
    let testbed = ContainerTestbed::new();
    testbed.base.write(
        "one/things.sql",
        "insert into things (name) values ('one');",
    );
    let roles =
        "create role app; alter role all set work_mem = '5MB'; create table things (name text);";
    testbed.base.write("roles/1_roles.sql", roles);
    let mut image = Image::derived(&testbed);
    let plain = |image: &mut Image<'_>, how: &str| {
        let mut worker = image.worker("one");
        assert_eq!(worker.execute("provision"), how);
        worker.execute("open");
        let found = "query select count(*)::text from pg_roles where rolname = 'app'";
        assert_eq!(worker.execute(found), "0");
        assert_eq!(worker.execute("query show work_mem"), "4MB");
        end(&testbed, worker);
    };
    plain(&mut image, "built");
    for _ in 0..2 {
        let variables = [
            ("EBBTIDE_CACHE", "auto".into()),
            ("EBBTIDE_IMAGE", (&image.name).into()),
            ("EBBTIDE_MIGRATIONS", testbed.base.path("roles")),
        ];
        let mut worker = testbed.worker_with(&variables);
        assert_eq!(
            [worker.execute("start"), worker.execute("provision")],
            ["started", "built"]
        );
        assert!(
            testbed
                .container()
                .volumes
                .iter()
                .all(|name| !name.starts_with("ebbtide-cache-"))
        );
        worker.execute("open");
        assert_eq!(
            worker
                .execute("query select string_agg(rolname, ' ') from pg_roles where oid >= 16384"),
            "app"
        );
        assert_eq!(worker.execute("query show work_mem"), "5MB");
        assert_eq!(
            worker
                .execute("query select string_agg(datname, ' ') from pg_database where datname ~ '^ebbtide_t'")
                .split(' ')
                .count(),
            1
        );
        end(&testbed, worker);
    }
    plain(&mut image, "reused");
}
