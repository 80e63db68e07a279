//! What the index reads of each tool, kept so that an update reads only the tools that changed.
//!
//! Invariant: a document depends on its tool's definition and its server's title and description
//! alone, so one read for an earlier catalog is the one that would be read now; term numbers
//! depend on the order of reading, and no score depends on them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use rayon::prelude::*;

use crate::catalog::{Catalog, Server};
use crate::text::fields::{self, COUNTED, FIELDS};
use crate::text::{each_word, name_key, term};
use crate::tool::hints::Hints;
use crate::tool::{ContentHash, ServerId, Tool};

/// A description of this many different terms is evidence by itself that two tools are one.
const TELLING_TERMS: usize = 16;
/// So many changed tools are read on this thread, one after the other: what is searched meanwhile
/// keeps the other cores.
const READ_ALONE: usize = 2_000;

/// A tool as it is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its terms, ordered by number.
    pub(super) terms: Box<[Frequency]>,
    /// The fields' lengths in terms.
    pub(super) lengths: [u32; FIELDS],
    /// What is the same in the same tool of another server.
    pub(super) signature: ContentHash,
    /// The signature alone is evidence.
    pub(super) telling: bool,
    /// The hash of the text that is embedded.
    pub(crate) embedded: ContentHash,
    /// What the tool says of its effects.
    pub(crate) hints: Hints,
}

/// A term of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Frequency {
    /// Its number.
    pub term: u32,
    /// How often each field has it, up to what counts ([`fields::COUNTED`]).
    pub fields: [u8; FIELDS],
}

impl Document {
    /// How often each field has the term.
    pub(super) fn frequency(&self, term: u32) -> Option<[u8; FIELDS]> {
        let at = self.terms.binary_search_by_key(&term, |frequency| frequency.term).ok()?;
        Some(self.terms[at].fields)
    }
}

/// Terms, their numbers and their hashes.
#[derive(Debug, Default, Clone)]
pub(super) struct Dictionary(IndexMap<Box<str>, u128, foldhash::fast::RandomState>);

impl Dictionary {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[expect(clippy::cast_possible_truncation, reason = "far fewer than 2^32 terms")]
    pub fn number(&self, term: &str) -> Option<u32> {
        self.0.get_index_of(term).map(|at| at as u32)
    }

    pub fn term(&self, number: u32) -> &str {
        self.0.get_index(number as usize).map_or("", |(term, _)| term)
    }

    fn hash(&self, number: u32) -> u128 {
        self.0.get_index(number as usize).map_or(0, |(_, hash)| *hash)
    }

    /// By number.
    pub fn terms(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|term| &**term)
    }

    #[expect(clippy::cast_possible_truncation, reason = "far fewer than 2^32 terms")]
    fn insert(&mut self, term: &str) -> u32 {
        if let Some(number) = self.number(term) {
            return number;
        }
        let hash = ContentHash::of(term).0.first_chunk().copied().map_or(0, u128::from_le_bytes);
        self.0.insert_full(term.into(), hash).0 as u32
    }
}

/// The documents of one catalog, in its order.
#[derive(Debug, Default)]
pub struct Documents {
    pub(super) dictionary: Arc<Dictionary>,
    pub(crate) all: Vec<Arc<Document>>,
}

impl Documents {
    /// Reads every tool of `catalog`, on rayon.
    pub fn read(catalog: &Catalog) -> Self {
        let tools = catalog.tools();
        let share = tools.len().div_ceil(rayon::current_num_threads()).max(1);
        let read: Vec<(Dictionary, Vec<Document>)> = tools
            .par_chunks(share)
            .map(|tools| {
                let mut reader = Reader::default();
                let documents = tools.iter().map(|tool| reader.read(tool, server(catalog, tool)));
                (documents.collect(), reader.dictionary)
            })
            .map(|(documents, dictionary)| (dictionary, documents))
            .collect();
        Self::join(read)
    }

    /// Reads of `catalog` what is not the same in `old`, whose documents `known` are.
    pub fn update(catalog: &Catalog, old: &Catalog, known: &Self) -> Self {
        let retold: HashSet<&ServerId> = catalog
            .servers()
            .filter(|server| {
                let info = old.server(server.id.as_str()).map(|old| &old.info);
                info.is_none_or(|info| !info.reads_as(&server.info))
            })
            .map(|server| &server.id)
            .collect();
        let kept: Vec<Option<&Arc<Document>>> = catalog
            .tools()
            .iter()
            .zip(catalog.places_in(old))
            .map(|(tool, place)| {
                let (before, document) = (old.tool(place?), &known.all[place?.as_usize()]);
                let same = Arc::ptr_eq(before, tool) || before.hash == tool.hash;
                (same && !retold.contains(&tool.server)).then_some(document)
            })
            .collect();
        let changed = kept.iter().filter(|kept| kept.is_none()).count();
        if changed > READ_ALONE.max(catalog.len() / 4) || known.mostly_gone() {
            return Self::read(catalog);
        }
        let mut reader = Reader::with(Dictionary::clone(&known.dictionary));
        let all = kept
            .into_iter()
            .zip(catalog.tools())
            .map(|(kept, tool)| match kept {
                Some(document) => Arc::clone(document),
                None => Arc::new(reader.read(tool, server(catalog, tool))),
            })
            .collect();
        let grown = reader.dictionary.len() > known.dictionary.len();
        let dictionary =
            if grown { Arc::new(reader.dictionary) } else { Arc::clone(&known.dictionary) };
        Self { dictionary, all }
    }

