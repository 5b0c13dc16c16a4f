//! Merges of tokens from the scores of SentencePiece.
//!
//! SentencePiece joins the two neighbours that make the token with the best score. The same texts
//! come out of a list of all pairs that make a token, in the order of that token's score, which is
//! how transformers converts such tokenizers.

use std::collections::HashMap;

/// A token that can be made of others.
pub(super) struct ScoredPiece<'a> {
    pub(super) id: usize,
    pub(super) text: &'a str,
    pub(super) score: f64,
}

/// The pairs that are joined, the first first.
pub(super) fn merges<'a>(pieces: &[ScoredPiece<'a>]) -> Vec<(&'a str, &'a str)> {
    let ids: HashMap<&str, usize> = pieces.iter().map(|piece| (piece.text, piece.id)).collect();
    let mut order: Vec<&ScoredPiece<'_>> = pieces.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    let mut merges = Vec::new();
    for piece in order {
        let mut pairs = Vec::new();
        for (at, _) in piece.text.char_indices().skip(1) {
            let (left, right) = piece.text.split_at(at);
            if let (Some(&l), Some(&r)) = (ids.get(left), ids.get(right)) {
                pairs.push((l, r, left, right));
            }
        }
        pairs.sort_unstable();
        merges.extend(pairs.into_iter().map(|(_, _, left, right)| (left, right)));
    }
    merges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_in_the_order_of_scores_and_then_of_ids() {
        let texts = [("a", -3.0), ("b", -4.0), ("ab", -1.0), ("aba", -2.0), ("ba", -0.5)];
        let pieces: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(id, (text, score))| ScoredPiece { id, text, score: *score })
            .collect();
        let want = [("b", "a"), ("a", "b"), ("a", "ba"), ("ab", "a")];
        assert_eq!(merges(&pieces), want);
    }
}
