//! One file from which a database is built, with the hash of its content.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::invisible::{Invisible, looks_like_utf16};
use super::observed;
use crate::error::{Error, ErrorKind, Result};
use crate::excerpt::Position;

/// The endings of files with rows, in lower case.
pub(super) const DATA_ENDINGS: [&str; 5] = ["csv", "tsv", "json", "jsonl", "ndjson"];

/// A file with the hash of its content. Seeds may be large, so their text is read only when needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputFile {
    pub(crate) path: PathBuf,
    /// The path for reports, relative to the package.
    pub(crate) display_path: String,
    /// What reports call it: `migration`, `seed`, `fixture` or `input`.
    pub(super) noun: &'static str,
    /// The path below the configured directory. It enters the fingerprint, because it is the same
    /// on every machine.
    pub(super) id: String,
    pub(super) hash: [u8; 32],
    /// The content, if it is embedded in the test's binary.
    pub(super) embedded: Option<String>,
}

/// Whether a file is named like a down migration: `down.sql`, or `NAME.down.sql`.
pub(super) fn is_down(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == "down.sql" || name.ends_with(".down.sql")
}

impl InputFile {
    /// A file whose content is embedded in the test's binary.
    pub(crate) fn embedded(noun: &'static str, path: &str, text: &str) -> Self {
        Self {
            path: PathBuf::from(path),
            display_path: path.to_owned(),
            noun,
            id: Path::new(path)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            hash: Sha256::digest(text).into(),
            embedded: Some(text.to_owned()),
        }
    }

    /// A file on this machine, identified by its path below `dir`.
    pub(super) fn read(
        path: PathBuf,
        dir: &Path,
        package_root: &Path,
        kind: ErrorKind,
        noun: &'static str,
    ) -> Result<Self> {
        let hash = hash_file(&path).map_err(|error| unreadable(kind, &path, error))?;
        let display_path = path
            .strip_prefix(package_root)
            .unwrap_or(&path)
            .display()
            .to_string();
        let id = path
            .strip_prefix(dir)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        Ok(Self {
            path,
            display_path,
            noun,
            id,
            hash,
            embedded: None,
        })
    }

    /// Whether the file is a down migration; see [`is_down`].
    pub(super) fn is_down(&self) -> bool {
        is_down(&self.path)
    }

    /// Whether the file has rows and no SQL.
    pub(super) fn is_data(&self) -> bool {
        DATA_ENDINGS.contains(&&*self.ending())
    }

    /// The ending of the file's name in lower case: `csv` for `010_users.CSV`. Empty if it has none.
    pub(super) fn ending(&self) -> String {
        self.path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .to_ascii_lowercase()
    }

    /// A reader of the content, for files that may not fit into memory.
    pub(super) fn open(&self) -> std::io::Result<Box<dyn std::io::Read + Send>> {
        Ok(match &self.embedded {
            Some(text) => Box::new(std::io::Cursor::new(text.clone().into_bytes())),
            None => Box::new(observed::open(&self.path)?),
        })
    }

    /// The content.
    ///
    /// # Errors
    /// It cannot be read, is not UTF-8, or contains a NUL.
    pub(super) fn text(&self, kind: ErrorKind) -> Result<String> {
        let text = match &self.embedded {
            Some(text) => text.clone(),
            None => self.read_text(kind)?,
        };
        match Invisible::nul(&text) {
            Some(nul) => {
                let rule = "a file for PostgreSQL must not contain NUL";
                Err(nul.refusal(kind, rule, &self.display_path, &text))
            }
            None => Ok(text),
        }
    }

    fn read_text(&self, kind: ErrorKind) -> Result<String> {
        let unreadable = |what: &str| Error::new(kind, format!("{} {what}", self.display_path));
        let bytes = observed::read(&self.path)
            .map_err(|error| unreadable("cannot be read").with_source(error))?;
        if looks_like_utf16(&bytes) {
            return Err(unreadable("is not UTF-8, but seems to be UTF-16")
                .with_help("save the file with UTF-8 encoding"));
        }
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[valid];
            let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
            let Position { line, column } = Position::of_byte(&before, before.len());
            unreadable("is not UTF-8")
                .with_source(format!("byte 0x{byte:02x} at line {line}, column {column}"))
                .with_help("save the file with UTF-8 encoding")
        })
    }
}

pub(super) fn unreadable(kind: ErrorKind, path: &Path, error: std::io::Error) -> Error {
    Error::new(kind, format!("{} cannot be read", path.display()))
        .with_source(error)
        .with_help("make it readable for the user who runs the tests")
}

fn hash_file(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut file = observed::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(&chunk[..read]);
    }
}
