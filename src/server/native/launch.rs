//! One attempt to start a native server, from the binaries to the server's first answer.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::super::backend::StartRequest;
use super::super::identification::{Identification, SUPERUSER, identify};
use super::super::registry::{Health, Instance, LeaseName, Pointer, Registry, ServerLease};
use super::super::running::{Origin, Server};
use super::super::{disk, settings, supervisor};
use super::binaries::{self, Binaries};
use super::handle::{NativeHandle, SCRIPT};
use super::saved::SavedData;
use super::start_failure::StartFailure;
use super::{free_space, memory};
use crate::config::{Backend, Plan, Storage};
use crate::conn::{ADMIN_DATABASE, ConnParams, PORT};
use crate::error::{Error, ErrorKind, Result};
use crate::guard_names::IDENTITY_SETTING;
use crate::names::short_hash;
use crate::process::{self, Account, Detached};
use crate::scarcity::Scarcity;
use crate::wait::Polling;

/// Free bytes in memory from which on `storage = "auto"` keeps the data there.
const MIN_FREE_FOR_MEMORY: u64 = 2 << 30;
/// How long a starting server may lack processes or files before its start fails.
const SCARCITY_GRACE: Duration = Duration::from_secs(5);
const LOG_LINES: usize = 15;

/// The result of one attempt to start a server.
pub(super) enum Attempt {
    Server(Box<Server>),
    /// The supervisor was killed. Its deputy removes the instance.
    SupervisorKilled,
}

/// Everything that is decided before anything is created.
pub(super) struct Launch<'a> {
    plan: &'a Plan,
    registry: &'a Registry,
    account: Option<Account>,
    binaries: Binaries,
    instance: Instance,
    data: PathBuf,
    cache: PathBuf,
    saved: SavedData,
    arguments: Vec<OsString>,
    /// Why this backend was chosen.
    reason: &'a str,
}

impl<'a> Launch<'a> {
    pub(super) fn prepare(
        request: StartRequest<'a>,
        registry: &'a Registry,
        account: Option<Account>,
    ) -> Result<Self> {
        let StartRequest { plan, reason, .. } = request;
        let binaries = binaries::find(plan, account)?;
        // A new name for each attempt: the deputy may still be removing the instance of the last
        // one.
        let instance = registry.instance(&registry.key.new_instance_name());
        let data = data_dir(plan, registry, &instance, account)?;
        let settings = settings::tuned(binaries.major, &plan.settings);
        let arguments = server_arguments(&instance, &settings);
        // `initdb` fills the cache from the files of this installation, so another installation of
        // the same major version gets another cache. It also lists the machine's locales as
        // collations, so a new locale needs another cache, too.
        let build = short_hash(
            &format!(
                "{} {} {:?} {:?}",
                binaries.version,
                binaries.dir.display(),
                binaries.changed_at(),
                locales_changed_at()
            ),
            8,
        );
        let saved = SavedData::of(request, registry, &binaries, &build);
        let cache = registry
            .state
            .cache()
            .join(format!("initdb-{}-{build}", binaries.major));
        // The supervisor runs `initdb` only if the cache is missing.
        if !cache.exists() {
            free_space::check(&cache)?;
        }
        free_space::check(&data)?;
        Ok(Self {
            plan,
            registry,
            account,
            binaries,
            instance,
            data,
            cache,
            saved,
            arguments,
            reason,
        })
    }

    pub(super) fn saved_data(&self) -> SavedData {
        self.saved.clone()
    }

