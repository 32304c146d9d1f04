//! The legal word that a misspelt one is closest to.

use strsim::osa_distance;

/// The candidate with the smallest edit distance to `word`, if that is at most one edit for every
/// three letters (one for a shorter word). A more distant candidate would be a guess.
///
/// An edit inserts, deletes or replaces a letter, or swaps two neighbours.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edit_counts_one_and_a_swap_is_one_edit() {
        for (word, candidate) in [
            ("bakend", "backend"),
            ("dokcer", "docker"),
            ("imagee", "image"),
            ("urk", "url"),
        ] {
            assert_eq!(nearest(word, [candidate]), Some(candidate));
        }
        // Three edits, and two are allowed for seven letters.
        assert_eq!(nearest("sitting", ["kitten"]), None);
    }

    #[test]
    fn only_a_close_word_is_proposed() {
        let words = ["backend", "image", "url"];
        assert_eq!(nearest("bakend", words), Some("backend"));
        assert_eq!(nearest("IMAGE", words), Some("image"));
        assert_eq!(nearest("ulr", words), Some("url"));
        assert_eq!(nearest("nonsense", words), None);
    }
}
