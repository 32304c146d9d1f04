//! Prepared data that moves from container to container.

use serde_json::{Value, json};

use super::puppet::Puppet;
use super::stage::{Stage, contained};
use super::support::here;

/// An image with a number of its own, so that its volume is nobody else's. Removed at the end, with the volume.
struct Image<'a> {
    stage: &'a Stage,
    name: String,
    volume: Option<String>,
}

impl<'a> Image<'a> {
    fn derived(stage: &'a Stage, from: &str) -> Self {
        let label = uuid::Uuid::new_v4().simple().to_string();
        let source = stage.daemon.must(
            "POST",
            "/containers/create",
            Some(&json!({ "Image": from })),
        );
        let source = source["Id"].as_str().unwrap().to_owned();
        let tag = &label[..8];
        let commit = format!(
            "/commit?container={source}&repo=ebbtide-cachetest&tag={tag}&changes=LABEL%20test={label}"
        );
        stage.daemon.must("POST", &commit, None);
        stage.daemon.remove(&source);
        Self {
            stage,
            name: format!("ebbtide-cachetest:{tag}"),
            volume: None,
        }
    }

    /// A puppet on a new container.
    fn puppet(&mut self, seeds: &str) -> Puppet {
        let variables = [
            ("EBBTIDE_CACHE", "auto".into()),
            ("EBBTIDE_IMAGE", (&self.name).into()),
            ("EBBTIDE_SEEDS", self.stage.scene.path(seeds)),
        ];
        let mut puppet = self.stage.puppet_with(&variables);
        puppet.ask("start");
        let volumes = self.stage.container().volumes;
        self.volume = volumes
            .into_iter()
            .find(|name| name.starts_with("ebbtide-cache-"));
        puppet
    }

    fn volume(&self) -> &str {
        self.volume.as_deref().expect("a volume for prepared data")
    }

    /// Runs a command where the volume is.
    fn run_on_volume(&self, script: &str) {
        let body = json!({
            "Image": self.name,
            "Entrypoint": ["sh", "-c", script],
            "HostConfig": { "Binds": [format!("{}:/cache", self.volume())], "NetworkMode": "none" },
        });
        let daemon = &self.stage.daemon;
        let made = daemon.must("POST", "/containers/create", Some(&body));
        let id = made["Id"].as_str().unwrap();
        daemon.must("POST", &format!("/containers/{id}/start"), None);
        let ended = daemon.must("POST", &format!("/containers/{id}/wait"), None);
        daemon.remove(id);
        assert_eq!(ended["StatusCode"], 0, "{script}: {ended}");
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        let daemon = &self.stage.daemon;
        for container in self.stage.containers() {
            daemon.remove(&container.id);
        }
        if let Some(volume) = &self.volume {
            daemon.ask("DELETE", &format!("/volumes/{volume}"), None);
        }
        daemon.ask("DELETE", &format!("/images/{}", self.name), None);
    }
}

/// Ends the process and waits until its container has put away what it had.
fn end(stage: &Stage, puppet: Puppet) {
    assert_eq!(puppet.end().code(), Some(0));
    stage.wait_until_nothing_is_left();
}

#[test]
fn the_next_container_has_the_templates_of_the_one_before() {
    if !contained(here!()) {
        return;
    }
    let stage = Stage::new();
    let mut any = stage.puppet();
    any.ask("start");
    let from = stage.daemon.image_of(&stage.container());
    end(&stage, any);
    stage.scene.write(
        "one/things.sql",
        "insert into things (name) values ('one');",
    );
    stage.scene.write(
        "two/things.sql",
        "insert into things (name) values ('one'), ('two');",
    );
    let mut image = Image::derived(&stage, &from);
    let assert_provisions = |puppet: &mut Puppet, how: &str, count: &str| {
        assert_eq!(puppet.ask("provision"), how);
        puppet.ask("open");
        assert_eq!(puppet.ask("query select count(*)::text from things"), count);
        puppet.ask("close");
    };

    let mut first = image.puppet("one");
    assert_provisions(&mut first, "built", "1");
    let volume: Value = stage
        .daemon
        .must("GET", &format!("/volumes/{}", image.volume()), None);
    assert_eq!(volume["Labels"]["ebbtide.role"], "cache", "{volume}");
    assert!(
        volume["Labels"]["ebbtide.owner"]
            .as_str()
            .unwrap()
            .contains('/'),
        "{volume}"
    );
    end(&stage, first);

    let mut second = image.puppet("one");
    assert_provisions(&mut second, "reused", "1");
    end(&stage, second);

    let mut changed = image.puppet("two");
    assert_provisions(&mut changed, "built", "2");
    end(&stage, changed);

    let (mut both, mut sharer) = (image.puppet("two"), image.puppet("one"));
    assert_provisions(&mut both, "reused", "2");
    assert_provisions(&mut sharer, "reused", "1");
    drop(sharer);
    end(&stage, both);

    for damage in [
        "for file in /cache/*.tar; do head -c 1000000 $file > /cache/part; cat /cache/part > $file; done",
        "for file in /cache/*.tar; do rm $file; mkdir $file; done; touch /cache/0-0.tar",
        "rm -rf /cache/*; chmod 000 /cache",
    ] {
        image.run_on_volume(&format!("ls /cache/*.tar > /dev/null && {damage}"));
        let mut next = image.puppet("one");
        assert_provisions(&mut next, "built", "1");
        end(&stage, next);
    }
    image.run_on_volume("chmod 755 /cache");
}

#[test]
fn a_dedicated_container_neither_fills_the_volume_nor_starts_from_it() {
    if !contained(here!()) {
        return;
    }
    let stage = Stage::new();
    let mut any = stage.puppet();
    any.ask("start");
    let from = stage.daemon.image_of(&stage.container());
    end(&stage, any);
    stage.scene.write(
        "one/things.sql",
        "insert into things (name) values ('one');",
    );
    let roles =
        "create role app; alter role all set work_mem = '5MB'; create table things (name text);";
    stage.scene.write("roles/1_roles.sql", roles);
    let mut image = Image::derived(&stage, &from);
    let plain = |image: &mut Image<'_>, how: &str| {
        let mut puppet = image.puppet("one");
        assert_eq!(puppet.ask("provision"), how);
        puppet.ask("open");
        let found = "query select count(*)::text from pg_roles where rolname = 'app'";
        assert_eq!(puppet.ask(found), "0");
        assert_eq!(puppet.ask("query show work_mem"), "4MB");
        end(&stage, puppet);
    };
    plain(&mut image, "built");
    for _ in 0..2 {
        let variables = [
            ("EBBTIDE_CACHE", "auto".into()),
            ("EBBTIDE_IMAGE", (&image.name).into()),
            ("EBBTIDE_MIGRATIONS", stage.scene.path("roles")),
        ];
        let mut puppet = stage.puppet_with(&variables);
        assert_eq!(
            [puppet.ask("start"), puppet.ask("provision")],
            ["started", "built"]
        );
        assert!(
            stage
                .container()
                .volumes
                .iter()
                .all(|name| !name.starts_with("ebbtide-cache-"))
        );
        puppet.ask("open");
        assert_eq!(
            puppet.ask("query select string_agg(rolname, ' ') from pg_roles where oid >= 16384"),
            "app"
        );
        assert_eq!(puppet.ask("query show work_mem"), "5MB");
        assert_eq!(
            puppet
                .ask("query select string_agg(datname, ' ') from pg_database where datname ~ '^ebbtide_t'")
                .split(' ')
                .count(),
            1
        );
        end(&stage, puppet);
    }
    plain(&mut image, "reused");
}
