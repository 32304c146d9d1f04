//! A server from binaries on this machine.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::binaries::{self, Binaries};
use super::registry::{Health, Instance, LeaseName, Registry, ServerKey, ServerLease};
use super::share::{self, Attach};
use super::sharing::Sharing;
use super::start_failure::StartFailure;
use super::state::{self, StateDir};
use super::{
    Identification, Origin, Server, VerifyMode, account, memory, orphans, settings, supervisor,
};
use crate::config::{Plan, Storage};
use crate::conn::{ADMIN_DATABASE, ConnParams, PORT};
use crate::error::{Error, ErrorKind, Result};
use crate::names::short_hash;
use crate::process::{self, Account, Detached};
use crate::scarcity::Scarcity;
use crate::wait::Patience;

pub(super) const SUPERVISOR: &str = concat!(include_str!("instance.sh"), include_str!("native.sh"));
/// Free bytes below which data goes to disk rather than to memory.
const ROOM_IN_MEMORY: u64 = 2 << 30;
/// Bytes that `initdb` and one copy of its output take, each.
const ROOM_TO_START: u64 = 48 << 20;
const MAKE_ROOM: &str = "free some space, move the state directory with EBBTIDE_STATE_DIR, or choose EBBTIDE_STORAGE=memory or disk";
const MAKE_ROOM_IN_MEMORY: &str =
    "free some space in /dev/shm, or set EBBTIDE_STORAGE=auto or disk";
/// How long the output of `initdb` is kept after its last use.
const CACHE_KEPT: Duration = Duration::from_hours(30 * 24);
/// How long a server may be short of processes or files before its start fails.
const SCARCITY_GRACE: Duration = Duration::from_secs(5);
const SUPERUSER: &str = "postgres";
const LOG_LINES: usize = 15;
/// How often a server is started whose supervisor is killed meanwhile.
const START_ATTEMPTS: usize = 3;

/// Finds the running server for this plan, or starts one.
pub(super) async fn start(
    plan: &Plan,
    sharing: &Sharing,
    mode: VerifyMode,
    reason: &str,
) -> Result<Server> {
    let began = Instant::now();
    let account = account::for_server()?;
    state::check_for_sockets(&plan.state_dir)?;
    let state = StateDir::open(&plan.state_dir, account)?;
    let registry = Registry {
        state,
        key: ServerKey::native(plan, sharing),
    };
    let turn = match share::join(&registry, plan, mode, *plan.start_timeout.get(), began).await? {
        Attach::Server(server) => return Ok(*server),
        Attach::Start(turn) => turn,
    };
    orphans::sweep(&registry, plan, account).await?;
    // The sweep may have taken over the server that others use.
    if let Some(server) = share::attach_answering(&registry, plan, began).await? {
        return Ok(server);
    }
    prune_cache(&registry.state).await?;
    turn.progress.say("starting PostgreSQL");
    if let Some(server) = adopt(&registry, plan, began).await? {
        return Ok(server);
    }
    for _ in 0..START_ATTEMPTS {
        match Launch::prepare(plan, &registry, account, reason)?
            .run(began)
            .await?
        {
            Attempt::Server(server) => return Ok(*server),
            Attempt::SupervisorKilled => {
                tracing::warn!("the supervisor of a server was killed while it started")
            }
        }
        // Its deputy may have been killed too.
        orphans::sweep(&registry, plan, account).await?;
    }
    Err(Error::new(
        ErrorKind::ServerStart,
        format!("the supervisor of the PostgreSQL server was killed while the server started, {START_ATTEMPTS} times"),
    )
    .with_help(
        "it is a process `sh` of this user: find what kills it, for example the kernel when memory is short (`dmesg`), and run \
         again",
    ))
}

/// What came of one attempt to start a server.
enum Attempt {
    Server(Box<Server>),
    /// Its deputy removes what there was.
    SupervisorKilled,
}

/// Takes over a server whose starter was killed before it could publish the pointer.
async fn adopt(registry: &Registry, plan: &Plan, began: Instant) -> Result<Option<Server>> {
    for instance in registry.instances() {
        if !registry.is_of_this_key(&instance) || instance.health() != Health::Serving {
            continue;
        }
        let Some(lease) = instance.lease().await? else {
            continue;
        };
        let Ok(found) = first_row(&instance, None, plan).await else {
            continue;
        };
        let reason = "its starter was killed".to_owned();
        let pointer = found.pointer(&instance, None, reason);
        registry.write_pointer(&pointer)?;
        return Ok(Some(Server::with_instance(
            plan,
            pointer,
            instance,
            lease,
            Origin::Reused,
            began,
        )));
    }
    Ok(None)
}

