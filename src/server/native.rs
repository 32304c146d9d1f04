//! A server from binaries on this machine.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::binaries::{self, Binaries};
use super::registry::{Health, Instance, Lease, LeaseName, Pointer, Registry, ServerKey};
use super::state::{self, StateFolder};
use super::{Origin, Server, Trust, account, settings};
use crate::config::{Plan, Storage};
use crate::conn::{ADMIN_DATABASE, ConnParams, PORT};
use crate::error::{Error, ErrorKind, Result};
use crate::names::hex;
use crate::process::{self, Account, Detached};
use crate::progress::Progress;
use crate::wait::Patience;

const SUPERVISOR: &str = include_str!("supervisor.sh");
const SHARED_MEMORY: &str = "/dev/shm";
/// Free bytes below which data goes to disk rather than to memory.
const ROOM_IN_MEMORY: u64 = 2 << 30;
/// How long the output of `initdb` is kept after its last use.
const CACHE_KEPT: Duration = Duration::from_hours(30 * 24);
const SUPERUSER: &str = "postgres";
const LOG_LINES: usize = 15;

/// Finds the running server for this plan, or starts one.
pub(crate) async fn start(plan: &Plan, trust: Trust) -> Result<Server> {
    let began = Instant::now();
    let account = account::for_server()?;
    let state = StateFolder::open(&plan.state_dir, account)?;
    let registry = Registry { state, key: ServerKey::of(plan) };
    if trust == Trust::Files
        && let Some(server) = attach(&registry, began).await?
    {
        return Ok(server);
    }
    let progress = Progress::start("waiting for the PostgreSQL server that another process starts");
    let lock = registry.lock(*plan.start_timeout.get()).await?;
    if let Some(server) = attach(&registry, began).await?
        && server.answers().await
    {
        return Ok(server);
    }
    sweep(&registry, account).await?;
    prune_cache(&registry.state)?;
    progress.say("starting PostgreSQL");
    let server = match adopt(&registry, plan, began).await? {
        Some(server) => server,
        None => Launch::prepare(plan, &registry, account)?.run(began).await?,
    };
    drop(lock);
    Ok(server)
}

/// Uses the server that the pointer names, believing the files alone.
async fn attach(registry: &Registry, began: Instant) -> Result<Option<Server>> {
    let Some(pointer) = registry.read_pointer() else { return Ok(None) };
    let instance = registry.instance(&pointer.instance);
    let Some(lease) = instance.lease().await? else { return Ok(None) };
    Ok(Some(Server::new(pointer, instance, lease, Origin::Reused, began)))
}

/// Takes over a server whose starter was killed before it could publish the pointer.
async fn adopt(registry: &Registry, plan: &Plan, began: Instant) -> Result<Option<Server>> {
    for instance in registry.instances() {
        if !registry.is_of_this_key(&instance) || instance.health() != Health::Serving {
            continue;
        }
        let Some(lease) = instance.lease().await? else { continue };
        let Ok((version_num, version)) = first_row(&instance, None, plan).await else { continue };
        let pointer = Pointer { instance: instance.name(), version_num, version };
        registry.write_pointer(&pointer)?;
        return Ok(Some(Server::new(pointer, instance, lease, Origin::Reused, began)));
    }
    Ok(None)
}