    /// Most terms are of tools that are no more.
    fn mostly_gone(&self) -> bool {
        let mut used = vec![false; self.dictionary.len()];
        for frequency in self.all.iter().flat_map(|document| &document.terms) {
            used[frequency.term as usize] = true;
        }
        used.iter().filter(|used| **used).count() * 2 < used.len()
    }

    /// One dictionary for documents that were read with several.
    fn join(read: Vec<(Dictionary, Vec<Document>)>) -> Self {
        let mut dictionary = Dictionary::default();
        let mut all = Vec::with_capacity(read.iter().map(|(_, documents)| documents.len()).sum());
        for (own, documents) in read {
            if dictionary.len() == 0 {
                dictionary = own;
                all.extend(documents.into_iter().map(Arc::new));
                continue;
            }
            let numbers: Vec<u32> = own.terms().map(|term| dictionary.insert(term)).collect();
            all.par_extend(documents.into_par_iter().map(|mut document| {
                for frequency in &mut document.terms {
                    frequency.term = numbers[frequency.term as usize];
                }
                document.terms.sort_unstable();
                Arc::new(document)
            }));
        }
        Self { dictionary: Arc::new(dictionary), all }
    }

    /// Documents that have nothing but these fields.
    #[cfg(test)]
    pub(super) fn of_fields(fields: &[[String; FIELDS]]) -> Self {
        let mut reader = Reader::default();
        let document = |fields: &[String; FIELDS]| {
            let (terms, lengths) = reader.count(fields);
            let hash = ContentHash::of("");
            let hints = Hints::default();
            let (signature, embedded) = (hash, hash);
            Arc::new(Document { terms, lengths, signature, telling: false, embedded, hints })
        };
        let all = fields.iter().map(document).collect();
        Self { dictionary: Arc::new(reader.dictionary), all }
    }
}

fn server<'a>(catalog: &'a Catalog, tool: &Tool) -> Option<&'a Server> {
    catalog.server(tool.server.as_str()).map(|server| &**server)
}

/// Reads one tool after the other.
#[derive(Default)]
struct Reader {
    dictionary: Dictionary,
    /// Words that were seen, with their terms; `None` is a stop word.
    known: HashMap<Box<str>, Option<u32>, foldhash::fast::RandomState>,
    /// How often the tool at hand has each term, zero for those that it does not have.
    counts: Vec<[u8; FIELDS]>,
}

impl Reader {
    fn with(dictionary: Dictionary) -> Self {
        Self { counts: vec![[0; FIELDS]; dictionary.len()], dictionary, ..Self::default() }
    }

    fn read(&mut self, tool: &Tool, server: Option<&Server>) -> Document {
        let view = tool.view();
        let (terms, lengths) = self.count(&fields::lexical(tool, &view, server));
        let description = fields::DESCRIPTION;
        let described = terms.iter().filter(|frequency| frequency.fields[description] > 0);
        // A sum is the same in any order, and the order of term numbers is another each time.
        let (mut different, mut sum) = (0, 0_u128);
        for frequency in described {
            different += 1;
            sum = sum.wrapping_add(self.dictionary.hash(frequency.term));
        }
        let mut params: Vec<String> =
            view.params.iter().map(|param| name_key(&param.name)).collect();
        params.sort_unstable();
        // A key has letters and digits only, so the separators are unambiguous.
        let signature = format!("{}\n{}\n{sum:x}", name_key(&tool.name), params.join(" "));
        Document {
            signature: ContentHash::of(&signature),
            telling: different >= TELLING_TERMS,
            embedded: ContentHash::of(&fields::embedded(tool, &view, server)),
            hints: view.hints,
            terms,
            lengths,
        }
    }

    /// The terms of these fields, and the fields' lengths.
    fn count(&mut self, fields: &[impl AsRef<str>; FIELDS]) -> (Box<[Frequency]>, [u32; FIELDS]) {
        let mut lengths = [0; FIELDS];
        let mut found: Vec<u32> = Vec::with_capacity(64);
        for (field, text) in fields.iter().enumerate() {
            each_word(text.as_ref(), |word| {
                let Some(term) = self.number(word) else { return };
                let counts = &mut self.counts[term as usize];
                if *counts == [0; FIELDS] {
                    found.push(term);
                }
                counts[field] = (counts[field] + 1).min(COUNTED[field]);
                lengths[field] += 1;
            });
        }
        found.sort_unstable();
        let take = |term| {
            let fields = std::mem::take(&mut self.counts[term as usize]);
            Frequency { term, fields }
        };
        (found.into_iter().map(take).collect(), lengths)
    }

    fn number(&mut self, word: &str) -> Option<u32> {
        if let Some(number) = self.known.get(word) {
            return *number;
        }
        let number = term(word).map(|term| self.dictionary.insert(&term));
        self.known.insert(word.into(), number);
        self.counts.resize(self.dictionary.len(), [0; FIELDS]);
        number
    }
}
