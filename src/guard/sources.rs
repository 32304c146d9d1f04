//! The files that decide what the guard leaves in a template and how lanes talk to it.

/// The files by their paths from this one, with their texts.
macro_rules! sources {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!($path))),*]
    };
}

/// Every file of this directory, the names, and the files of `catalog` whose SQL the schema
/// contains.
///
/// A message relies on the objects that the same version has installed. So the list has the
/// messages, too. A version with other messages builds its own templates, and two versions that
/// share a server never use each other's lanes.
const SOURCES: &[(&str, &str)] = &sources![
    "../catalog/database.rs",
    "../catalog/inside.rs",
    "../catalog/relations.rs",
    "../catalog/rows.rs",
    "../catalog/session.rs",
    "../guard_names.rs",
    "checkpoint.rs",
    "close.rs",
    "close_result.rs",
    "condition.rs",
    "deferrable.rs",
    "driver.rs",
    "exchange.rs",
    "lane_record.rs",
    "message/checkpoint.rs",
    "message/close.rs",
    "message/lane_record.rs",
    "message/mark.rs",
    "message/mod.rs",
    "message/open.rs",
    "message/reset.rs",
    "message/sandbox.rs",
    "mod.rs",
    "open.rs",
    "reset.rs",
    "sandbox.rs",
    "schema/changed_tables.sql",
    "schema/checkpoint.sql",
    "schema/events.rs",
    "schema/guard.sql",
    "schema/mod.rs",
    "schema/reset.rs",
    "schema/reset.sql",
    "schema/rewound.sql",
    "schema/rewound_queries.rs",
    "session.rs",
    "sources.rs",
];

/// The hash of the files, a part of each fingerprint.
///
/// The compiler computes it. Otherwise the binary of each test would contain all these texts, and
/// each of its processes would hash them.
pub(crate) const SOURCES_HASH: u64 = hash(SOURCES);

/// FNV-1a (<https://datatracker.ietf.org/doc/draft-eastlake-fnv/>) over the paths and texts. No
/// attacker chooses them, so 64 bits suffice. The hashing crates have no `const fn` for it.
const fn hash(sources: &[(&str, &str)]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    // A `const fn` cannot use iterators, so these are `while` loops.
    while index < sources.len() {
        let (path, text) = sources[index];
        state = hash_bytes(state, path.as_bytes());
        state = hash_bytes(state, text.as_bytes());
        index += 1;
    }
    state
}

const fn hash_bytes(mut state: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        state = (state ^ bytes[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    // The end of each part counts, so that moving text from one part to the next changes the hash.
    // 0xff occurs in no UTF-8 text.
    (state ^ 0xff).wrapping_mul(0x0100_0000_01b3)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The paths of all files below a directory, relative to `root`.
    fn files_below(dir: &Path, root: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| {
                if path.is_dir() {
                    files_below(&path, root)
                } else {
                    vec![path.strip_prefix(root).unwrap().display().to_string()]
                }
            })
            .collect()
    }

    #[test]
    fn every_file_of_the_guard_is_part_of_the_fingerprint() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guard");
        let mut files = files_below(&dir, &dir);
        files.sort();
        let hashed: Vec<&str> = SOURCES.iter().map(|(path, _)| *path).collect();
        let (outside, inside): (Vec<&str>, Vec<&str>) =
            hashed.iter().partition(|path| path.starts_with("../"));
        assert_eq!(inside, files, "SOURCES must list every file of src/guard");
        assert!(outside.contains(&"../guard_names.rs"));
    }

    #[test]
    fn every_path_and_every_text_changes_the_hash() {
        let hashes = [
            hash(&[]),
            hash(&[("a", "b")]),
            hash(&[("a", "c")]),
            hash(&[("c", "b")]),
            hash(&[("ab", "")]),
            hash(&[("a", "b"), ("c", "")]),
        ];
        for (index, first) in hashes.iter().enumerate() {
            assert!(!hashes[index + 1..].contains(first), "{hashes:?}");
        }
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // The test vector of FNV-1a for "foobar", before the byte that ends a part.
        let foobar = 0x8594_4171_f739_67e8_u64;
        let ended = (foobar ^ 0xff).wrapping_mul(0x0100_0000_01b3);
        assert_eq!(hash_bytes(0xcbf2_9ce4_8422_2325, b"foobar"), ended);
    }
}
