//! How much memory is left for further databases of a server that keeps its data in memory.
//!
//! Each lane is a copy of the template. On such a server a large template can take the machine's
//! memory before the tests have a lane each. The system would then swap, or end a process. So a
//! copy is refused before that, and the tests share the lanes that exist.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::running::Server;
use crate::error::{Error, ErrorKind, Result};
use crate::names::{DatabaseName, Literal};
use crate::sql_error;

/// The memory that the system or a control group has for this process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MemoryLeft {
    total: u64,
    available: u64,
}

impl Server {
    /// Refuses a copy of a template for which there is too little memory.
    ///
    /// The first copy may take all the memory that is available, because tests need one. A further
    /// copy may take half of it. `prefix` begins the names of the copies.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfSpace`]: the data is in memory, and there is too little. Also the errors
    /// of a query.
    pub(crate) async fn check_memory_for_copy(
        &self,
        admin: &mut PgConnection,
        template: &DatabaseName,
        prefix: &str,
    ) -> Result<()> {
        if !self.handle.keeps_data_in_memory() {
            return Ok(());
        }
        // The template is in memory, too. So it fits while half of the memory is available.
        let Some(left) = MemoryLeft::below(Path::new("/")).filter(|left| !left.is_plenty()) else {
            return Ok(());
        };
        let query = format!(
            "select pg_database_size(oid), \
                 exists (select from pg_database where starts_with(datname::text, {})) \
             from pg_database where datname = {}",
            Literal(prefix),
            Literal(template.as_str())
        );
        let found: Option<(i64, bool)> = sqlx::query_as(AssertSqlSafe(query))
            .fetch_optional(admin)
            .await
            .map_err(|error| {
                self.diagnose(sql_error::failed("reading a database's size", error))
            })?;
        // A missing template is reported by the copy.
        let Some((size, has_others)) = found else {
            return Ok(());
        };
        let size = u64::try_from(size).unwrap_or_default();
        if left.has_room_for(size, has_others) {
            return Ok(());
        }
        let limit = if has_others { "half of " } else { "" };
        Err(Error::new(
            ErrorKind::OutOfSpace,
            format!(
                "a copy of the template takes {} MB of memory, which is more than {limit}the {} MB \
                 that are available",
                size >> 20,
                left.available >> 20
            ),
        )
        .with_help(
            "set EBBTIDE_STORAGE=disk (`server.storage`), run fewer tests at once, or let the \
             seeds create fewer rows",
        ))
    }
}

impl MemoryLeft {
    /// The least memory that the system and the control groups of this process have left. `root` is
    /// the directory with `proc` and `sys`. `None` if the system does not provide this.
    fn below(root: &Path) -> Option<Self> {
        let system = Self::of_system(&read_to_string(root.join("proc/meminfo")).ok()?)?;
        let groups = read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let limits = groups
            .lines()
            .filter_map(|line| GroupFiles::of(line, root))
            .flat_map(|files| files.limits());
        limits.chain([system]).min_by_key(|memory| memory.available)
    }

    /// From the text of `/proc/meminfo`
    /// (<https://man7.org/linux/man-pages/man5/proc_meminfo.5.html>).
    fn of_system(meminfo: &str) -> Option<Self> {
        let kilobytes = |name: &str| -> Option<u64> {
            let value = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        Some(Self {
            total: kilobytes("MemTotal:")? << 10,
            available: kilobytes("MemAvailable:")? << 10,
        })
    }

    fn is_plenty(self) -> bool {
        self.available >= self.total / 2
    }

    fn has_room_for(self, size: u64, has_others: bool) -> bool {
        let copies = if has_others { 2 } else { 1 };
        size.saturating_mul(copies) <= self.available
    }
}

/// The files of a control group, and of those above it, that limit the memory.
///
/// Version 2: <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory>. Version 1:
/// <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>.
struct GroupFiles {
    mount: PathBuf,
    /// The group's path below the mount.
    group: PathBuf,
    limit: &'static str,
    used: &'static str,
    /// The name in `memory.stat` of file pages that the kernel can free. `used` includes them.
    freeable: &'static str,
}

impl GroupFiles {
    /// From a line of `/proc/self/cgroup`, `ID:CONTROLLERS:PATH`
    /// (<https://man7.org/linux/man-pages/man7/cgroups.7.html>).
    fn of(line: &str, root: &Path) -> Option<Self> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let group = PathBuf::from(path.trim_start_matches('/'));
        if controllers.is_empty() {
            Some(Self {
                mount: root.join("sys/fs/cgroup"),
                group,
                limit: "memory.max",
                used: "memory.current",
                freeable: "inactive_file",
            })
        } else if controllers.split(',').any(|name| name == "memory") {
            Some(Self {
                mount: root.join("sys/fs/cgroup/memory"),
                group,
                limit: "memory.limit_in_bytes",
                used: "memory.usage_in_bytes",
                freeable: "total_inactive_file",
            })
        } else {
            None
        }
    }