    /// Starts the supervisor, waits for the server's first answer, and writes the pointer.
    ///
    /// If this process is killed, its lease is void, and the supervisor ends the server after the
    /// linger.
    pub(super) async fn run(self, began: Instant) -> Result<Attempt> {
        let lease_name = LeaseName::process();
        let mut supervisor = self.spawn(&lease_name)?;
        // The supervisor writes the lease before the directory gets its name, so the linger cannot
        // begin before this process uses the server.
        let lease = ServerLease::written_by_supervisor(&self.instance, &lease_name);
        // The supervisor closes its standard error after the preparation, before the server
        // answers.
        let output = supervisor.start_up_output().await;
        // A supervisor that cannot prepare the data removes the directory, and only then reports
        // the reason and closes the pipe. The deputy of a killed supervisor removes the directory
        // too.
        if self.instance.health() == Health::Gone {
            if supervisor.was_killed().await {
                return Ok(Attempt::SupervisorKilled);
            }
            return Err(self.failure("PostgreSQL's data directory could not be prepared", output));
        }
        let found = match first_row(&self.instance, Some(&mut supervisor), self.plan).await {
            Ok(found) => found,
            // The server still runs, and only the time limit has passed. `was_killed` would wait in
            // vain for the supervisor's end.
            Err(error) if error.kind() == ErrorKind::Timeout && self.scarcity().is_none() => {
                return Err(error.with_evidence(
                    "the server's log ends",
                    process::tail(&self.instance.log(), LOG_LINES),
                ));
            }
            Err(_) if supervisor.was_killed().await => return Ok(Attempt::SupervisorKilled),
            Err(error) => return Err(self.failure(&error.to_string(), output)),
        };
        // Usually the supervisor prints nothing if it succeeds.
        if !output.is_empty() {
            tracing::warn!(output, "the supervisor reports");
        }
        // After the first answer: with `VerifyMode::Files`, a process that finds the pointer uses
        // the server without a check.
        let pointer = pointer(found, &self.instance, self.reason);
        self.registry.write_pointer(&pointer)?;
        let access = NativeHandle::access(&pointer, self.instance, lease);
        let server = Server::with_instance(pointer, access, Origin::Started, began);
        Ok(Attempt::Server(Box::new(server)))
    }

    fn spawn(&self, lease: &LeaseName) -> Result<Detached> {
        let mut command =
            supervisor::command(SCRIPT, &self.instance, self.registry, self.plan, lease);
        command
            .arg(&self.data)
            .arg(&self.cache)
            .arg(&self.binaries.dir)
            .arg(self.saved.prefix())
            .arg(self.saved.inventory())
            .args(&self.arguments);
        supervisor::spawn(command, self.account)
    }

    /// The resource whose lack the end of the server's log reports.
    fn scarcity(&self) -> Option<Scarcity> {
        Scarcity::in_text(&process::tail(&self.instance.log(), LOG_LINES))
    }

    fn failure(&self, message: &str, output: String) -> Error {
        let log = process::tail(&self.instance.log(), LOG_LINES);
        // The output may be missing: a program that cannot write its message reports nothing.
        let has_no_space = || {
            [self.data.as_path(), &self.instance.dir]
                .map(free_space::free_bytes)
                .contains(&Some(0))
        };
        let full = (disk::is_full(&output) || disk::is_full(&log) || has_no_space()).then(|| {
            let in_memory = self.data.starts_with(memory::FILE_SYSTEM);
            (
                if in_memory {
                    memory::FILE_SYSTEM
                } else {
                    "the state directory"
                },
                free_space::full_help(&self.data),
            )
        });
        StartFailure {
            message: message.to_owned(),
            output,
            log,
            full,
        }
        .into_error()
    }
}

/// When the machine's locales changed last; nothing where glibc does not keep them in these places.
fn locales_changed_at() -> [Option<SystemTime>; 2] {
    ["/usr/lib/locale", "/usr/lib/locale/locale-archive"].map(|place| {
        let metadata = std::fs::metadata(place).ok()?;
        metadata.modified().ok()
    })
}

/// Joins a running server of this key that no pointer names, and writes the pointer.
///
/// The process that started such a server was killed before it wrote the pointer. Without this step
/// a second server would run beside it for the linger.
pub(super) async fn attach_unpublished(
    registry: &Registry,
    plan: &Plan,
    began: Instant,
) -> Result<Option<Server>> {
    for instance in registry.instances() {
        // The caller holds the start-up lock of this key, so no other process is starting this
        // server.
        if !registry.is_of_this_key(&instance) || instance.health() != Health::Serving {
            continue;
        }
        let Some(lease) = instance.lease().await? else {
            continue;
        };
        // The caller then starts a server of its own, so this error is not reported.
        let Ok(found) = first_row(&instance, None, plan).await else {
            continue;
        };
        let pointer = pointer(found, &instance, "the process that started it was killed");
        registry.write_pointer(&pointer)?;
        let access = NativeHandle::access(&pointer, instance, lease);
        let server = Server::with_instance(pointer, access, Origin::Reused, began);
        return Ok(Some(server));
    }
    Ok(None)
}

/// The pointer to a native server: the socket is in the instance directory, so it needs no address.
fn pointer(found: Identification, instance: &Instance, reason: &str) -> Pointer {
    let address = serde_json::Value::Null;
    found.pointer(instance, Backend::Native, address, reason.to_owned())
}