/// Removes prepared data directories that nobody has copied for long: those of versions that are gone, mostly.
async fn prune_cache(state: &StateDir) -> Result<()> {
    for entry in std::fs::read_dir(state.cache())
        .into_iter()
        .flatten()
        .flatten()
    {
        // The supervisor touches what it copies.
        let used = entry.metadata().and_then(|metadata| metadata.modified());
        if used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > CACHE_KEPT)) {
            orphans::remove(&entry.path()).await?;
        }
    }
    Ok(())
}

/// Everything that is decided before anything is created.
struct Launch<'a> {
    plan: &'a Plan,
    registry: &'a Registry,
    account: Option<Account>,
    binaries: Binaries,
    instance: Instance,
    data: PathBuf,
    cache: PathBuf,
    arguments: Vec<OsString>,
    /// Why it is this backend.
    reason: &'a str,
}

impl<'a> Launch<'a> {
    fn prepare(
        plan: &'a Plan,
        registry: &'a Registry,
        account: Option<Account>,
        reason: &'a str,
    ) -> Result<Self> {
        let binaries = binaries::find(plan, account)?;
        let instance = registry.instance(&registry.key.new_instance());
        let data = data_dir(plan, registry, &instance, account)?;
        let settings = settings::tuned(binaries.major, &plan.settings);
        let arguments = server_arguments(&instance, &settings);
        let variant = short_hash(
            &format!("{} {}", binaries.version, binaries.dir.display()),
            8,
        );
        let cache = registry
            .state
            .cache()
            .join(format!("initdb-{}-{variant}", binaries.major));
        if !cache.exists() {
            enough_room(&cache)?;
        }
        enough_room(&data)?;
        Ok(Self {
            plan,
            registry,
            account,
            binaries,
            instance,
            data,
            cache,
            arguments,
            reason,
        })
    }