    /// What each group has left that has a limit. In a container, the files of its own group may be
    /// those of the mount itself, while the path is that of the host.
    fn limits(&self) -> Vec<MemoryLeft> {
        let groups = self.group.ancestors();
        groups
            .filter_map(|group| self.left_in(&self.mount.join(group)))
            .collect()
    }

    fn left_in(&self, dir: &Path) -> Option<MemoryLeft> {
        let read = |name: &str| read_to_string(dir.join(name)).ok();
        // `max` is no limit. Version 1 has a number above all memory for that.
        let total: u64 = read(self.limit)?.trim().parse().ok()?;
        let used: u64 = read(self.used)?.trim().parse().ok()?;
        let stat = read("memory.stat").unwrap_or_default();
        let freeable = stat.lines().find_map(|line| {
            let value = line.strip_prefix(self.freeable)?.strip_prefix(' ')?;
            value.parse().ok()
        });
        let used = used.saturating_sub(freeable.unwrap_or(0));
        Some(MemoryLeft {
            total,
            available: total.saturating_sub(used),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684084 kB\nMemFree:         100 kB\n\
                           MemAvailable:    8388608 kB\n";

    /// A directory with the files, which stand for those of the system.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("the temporary directory is writable");
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a file in a directory")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        root
    }

    fn left(files: &[(&str, &str)]) -> Option<u64> {
        MemoryLeft::below(system(files).path()).map(|left| left.available >> 20)
    }

    #[test]
    fn the_least_of_the_system_and_the_groups_counts() {
        let meminfo = ("proc/meminfo", MEMINFO);
        assert_eq!(left(&[]), None);
        assert_eq!(left(&[meminfo]), Some(8_192));
        let version_2 = [
            meminfo,
            ("proc/self/cgroup", "0::/build.slice/job.scope\n"),
            ("sys/fs/cgroup/build.slice/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/build.slice/memory.current", "943718400\n"),
            (
                "sys/fs/cgroup/build.slice/memory.stat",
                "anon 1\ninactive_file 104857600\n",
            ),
            ("sys/fs/cgroup/build.slice/job.scope/memory.max", "max\n"),
            (
                "sys/fs/cgroup/build.slice/job.scope/memory.current",
                "4096\n",
            ),
        ];
        assert_eq!(
            left(&version_2),
            Some(224),
            "the group above has 1024 - (900 - 100) MB"
        );
        // In a container: the path is that of the host, and the files are those of the mount.
        let version_1 = [
            meminfo,
            (
                "proc/self/cgroup",
                "5:devices:/x\n4:cpu,memory:/docker/0123\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "268435456\n"),
        ];
        assert_eq!(left(&version_1), Some(256));
        let unlimited = [
            meminfo,
            ("proc/self/cgroup", "4:memory:/\n"),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "268435456\n"),
        ];
        assert_eq!(left(&unlimited), Some(8_192));
    }

    #[test]
    fn a_further_copy_takes_at_most_half_of_what_is_left() {
        let left = MemoryLeft {
            total: 1_000,
            available: 400,
        };
        assert!(!left.is_plenty());
        assert!(left.has_room_for(200, true) && !left.has_room_for(201, true));
        assert!(left.has_room_for(400, false) && !left.has_room_for(401, false));
    }
}