/// Removes what servers without a living supervisor left behind, and nothing that lacks our marks.
async fn sweep(registry: &Registry, account: Option<Account>) -> Result<()> {
    let mut known = Vec::new();
    for instance in registry.instances() {
        if instance.health() != Health::Orphaned {
            known.push(instance.name());
            continue;
        }
        let name = instance.name();
        tracing::info!(instance = name, "removing a server without a supervisor");
        for data in [instance.folder.join("data"), memory_folder().join(&name)] {
            stop_orphan(&data, account).await;
            remove(&data)?;
        }
        remove(&instance.folder)?;
    }
    // A supervisor creates its instance folder before the data and removes it afterwards.
    for entry in std::fs::read_dir(memory_folder()).into_iter().flatten().flatten() {
        if !known.contains(&entry.file_name().to_string_lossy().into_owned())
            && !registry.instance(&entry.file_name().to_string_lossy()).folder.exists()
        {
            stop_orphan(&entry.path(), account).await;
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes copies of `initdb`'s output that no server was started from for a long time.
fn prune_cache(state: &StateFolder) -> Result<()> {
    for entry in std::fs::read_dir(state.cache()).into_iter().flatten().flatten() {
        let used = entry.metadata().and_then(|metadata| metadata.modified());
        if used.is_ok_and(|used| used.elapsed().is_ok_and(|idle| idle > CACHE_KEPT)) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Ends the server on this data folder, if one runs there.
async fn stop_orphan(data: &Path, account: Option<Account>) {
    let Ok(pid_file) = std::fs::read_to_string(data.join("postmaster.pid")) else { return };
    let Some(pid) = pid_file.lines().next().and_then(|line| line.trim().parse().ok()) else { return };
    // A postmaster works in its data folder: another process with the same number does not.
    let is_ours = || std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == data);
    if let Some(pid) = rustix::process::Pid::from_raw(pid)
        && is_ours()
    {
        tracing::info!(?account, ?data, "ending a server without a supervisor");
        // When it has ended meanwhile, all is well.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let mut patience = Patience::new("ending an orphaned server", Duration::from_secs(10));
        while is_ours() {
            if let Err(error) = patience.pause("it lives").await {
                tracing::warn!(%error, "an orphaned server does not end");
                return;
            }
        }
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::new(ErrorKind::StateFolder, format!("{} cannot be removed", folder.display()))
            .with_source(error)
            .with_help(format!("a dead server left it; remove it with `rm -rf {}`", folder.display()))),
    }
}

fn memory_folder() -> PathBuf {
    Path::new(SHARED_MEMORY).join(format!("ebbtide-{}", account::own_uid()))
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
}

impl<'a> Launch<'a> {
    fn prepare(plan: &'a Plan, registry: &'a Registry, account: Option<Account>) -> Result<Self> {
        let binaries = binaries::find(plan, account)?;
        let instance = registry.instance(&registry.key.new_instance());
        let data = data_folder(plan, &instance, account)?;
        let settings = settings::tuned(binaries.major, &plan.settings);
        let arguments = server_arguments(&instance, &settings);
        let mut variant = hex(&Sha256::digest(format!("{} {}", binaries.version, binaries.folder.display())));
        variant.truncate(8);
        let cache = registry.state.cache().join(format!("initdb-{}-{variant}", binaries.major));
        Ok(Self { plan, registry, account, binaries, instance, data, cache, arguments })
    }

    async fn run(self, began: Instant) -> Result<Server> {
        let lease_name = LeaseName::process();
        let mut supervisor = self.spawn(&lease_name)?;
        let lease = Lease::written_by_supervisor(&self.instance, &lease_name);
        let said = supervisor.start_up_output().await;
        if self.instance.health() == Health::Gone {
            return Err(self.failure("PostgreSQL's data folder could not be prepared", &said));
        }
        let (version_num, version) = match first_row(&self.instance, Some(&mut supervisor), self.plan).await {
            Ok(row) => row,
            Err(error) if error.kind() == ErrorKind::Timeout => {
                return Err(
                    error.with_evidence("the server's log ends", process::tail(&self.instance.log(), LOG_LINES))
                );
            }
            Err(error) => return Err(self.failure(&error.to_string(), &said)),
        };
        let pointer = Pointer { instance: self.instance.name(), version_num, version };
        self.registry.write_pointer(&pointer)?;
        Ok(Server::new(pointer, self.instance, lease, Origin::Started, began))
    }

    fn spawn(&self, lease: &LeaseName) -> Result<Detached> {
        let mut command = Command::new("sh");
        // The script is an argument, so that nothing exists on disk before its supervisor does.
        command.arg("-c").arg(SUPERVISOR).arg("ebbtide-supervisor");
        command.arg(&self.instance.folder).arg(&self.data).arg(&self.cache).arg(self.registry.pointer_path());
        command.arg(linger_seconds(self.plan).to_string()).arg(&self.binaries.folder).arg(lease.as_str());
        command.args(&self.arguments);
        command.env_clear().env("PATH", self.plan.path.as_os_str()).env("LC_ALL", "C");
        Detached::spawn(command, self.account).map_err(|error| {
            Error::new(ErrorKind::ServerStart, "the server's supervisor could not be started")
                .with_source(error)
                .with_help("ebbtide needs a POSIX `sh` on PATH")
        })
    }

    fn failure(&self, message: &str, said: &str) -> Error {
        let log = process::tail(&self.instance.log(), LOG_LINES);
        let full =
            is_full(said) || is_full(&log) || [self.data.as_path(), &self.instance.folder].map(room).contains(&Some(0));
        let error = if full {
            let place = if self.data.starts_with(SHARED_MEMORY) { SHARED_MEMORY } else { "the state folder" };
            Error::new(ErrorKind::OutOfSpace, format!("{message}: no space left in {place}")).with_help(
                "free some space, move the state folder with EBBTIDE_STATE_DIR, or choose EBBTIDE_STORAGE=memory or disk",
            )
        } else {
            Error::new(ErrorKind::ServerStart, message.to_owned()).with_help(
                "the log says why; settings that the server refuses come from `settings` in ebbtide.toml or the builder",
            )
        };
        error.with_evidence("what was said", said).with_evidence("the server's log ends", log)
    }
}

fn is_full(text: &str) -> bool {
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}

/// Waits for a real query's answer.
async fn first_row(instance: &Instance, mut supervisor: Option<&mut Detached>, plan: &Plan) -> Result<(u32, String)> {
    let conn = ConnParams::socket(&instance.folder, SUPERUSER);
    let mut patience = Patience::new("server start: no answer", *plan.start_timeout.get());
    loop {
        // Looked at before the attempt, so that a server which dies after it is asked once more.
        let health = instance.health();
        let exited = supervisor.as_mut().and_then(|supervisor| supervisor.exit_status());
        let seen = match conn.connect(ADMIN_DATABASE).await {
            Ok(mut connection) => match super::identify(&mut connection).await {
                Ok(found) if found.identity.as_deref() == Some(&*instance.name()) => {
                    return Ok((found.version_num, found.version));
                }
                Ok(found) => format!("another server answers: {:?}", found.identity),
                Err(error) => error.to_string(),
            },
            Err(_) if health != Health::Serving => {
                let how = exited.map(|status| format!(" ({status})")).unwrap_or_default();
                return Err(Error::new(ErrorKind::ServerStart, format!("PostgreSQL ended while it started{how}")));
            }
            Err(error) => std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string),
        };
        patience.pause(seen).await?;
    }
}

fn data_folder(plan: &Plan, instance: &Instance, account: Option<Account>) -> Result<PathBuf> {
    let on_disk = instance.folder.join("data");
    let memory = memory_folder();
    let in_memory = match plan.storage.get() {
        Storage::Disk => false,
        Storage::Memory if room(Path::new(SHARED_MEMORY)).is_none() => {
            return Err(Error::new(
                ErrorKind::Config,
                format!("storage = \"memory\", but there is no {SHARED_MEMORY} here"),
            )
            .with_help("set EBBTIDE_STORAGE=auto or disk"));
        }
        Storage::Memory => true,
        Storage::Auto => room(Path::new(SHARED_MEMORY)).is_some_and(|free| free >= ROOM_IN_MEMORY),
    };
    if !in_memory {
        return Ok(on_disk);
    }
    if !memory.exists() {
        std::fs::create_dir(&memory).or_else(|error| if memory.exists() { Ok(()) } else { Err(error) }).map_err(
            |error| {
                Error::new(ErrorKind::StateFolder, format!("{} cannot be created", memory.display())).with_source(error)
            },
        )?;
        account::hand_over(&memory, account)
            .map_err(|error| Error::new(ErrorKind::StateFolder, "chown failed").with_source(error))?;
    }
    state::own_folder(&memory, 0o700, account.map_or(account::own_uid(), |account| account.uid))?;
    Ok(memory.join(instance.name()))
}

/// Free bytes for us in a folder's file system.
fn room(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|ancestor| ancestor.exists())?;
    let found = rustix::fs::statvfs(existing).ok()?;
    // Under one megabyte nothing of PostgreSQL's fits.
    let free = found.f_bavail * found.f_frsize;
    (folder.exists() || existing != Path::new("/")).then_some(if free < 1 << 20 { 0 } else { free })
}

fn linger_seconds(plan: &Plan) -> u64 {
    // The supervisor looks once a second.
    plan.linger.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

fn server_arguments(instance: &Instance, settings: &BTreeMap<String, String>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> =
        vec!["-k".into(), instance.folder.clone().into(), "-p".into(), PORT.to_string().into()];
    let ours = [
        ("listen_addresses", ""),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        // Read back before anything is trusted: the folder's name is the server's identity.
        ("ebbtide.identity", &*instance.name()),
    ];
    let users = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in users.chain(ours.iter().map(|(name, value)| (*name, *value))) {
        arguments.push(OsStr::new("-c").to_owned());
        arguments.push(format!("{name}={value}").into());
    }
    arguments
}