    async fn run(self, began: Instant) -> Result<Attempt> {
        let lease_name = LeaseName::process();
        let mut supervisor = self.spawn(&lease_name)?;
        let lease = ServerLease::written_by_supervisor(&self.instance, &lease_name);
        let said = supervisor.start_up_output().await;
        if self.instance.health() == Health::Gone {
            if supervisor.was_killed().await {
                return Ok(Attempt::SupervisorKilled);
            }
            return Err(self.failure("PostgreSQL's data directory could not be prepared", said));
        }
        let found = match first_row(&self.instance, Some(&mut supervisor), self.plan).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::Timeout && self.scarcity().is_none() => {
                return Err(error.with_evidence(
                    "the server's log ends",
                    process::tail(&self.instance.log(), LOG_LINES),
                ));
            }
            Err(_) if supervisor.was_killed().await => return Ok(Attempt::SupervisorKilled),
            Err(error) => return Err(self.failure(&error.to_string(), said)),
        };
        let reason = self.reason.to_owned();
        let pointer = found.pointer(&self.instance, None, reason);
        self.registry.write_pointer(&pointer)?;
        let server = Server::with_instance(
            self.plan,
            pointer,
            self.instance,
            lease,
            Origin::Started,
            began,
        );
        Ok(Attempt::Server(Box::new(server)))
    }

    fn spawn(&self, lease: &LeaseName) -> Result<Detached> {
        let mut command =
            supervisor::command(SUPERVISOR, &self.instance, self.registry, self.plan, lease);
        command
            .arg(&self.data)
            .arg(&self.cache)
            .arg(&self.binaries.dir)
            .args(&self.arguments);
        supervisor::spawn(command, self.account)
    }

    /// What the server's log says it has run out of.
    fn scarcity(&self) -> Option<Scarcity> {
        Scarcity::in_text(&process::tail(&self.instance.log(), LOG_LINES))
    }

    fn failure(&self, message: &str, output: String) -> Error {
        let log = process::tail(&self.instance.log(), LOG_LINES);
        let has_no_room = || {
            [self.data.as_path(), &self.instance.dir]
                .map(room)
                .contains(&Some(0))
        };
        let full = (is_full(&output) || is_full(&log) || has_no_room()).then(|| {
            let in_memory = self.data.starts_with(memory::FILE_SYSTEM);
            (
                if in_memory {
                    memory::FILE_SYSTEM
                } else {
                    "the state directory"
                },
                room_for(&self.data),
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

pub(super) fn is_full(text: &str) -> bool {
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}

/// Waits for a real query's answer.
async fn first_row(
    instance: &Instance,
    mut supervisor: Option<&mut Detached>,
    plan: &Plan,
) -> Result<Identification> {
    let conn = ConnParams::socket(&instance.dir, SUPERUSER);
    let mut patience = Patience::new("server start: no answer", *plan.start_timeout.get());
    loop {
        // Looked at before the attempt, so that a server which dies after it is asked once more.
        let health = instance.health();
        let exited = supervisor
            .as_mut()
            .and_then(|supervisor| supervisor.exit_status());
        let seen = match conn.connect_own(ADMIN_DATABASE).await {
            Ok(mut connection) => match super::identify(&mut connection).await {
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
        // A postmaster that cannot start a process for a connection goes on without it.
        if patience.elapsed() > SCARCITY_GRACE
            && Scarcity::in_text(&process::tail(&instance.log(), 3)).is_some()
        {
            return Err(Error::new(
                ErrorKind::ServerStart,
                format!("PostgreSQL started and gives no connection: {seen}"),
            ));
        }
        patience.pause(seen).await?;
    }
}

fn data_dir(
    plan: &Plan,
    registry: &Registry,
    instance: &Instance,
    account: Option<Account>,
) -> Result<PathBuf> {
    let on_disk = instance.dir.join("data");
    let free = room(Path::new(memory::FILE_SYSTEM));
    let storage = *plan.storage.get();
    let in_memory = match storage {
        Storage::Disk => false,
        Storage::Memory if free.is_none() => {
            let message = format!(
                "storage = \"memory\", but there is no {} here",
                memory::FILE_SYSTEM
            );
            return Err(Error::new(ErrorKind::Config, message)
                .with_help("set EBBTIDE_STORAGE=auto or disk"));
        }
        Storage::Memory => true,
        Storage::Auto => free.is_some_and(|free| free >= ROOM_IN_MEMORY),
    };
    if !in_memory {
        return Ok(on_disk);
    }
    match memory::prepare(account) {
        Ok(()) => Ok(memory::data(registry, &instance.name())),
        Err(error) if storage == Storage::Auto => {
            tracing::warn!(%error, "the server's data goes to disk");
            Ok(on_disk)
        }
        Err(error) => Err(error),
    }
}

/// Looked at beforehand, because an `initdb` without room aborts, and leaves its shared memory behind.
fn enough_room(dir: &Path) -> Result<()> {
    match room(dir) {
        Some(free) if free < ROOM_TO_START => Err(Error::new(
            ErrorKind::OutOfSpace,
            format!(
                "no space left to start PostgreSQL: {} MB are free for {}, and {} MB are needed",
                free >> 20,
                dir.display(),
                ROOM_TO_START >> 20
            ),
        )
        .with_help(room_for(dir))),
        _ => Ok(()),
    }
}

/// What to do where a directory has no room.
fn room_for(dir: &Path) -> &'static str {
    if dir.starts_with(memory::FILE_SYSTEM) {
        MAKE_ROOM_IN_MEMORY
    } else {
        MAKE_ROOM
    }
}

/// Free bytes for us in a directory's file system.
fn room(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|ancestor| ancestor.exists())?;
    let found = rustix::fs::statvfs(existing).ok()?;
    // Under one megabyte nothing of PostgreSQL's fits.
    let free = found.f_bavail * found.f_frsize;
    (dir.exists() || existing != Path::new("/")).then_some(if free < 1 << 20 { 0 } else { free })
}

fn server_arguments(instance: &Instance, settings: &BTreeMap<String, String>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "-k".into(),
        list_item(&instance.dir),
        "-p".into(),
        PORT.to_string().into(),
    ];
    let ours = [
        ("listen_addresses", ""),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        // Read back before anything is trusted: the directory's name is the server's identity.
        ("ebbtide.identity", &*instance.name()),
    ];
    let users = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in users.chain(ours.iter().map(|(name, value)| (*name, *value))) {
        arguments.push(OsStr::new("-c").to_owned());
        arguments.push(format!("{name}={value}").into());
    }
    arguments
}

/// A directory as one item of `unix_socket_directories`, which is split at commas outside of double quotes.
/// <https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-UNIX-SOCKET-DIRECTORIES>
fn list_item(directory: &Path) -> OsString {
    let text = directory
        .to_str()
        .expect("the state directory is checked for sockets");
    format!("\"{}\"", text.replace('"', "\"\"")).into()
}
