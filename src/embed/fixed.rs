//! The encoder in the binary: one vector for each piece of a word, weighted by the piece and by its
//! place, and summed.
//!
//! A static model in the manner of model2vec (Tulkens and van Dongen 2024), trained on tools and
//! on what people ask of them; `scripts/train/` makes the weights, and their model card says from
//! what. Invariant: no network, no state; the sums run in one order, so a text has the same vector
//! on every machine.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use safetensors::{Dtype, SafeTensors};

use super::manifest::{ENCODER, read, short_hash};
use super::{Cost, EmbedError, Embedder, IN_BINARY, Role};
use crate::index::dense::{add_scaled, normalise};
use crate::text::pieces::{Memory, Pieces};

/// The weights' file in a model's folder.
const WEIGHTS: &str = "model.safetensors";
/// The vocabulary's, one piece a line.
const VOCABULARY: &str = "vocab.txt";
/// Texts at once: enough that their bookkeeping costs little.
const BATCH: usize = 64;

/// A static encoder.
pub struct Fixed {
    id: String,
    dims: usize,
    pieces: Pieces,
    /// The file of the weights: never copied out of the binary.
    bytes: Cow<'static, [u8]>,
    /// Where in `bytes` the vectors are: a row of `dims` int8 numbers for each piece.
    rows: Range<usize>,
    /// What counts in a query, and in the text of a tool.
    weights: [Weights; 2],
}

/// How much each piece of a text counts.
struct Weights {
    /// What each row is multiplied by.
    pieces: Vec<f32>,
    /// … and by its place in the text, which is read no further.
    places: Vec<f32>,
}

/// What is worked in, kept from text to text.
#[derive(Default)]
struct Scratch {
    memory: Memory,
    ids: Vec<u32>,
}

impl Fixed {
    /// The encoder in the binary.
    pub fn in_binary() -> Result<Self, EmbedError> {
        let bytes = include_bytes!("../../index-data/models/scout/model.safetensors");
        let vocabulary = include_str!("../../index-data/models/scout/vocab.txt");
        Self::parse(IN_BINARY, Cow::Borrowed(bytes), vocabulary)
            .map_err(|problem| EmbedError::Encoder(format!("the one in the binary: {problem}")))
    }

    /// True of a folder with such an encoder.
    pub(super) fn is_in(folder: &Path) -> bool {
        folder.join(WEIGHTS).is_file()
    }

    /// The encoder in `folder`.
    pub fn load(folder: &Path) -> Result<Self, EmbedError> {
        let name = folder.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name: String = name.chars().filter(|c| is_plain(*c)).collect();
        let bytes = read(folder, WEIGHTS)?;
        let vocabulary = String::from_utf8_lossy(&read(folder, VOCABULARY)?).into_owned();
        Self::parse(&name, Cow::Owned(bytes), &vocabulary).map_err(|problem| EmbedError::Load {
            what: ENCODER,
            path: folder.join(WEIGHTS),
            problem,
        })
    }

    fn parse(name: &str, bytes: Cow<'static, [u8]>, vocabulary: &str) -> Result<Self, String> {
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
        let tensor = |name: &str, dtype: Dtype| match tensors.tensor(name) {
            Ok(tensor) if tensor.dtype() == dtype => Ok(tensor),
            Ok(tensor) => Err(format!("`{name}` is {:?}, not {dtype:?}", tensor.dtype())),
            Err(error) => Err(error.to_string()),
        };
        let vectors = tensor("vectors", Dtype::I8)?;
        let [pieces, dims] = vectors.shape()[..] else {
            return Err("`vectors` is no table".into());
        };
        let lines = vocabulary.lines().count();
        if lines != pieces || dims == 0 {
            return Err(format!("{pieces} vectors of {dims} numbers for {lines} pieces"));
        }
        let weights = |side: &str| {
            let numbers = |name: &str| -> Result<Vec<f32>, String> {
                let (numbers, _) = tensor(name, Dtype::F32)?.data().as_chunks();
                Ok(numbers.iter().copied().map(f32::from_le_bytes).collect())
            };
            let of =
                Weights { pieces: numbers(side)?, places: numbers(&format!("{side}_places"))? };
            if of.pieces.len() == pieces && !of.places.is_empty() {
                Ok(of)
            } else {
                Err(format!("the weights of `{side}` are cut short"))
            }
        };
        let weights = [weights("query")?, weights("tool")?];
        // Both are slices of one buffer.
        let start = vectors.data().as_ptr().addr() - bytes.as_ptr().addr();
        let rows = start..start + vectors.data().len();
        let id = format!("{name}-{}", short_hash(&[&bytes, vocabulary.as_bytes()]));
        Ok(Self { id, dims, pieces: Pieces::parse(vocabulary), rows, weights, bytes })
    }

    /// Puts the vector of `text` into `sum`, which is as long as [`Embedder::dims`]. Allocates
    /// nothing once it has seen a text as long.
    pub fn embed_into(&self, role: Role, text: &str, sum: &mut [f32]) {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::default();
        }
        let rows = &self.bytes[self.rows.clone()];
        let weights = match role {
            Role::Query => &self.weights[0],
            Role::Tool => &self.weights[1],
        };
        sum.fill(0.0);
        SCRATCH.with_borrow_mut(|Scratch { memory, ids }| {
            self.pieces.split(text, weights.places.len(), memory, ids);
            for (id, place) in ids.iter().zip(&weights.places) {
                let id = *id as usize;
                let row = &rows[id * self.dims..(id + 1) * self.dims];
                add_scaled(row, weights.pieces[id] * place, sum);
            }
        });
        normalise(sum);
    }
}

