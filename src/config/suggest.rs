//! Suggests an option for a misspelt name.

/// Returns the candidate that `name` probably means: the only one that ends in it, or the nearest by edit distance if that
/// is small enough. `separator` is what separates the parts of a name.
pub fn suggest(name: &str, candidates: &[String], separator: char) -> Option<String> {
    let mut ending = candidates.iter().filter(|candidate| {
        candidate
            .strip_suffix(name)
            .is_some_and(|before| before.ends_with(separator))
    });
    if let (Some(only), None) = (ending.next(), ending.next()) {
        return Some(only.clone());
    }
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= 1.max(name.len() / 5))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.clone())
}

#[cfg(test)]
mod tests;
