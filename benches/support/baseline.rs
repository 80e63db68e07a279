//! The baseline that the lexical index is measured against: tantivy in RAM, one segment, given
//! the very terms that the lexical index has (pre-tokenised), BM25 with tantivy's own constants.

#![allow(dead_code, reason = "every bench takes what it needs of this")]
#![expect(clippy::expect_used, reason = "a bench without its data has nothing to measure")]

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, BoostQuery, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{Index, Searcher, TantivyDocument, Term};
use toolscout::catalog::{Catalog, ToolIdx};
use toolscout::text::fields::{self, FIELD_NAMES};
use toolscout::text::terms;

/// The weights of the lexical index, in the order of [`FIELD_NAMES`].
const WEIGHTS: [f32; FIELD_NAMES.len()] = [2.0, 1.5, 1.0, 0.5, 1.5, 0.3];

/// How tantivy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All fields in one: the fastest.
    Joined,
    /// A field each, the query's terms in every field with the field's weight: nearest in
    /// ranking. Scores of the fields are added after saturation, which is not BM25F.
    Fields,
}

/// A tantivy index of one catalog.
pub struct Baseline {
    searcher: Searcher,
    fields: Vec<(Field, f32)>,
}

impl Baseline {
    /// The index of `catalog`. One thread writes, so documents are in the catalog's order.
    pub fn build(catalog: &Catalog, shape: Shape) -> Self {
        let names = match shape {
            Shape::Joined => &["all"],
            Shape::Fields => &FIELD_NAMES[..],
        };
        let options = TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer("raw")
                .set_index_option(IndexRecordOption::WithFreqs),
        );
        let mut schema = Schema::builder();
        let fields: Vec<(Field, f32)> = names
            .iter()
            .zip(WEIGHTS)
            .map(|(name, weight)| (schema.add_text_field(name, options.clone()), weight))
            .collect();
        let index = Index::create_in_ram(schema.build());
        let mut writer = index.writer_with_num_threads(1, 1 << 30).expect("a writer in RAM");
        for tool in catalog.tools() {
            let server = catalog.server(tool.server.as_str()).map(|server| &**server);
            let view = tool.view();
            let texts = fields::lexical(tool, &view, server);
            let mut document = TantivyDocument::default();
            match shape {
                Shape::Joined => {
                    let all = texts.iter().flat_map(|text| terms(text));
                    document.add_pre_tokenized_text(fields[0].0, pre_tokenised(all));
                }
                Shape::Fields => {
                    for ((field, _), text) in fields.iter().zip(&texts) {
                        document.add_pre_tokenized_text(*field, pre_tokenised(terms(text)));
                    }
                }
            }
            writer.add_document(document).expect("room in RAM");
        }
        writer.commit().expect("a commit in RAM");
        let searcher = index.reader().expect("a reader in RAM").searcher();
        assert_eq!(searcher.segment_readers().len(), 1);
        Self { searcher, fields }
    }

    /// The best `k` tools, best first. A term that the query repeats counts once, as in the
    /// lexical index.
    pub fn search(&self, query: &str, k: usize) -> Vec<ToolIdx> {
        let mut words = terms(query);
        words.sort_unstable();
        words.dedup();
        let mut clauses: Vec<Box<dyn Query>> = Vec::with_capacity(words.len() * self.fields.len());
        for word in &words {
            for (field, weight) in &self.fields {
                let term = Term::from_field_text(*field, word);
                let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
                clauses.push(if self.fields.len() == 1 {
                    Box::new(query)
                } else {
                    Box::new(BoostQuery::new(Box::new(query), *weight))
                });
            }
        }
        let query = BooleanQuery::union(clauses);
        let top = TopDocs::with_limit(k).order_by_score();
        let found = self.searcher.search(&query, &top).expect("a search in RAM");
        found.into_iter().map(|(_, address)| ToolIdx(address.doc_id)).collect()
    }
}

fn pre_tokenised(terms: impl IntoIterator<Item = String>) -> PreTokenizedString {
    let token = |(position, text)| Token { position, text, ..Token::default() };
    PreTokenizedString {
        text: String::new(),
        tokens: terms.into_iter().enumerate().map(token).collect(),
    }
}