impl Embedder for Fixed {
    fn id(&self) -> &str {
        &self.id
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn cost(&self) -> Cost {
        Cost::Instant
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn embed(
        &self,
        role: Role,
        texts: &[&str],
        _until: Option<Instant>,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let embed = |text: &&str| {
            let mut vector = vec![0.0; self.dims];
            self.embed_into(role, text, &mut vector);
            vector
        };
        Ok(texts.iter().map(embed).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::embed::embed_one;

    const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/index-data/models/scout");
    const TEXT: &str = "show me which pull requests are still waiting for my review, übergroße?";

    static SCOUT: LazyLock<Fixed> = LazyLock::new(|| Fixed::in_binary().unwrap());

    /// The same from the file's numbers, in double precision and without a shared line.
    fn naive(encoder: &Fixed, role: Role, text: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&encoder.bytes).unwrap();
        let side = match role {
            Role::Query => "query",
            Role::Tool => "tool",
        };
        let weights = tensors.tensor(side).unwrap();
        let places = tensors.tensor(&format!("{side}_places")).unwrap();
        let number = |of: &safetensors::tensor::TensorView<'_>, at: usize| {
            f64::from(f32::from_le_bytes(of.data()[at * 4..][..4].try_into().unwrap()))
        };
        let rows = tensors.tensor("vectors").unwrap();
        let (mut memory, mut ids) = (Memory::default(), Vec::new());
        encoder.pieces.split(text, places.data().len() / 4, &mut memory, &mut ids);
        let mut sum = vec![0.0_f64; encoder.dims];
        for (place, id) in ids.iter().map(|id| *id as usize).enumerate() {
            let weight = number(&weights, id) * number(&places, place);
            for (x, number) in sum.iter_mut().zip(&rows.data()[id * encoder.dims..]) {
                *x += weight * f64::from(number.cast_signed());
            }
        }
        let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        #[expect(clippy::cast_possible_truncation, reason = "compared with single precision")]
        sum.into_iter().map(|x| (x / length) as f32).collect()
    }

    proptest! {
        #[test]
        fn a_vector_is_the_weighted_sum_of_its_pieces(text in "[a-zA-Z0-9_ àé.,漢]{0,300}") {
            for role in [Role::Query, Role::Tool] {
                let vector = embed_one(&*SCOUT, role, &text, None).unwrap();
                let apart = vector.iter().zip(naive(&SCOUT, role, &text)).map(|(a, b)| (a - b).abs());
                prop_assert!(apart.fold(0.0, f32::max) < 1e-5);
            }
        }
    }

    #[test]
    fn a_text_of_no_known_piece_has_the_zero_vector() {
        for text in ["", " \n", "…"] {
            let vector = embed_one(&*SCOUT, Role::Query, text, None).unwrap();
            assert!(vector.iter().all(|x| *x == 0.0), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_allocated_for_a_text_like_one_before() {
        let mut vector = vec![0.0; SCOUT.dims()];
        SCOUT.embed_into(Role::Query, TEXT, &mut vector);
        let counted =
            allocation_counter::measure(|| SCOUT.embed_into(Role::Query, TEXT, &mut vector));
        assert_eq!(counted.count_total, 0);
    }

    #[test]
    fn the_shipped_folder_is_the_encoder_in_the_binary() {
        let sums = fs::read_to_string(format!("{SHIPPED}/SHA256SUMS")).unwrap();
        let sum = |file: &str| {
            let digits = Sha256::digest(fs::read(format!("{SHIPPED}/{file}")).unwrap());
            let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
            let digits = digits.iter().fold(String::new(), hex);
            format!("{digits}  {file}\n")
        };
        assert_eq!(sums, sum(WEIGHTS) + &sum(VOCABULARY));
        let (own, folder) = (Fixed::in_binary().unwrap(), Fixed::load(Path::new(SHIPPED)).unwrap());
        assert_eq!(own.id(), folder.id());
        assert!(own.id().starts_with("scout-"));
        let size = fs::metadata(format!("{SHIPPED}/{WEIGHTS}")).unwrap().len();
        assert!(size < 12_000_000, "{size}");
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        let weights = fs::read(format!("{SHIPPED}/{WEIGHTS}")).unwrap();
        let vocabulary = fs::read(format!("{SHIPPED}/{VOCABULARY}")).unwrap();
        for (weights, vocabulary, said) in [
            (&weights[..weights.len() / 2], &vocabulary[..], "does not load"),
            (&weights[..], &vocabulary[..vocabulary.len() / 2], "pieces"),
            (&b"no safetensors"[..], &vocabulary[..], "does not load"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(WEIGHTS), weights).unwrap();
            fs::write(folder.path().join(VOCABULARY), vocabulary).unwrap();
            let error = Fixed::load(folder.path()).err().unwrap().to_string();
            assert!(error.contains(said) && error.contains(WEIGHTS), "{error}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Fixed::load(empty.path()), Err(EmbedError::Io { .. })));
    }
}
