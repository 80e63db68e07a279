//! How much of a query a tool matches, on a scale that is the same for every query and catalog.
//!
//! Invariant: 0 where no term matches, below 1 however many do. A term that no tool has counts
//! most: it is what the query asks for and the catalog lacks.

use super::{Asked, K1, Lexical, weighted};
use crate::catalog::ToolIdx;

/// The terms of a query, each with what it tells.
pub struct Coverage<'a> {
    lexical: &'a Lexical,
    asked: &'a [Asked],
    /// The idf of each.
    idf: Vec<f32>,
    mass: f32,
}

impl Lexical {
    /// Looks up once what `asked` tells, to measure many tools by.
    pub fn coverage<'a>(&'a self, asked: &'a [Asked]) -> Coverage<'a> {
        let idf: Vec<f32> =
            asked.iter().map(|asked| self.idf(self.found_in(asked.number))).collect();
        let own = asked.iter().zip(&idf).filter(|(asked, _)| asked.own);
        let mass = own.map(|(_, idf)| idf).sum();
        Coverage { lexical: self, asked, idf, mass }
    }
}

impl Coverage<'_> {
    /// The tool's lexical score as a share of what one would score that has every term without
    /// end.
    pub fn of(&self, tool: ToolIdx) -> f32 {
        let document = &self.lexical.documents.all[tool.as_usize()];
        let norms = document.norms(&self.lexical.average);
        let counted = |(asked, idf): (&Asked, &f32)| {
            let weighted = weighted(document.frequency(asked.number?)?, &norms);
            Some(asked.counts * idf * weighted / (K1 + weighted))
        };
        let score: f32 = self.asked.iter().zip(&self.idf).filter_map(counted).sum();
        if self.mass > 0.0 { (score / self.mass).min(1.0) } else { 0.0 }
    }

    /// How many different terms the query has.
    pub fn terms(&self) -> usize {
        self.asked.iter().filter(|asked| asked.own).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::described;
    use super::*;

    #[test]
    fn rare_terms_count_more_and_unknown_ones_most() {
        let lexical = described(&["send mail", "read mail", "ring bell"]);
        let of = |query: &str, tool| lexical.coverage(&lexical.asked(query)).of(ToolIdx(tool));
        assert!(of("send mail", 0) > of("mail send the", 1));
        assert!(of("mail bell", 2) > of("mail bell", 0), "there is one bell, and mail twice");
        assert!(of("send pigeon", 0) < of("send mail", 0), "pigeons are unknown here");
        assert!(of("pigeon", 0).abs() < f32::EPSILON && of("the", 0).abs() < f32::EPSILON);
        assert!(of("send mail", 0) < 1.0);
    }
}
