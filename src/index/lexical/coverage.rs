//! How much of a query a tool matches, on a scale that is the same for every query and catalog.
//!
//! Invariant: 0 where no term matches, below 1 however many do. A term that no tool has counts
//! most: it is what the query asks for and the catalog lacks.

use super::Lexical;
use super::asked::Asked;
use crate::catalog::ToolIdx;

/// The terms of a query, each with its postings and what it tells.
pub struct Coverage<'a> {
    lexical: &'a Lexical,
    terms: Vec<Term>,
    mass: f32,
}

struct Term {
    postings: Option<std::ops::Range<usize>>,
    idf: f32,
    counts: f32,
    own: bool,
}

impl Term {
    fn of(lexical: &Lexical, asked: &Asked) -> Self {
        let postings = lexical.postings(&asked.term);
        let found_in = postings.as_ref().map_or(0, ExactSizeIterator::len);
        Self { postings, idf: lexical.idf(found_in), counts: asked.counts, own: asked.own }
    }
}

impl Lexical {
    /// Looks the terms of `query` up once, to measure many tools by.
    pub fn coverage(&self, query: &str) -> Coverage<'_> {
        let terms: Vec<_> = self.asked(query).iter().map(|asked| Term::of(self, asked)).collect();
        let mass = terms.iter().filter(|term| term.own).map(|term| term.idf).sum();
        Coverage { lexical: self, terms, mass }
    }
}

impl Coverage<'_> {
    /// The tool's lexical score as a share of what one would score that has every term without
    /// end.
    pub fn of(&self, tool: ToolIdx) -> f32 {
        let impact = |list: &std::ops::Range<usize>| {
            let at = self.lexical.tools[list.clone()].binary_search(&tool.0).ok()?;
            Some(self.lexical.impacts[list.start + at])
        };
        let counted = |term: &Term| Some(term.counts * impact(term.postings.as_ref()?)?);
        let score: f32 = self.terms.iter().filter_map(counted).sum();
        if self.mass > 0.0 { (score / self.mass).min(1.0) } else { 0.0 }
    }

    /// How many different terms the query has.
    pub fn terms(&self) -> usize {
        self.terms.iter().filter(|term| term.own).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::described;
    use super::*;

    #[test]
    fn rare_terms_count_more_and_unknown_ones_most() {
        let lexical = described(&["send mail", "read mail", "ring bell"]);
        let of = |query: &str, tool| lexical.coverage(query).of(ToolIdx(tool));
        assert!(of("send mail", 0) > of("mail send the", 1));
        assert!(of("mail bell", 2) > of("mail bell", 0), "there is one bell, and mail twice");
        assert!(of("send pigeon", 0) < of("send mail", 0), "pigeons are unknown here");
        assert!(of("pigeon", 0).abs() < f32::EPSILON && of("the", 0).abs() < f32::EPSILON);
        assert!(of("send mail", 0) < 1.0);
    }
}