/// Waits until the server answers a query and has the identity of this instance.
///
/// A query shows that the postmaster can start a backend, which a listening socket does not.
///
/// # Errors
/// [`ErrorKind::Timeout`] after the plan's start timeout; [`ErrorKind::ServerStart`] if the server
/// ended, or lacks a resource for longer than the grace.
pub(super) async fn first_row(
    instance: &Instance,
    mut supervisor: Option<&mut Detached>,
    plan: &Plan,
) -> Result<Identification> {
    let conn = ConnParams::socket(&instance.dir, SUPERUSER);
    let mut polling = Polling::new("server start: no answer", *plan.start_timeout.get());
    loop {
        // Read before the attempt: a refused connection is final only if the server had ended
        // before the attempt was made.
        let health = instance.health();
        let exited = supervisor
            .as_mut()
            .and_then(|supervisor| supervisor.exit_status());
        let seen = match conn.connect_own(ADMIN_DATABASE).await {
            Ok(mut connection) => match identify(&mut connection).await {
                Ok(found) if found.identity.as_deref() == Some(&*instance.name()) => {
                    return Ok(found);
                }
                Ok(found) => format!("another server answers: {:?}", found.identity),
                Err(error) => error.to_string(),
            },
            Err(_) if health != Health::Serving => {
                let how = exited
                    .map(|status| format!(" ({status})"))
                    .unwrap_or_default();
                return Err(Error::new(
                    ErrorKind::ServerStart,
                    format!("PostgreSQL ended while it started{how}"),
                ));
            }
            Err(error) => {
                std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string)
            }
        };
        // A postmaster that cannot fork a backend closes the connection and continues, so only the
        // log shows the reason.
        if polling.elapsed() > SCARCITY_GRACE
            && Scarcity::in_text(&process::tail(&instance.log(), 3)).is_some()
        {
            return Err(Error::new(
                ErrorKind::ServerStart,
                format!("PostgreSQL started but accepts no connection: {seen}"),
            ));
        }
        polling.pause(seen).await?;
    }
}

/// Where the server keeps its data: in memory or in the instance directory.
///
/// # Errors
/// `storage = "memory"`, and this machine has no usable file system in memory.
fn data_dir(
    plan: &Plan,
    registry: &Registry,
    instance: &Instance,
    account: Option<Account>,
) -> Result<PathBuf> {
    let on_disk = memory::data_on_disk(instance);
    let free = free_space::free_bytes(Path::new(memory::FILE_SYSTEM));
    let storage = *plan.storage.get();
    let in_memory = match storage {
        Storage::Disk => false,
        Storage::Memory if free.is_none() => {
            let message = format!(
                "storage = \"memory\" requires {}, which does not exist on this machine",
                memory::FILE_SYSTEM
            );
            return Err(Error::new(ErrorKind::Config, message)
                .with_help("set EBBTIDE_STORAGE=auto or disk"));
        }
        Storage::Memory => true,
        Storage::Auto => free.is_some_and(|free| free >= MIN_FREE_FOR_MEMORY),
    };
    if !in_memory {
        return Ok(on_disk);
    }
    match memory::prepare(account) {
        Ok(()) => Ok(memory::data(registry, &instance.name())),
        // `auto` promises no place, so the disk serves as well. With `memory` the error is
        // reported.
        Err(error) if storage == Storage::Auto => {
            tracing::warn!(%error, "the server's data goes to disk");
            Ok(on_disk)
        }
        Err(error) => Err(error),
    }
}

fn server_arguments(instance: &Instance, settings: &BTreeMap<String, String>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "-k".into(),
        list_item(&instance.dir),
        "-p".into(),
        PORT.to_string().into(),
    ];
    let fixed = [
        // Only a socket: `initdb` runs with `--auth=trust`, so the permissions of the socket's
        // directory are the only access control.
        // <https://www.postgresql.org/docs/current/auth-trust.html>
        ("listen_addresses", ""),
        // The supervisor redirects standard error to the file `log`, which reports quote.
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        // Every client compares this value with the directory's name before it uses the server.
        (IDENTITY_SETTING, &*instance.name()),
    ];
    let tuned = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    // The fixed settings come last: of two `-c` for one setting, the later one wins.
    for (name, value) in tuned.chain(fixed.iter().map(|(name, value)| (*name, *value))) {
        arguments.push(OsStr::new("-c").to_owned());
        arguments.push(format!("{name}={value}").into());
    }
    arguments
}

/// A directory as one item of `unix_socket_directories`. PostgreSQL splits the value at commas
/// outside double quotes.
/// <https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-UNIX-SOCKET-DIRECTORIES>
fn list_item(dir: &Path) -> OsString {
    let text = dir
        .to_str()
        .expect("the state directory is checked for sockets");
    format!("\"{}\"", text.replace('"', "\"\"")).into()
}
