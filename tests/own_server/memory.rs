//! A template that is large for the machine's memory: tests share fewer copies of it.
//!
//! A control group limits the memory of a test process. The server is outside of the group, so only
//! ebbtide's own decision prevents a copy.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::skip::skip;
use crate::support::wait_until;
use crate::testbed::Testbed;
use crate::worker::Worker;

/// The memory that the group may use, in megabytes.
const LIMIT: u64 = 512;
/// A migration with 80 MB of rows, so that a copy takes more than 80 and less than 100 MB.
const LARGE: &str = "create table large as \
     select n, repeat(md5(n::text), 60) as text from generate_series(1, 40000) n; \
     alter table large alter text set storage external";

#[test]
fn tests_share_a_copy_if_a_further_one_takes_more_than_half_of_the_memory() {
    // About 140 MB are left: enough for one copy, and too little for a further one.
    let Some(group) = MemoryGroup::with_used(340) else {
        return skip("memory", "control groups of memory cannot be created");
    };
    let (testbed, mut outside) = large_template();
    outside.execute("open");
    let mut inside = testbed.worker();
    inside.execute("wait");
    group.add(&inside);
    inside.send("open");
    wait_until("the process reports that it waits", || {
        inside
            .printed()
            .contains("tests share the databases that exist")
    });
    let printed = inside.printed();
    assert!(
        printed
            .contains("ebbtide: tests share the databases that exist, because there is no space"),
        "{printed}"
    );
    assert!(
        printed.contains("MB of memory, which is more than half of the"),
        "{printed}"
    );
    assert!(printed.contains("EBBTIDE_STORAGE=disk"), "{printed}");
    assert_eq!(outside.end().code(), Some(0));
    inside
        .answer()
        .expect("the test gets the lane of the other process");
    assert_eq!(
        inside
            .execute("query select count(*)::text from pg_database where datname ~ '^ebbtide_l_'"),
        "1"
    );
    inside.execute("close");
    assert_eq!(
        inside.printed().matches("tests share").count(),
        1,
        "one line a process"
    );
    assert_eq!(inside.end().code(), Some(0));
    testbed.wait_until_nothing_is_left();
}

#[test]
fn the_first_copy_is_refused_if_it_takes_more_than_all_of_the_memory() {
    // At most 50 MB are left.
    let Some(group) = MemoryGroup::with_used(460) else {
        return skip("memory", "control groups of memory cannot be created");
    };
    let (testbed, outside) = large_template();
    let mut inside = testbed.worker();
    inside.execute("wait");
    group.add(&inside);
    inside.send("open");
    let refused = inside.answer().expect_err("no memory for a copy");
    assert!(refused.contains("which is more than the"), "{refused}");
    assert!(refused.contains("MB that are available"), "{refused}");
    assert!(
        refused.contains("help: set EBBTIDE_STORAGE=disk"),
        "{refused}"
    );
    // Data on disk takes no memory that the machine cannot free.
    let mut on_disk = testbed.worker_with(&[("EBBTIDE_STORAGE", PathBuf::from("disk"))]);
    on_disk.execute("wait");
    group.add(&on_disk);
    on_disk.execute("open");
    on_disk.execute("close");
    for worker in [outside, inside, on_disk] {
        assert_eq!(worker.end().code(), Some(0));
    }
    testbed.wait_until_nothing_is_left();
}

/// A testbed with a large template in memory, and the process whose server has it.
fn large_template() -> (Testbed, Worker) {
    let testbed = Testbed::new()
        .storage("memory")
        .linger(Duration::from_secs(2));
    testbed.write("migrations/2_large.sql", LARGE);
    let mut worker = testbed.worker();
    assert_eq!(worker.execute("provision"), "built");
    (testbed, worker)
}

/// A control group whose processes may use [`LIMIT`] megabytes.
#[derive(Debug)]
struct MemoryGroup {
    dir: PathBuf,
    /// A file in memory that counts for the group.
    used: PathBuf,
}

impl MemoryGroup {
    /// A group in which `used` megabytes are in use. `None` if this user cannot create one.
    fn with_used(used: u64) -> Option<Self> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("ebbtide-test-{}-{count}", std::process::id());
        let mount = Path::new("/sys/fs/cgroup");
        // Version 1 has a directory for each controller.
        let (parent, limit) = if mount.join("memory").is_dir() {
            (mount.join("memory"), "memory.limit_in_bytes")
        } else {
            (mount.to_owned(), "memory.max")
        };
        let dir = parent.join(&name);
        std::fs::create_dir(&dir).ok()?;
        let group = Self {
            dir,
            used: Path::new("/dev/shm").join(name),
        };
        std::fs::write(group.dir.join(limit), (LIMIT << 20).to_string()).ok()?;
        // The kernel counts the file's memory for the group of the process that writes it.
        let script = format!(
            "echo $$ > {}/cgroup.procs && head -c {used}M /dev/zero > {}",
            group.dir.display(),
            group.used.display()
        );
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success(), "{script}");
        Some(group)
    }

    fn add(&self, worker: &Worker) {
        std::fs::write(self.dir.join("cgroup.procs"), worker.pid().to_string()).unwrap();
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.used);
        let removed = || std::fs::remove_dir(&self.dir).is_ok();
        // The kernel refuses while a process of the group still ends. After a failed test, the
        // testbed may still have a server in the group.
        if !removed() && !std::thread::panicking() {
            wait_until("the control group can be removed", removed);
        }
    }
}
