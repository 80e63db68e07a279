//! Pictures of what each profile sees, drawn when somebody asks for one.
//!
//! Invariant: they are drawn one after the other on a single thread of low priority, for all
//! catalogs of the process, so that neither a search nor a generation waits for one. Of each view
//! there is one picture at most, and nothing is told of it that the view does not show now.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::watch;

use super::Live;
use crate::index::Index;
use crate::index::picture::{self, Picture, Point};

/// So long one who asks waits for a picture that is not drawn yet: that of a small catalog is then.
const PATIENCE: Duration = Duration::from_secs(1);
/// Neighbours of a query between which it stands; of some no place may be known yet.
const NEIGHBOURS: usize = 15;

/// Where all pictures are drawn; it begins when the first is asked for.
static EASEL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let pool = ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "picture".into())
        .start_handler(|_| step_back())
        .build();
    pool.inspect_err(|error| tracing::error!(%error, "no picture of the catalog is drawn")).ok()
});

/// On Linux the priority is that of the thread, elsewhere of the whole process.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(15) {
        tracing::debug!(%error, "pictures are drawn with the priority of everything else");
    }
}

/// The pictures, by profile.
#[derive(Default)]
pub(super) struct Pictures(Mutex<BTreeMap<Option<Arc<str>>, Slot>>);

struct Slot {
    drawn: watch::Sender<Drawn>,
    at_work: bool,
}

#[derive(Clone, Default)]
struct Drawn {
    /// The generation that was drawn last, or could not be.
    tried: Option<u64>,
    picture: Option<Arc<Picture>>,
}

/// What there is of the picture of the present generation.
#[derive(Debug)]
pub enum Seen {
    /// It is drawn.
    Drawn(Arc<Picture>),
    /// It is being drawn; what the one before says of it.
    Drawing {
        /// What it will show.
        index: Arc<Index>,
        /// The points that will hardly move; empty the first time.
        points: Vec<Option<Point>>,
    },
    /// No tool has a vector.
    NoVectors(Arc<Index>),
    /// Drawing failed; the log has the reason.
    Failed,
}

impl Live {
    /// The picture of what this handle sees, as far as it is drawn.
    pub async fn picture(&self) -> Seen {
        let index = self.index();
        if index.dense.is_none() {
            return Seen::NoVectors(index);
        }
        let mut drawn = self.have_drawn(index.generation);
        let tried = drawn.wait_for(|drawn| drawn.tried >= Some(index.generation));
        // Late, or not at all: then there is what there was.
        let _ = tokio::time::timeout(PATIENCE, tried).await;
        let Drawn { tried, picture } = drawn.borrow().clone();
        match picture {
            // Never a newer one than what a search of this moment would find.
            Some(picture) if picture.generation >= index.generation => Seen::Drawn(picture),
            _ if tried >= Some(index.generation) => Seen::Failed,
            Some(picture) => Seen::Drawing { points: picture.seen_in(&index), index },
            None => Seen::Drawing { points: vec![None; index.catalog.len()], index },
        }
    }

    /// Where a query stands in the picture that there is: between the tools whose vectors are
    /// nearest to its own; `None` before there is one, and why where it has no vector.
    pub async fn place(&self, text: &str) -> Result<Option<Point>, String> {
        let Some(picture) = self.drawn_last() else { return Ok(None) };
        let index = self.index();
        let Some(dense) = &index.dense else { return Err(self.no_vector_yet()) };
        let encoder = self.0.encoder.load_full();
        let vectors = encoder.embed(&[text]).await?;
        let queries: Vec<&[f32]> = vectors.iter().map(Vec::as_slice).collect();
        let found = dense.search(&queries, NEIGHBOURS, |_| true);
        let points = picture.seen_in(&index);
        Ok(found.first().and_then(|nearest| picture::between(nearest, &points)))
    }

    fn drawn_last(&self) -> Option<Arc<Picture>> {
        let slots = self.0.pictures.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(&self.1)?.drawn.borrow().picture.clone()
    }

    /// Has the picture of this generation drawn, unless it is or there is one at work.
    fn have_drawn(&self, generation: u64) -> watch::Receiver<Drawn> {
        let views = self.views();
        let mut slots = self.0.pictures.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|name, _| name.as_ref().is_none_or(|name| views.contains_key(name)));
        let slot = slots
            .entry(self.1.clone())
            .or_insert_with(|| Slot { drawn: watch::Sender::default(), at_work: false });
        let drawn = slot.drawn.subscribe();
        if slot.at_work || drawn.borrow().tried >= Some(generation) {
            return drawn;
        }
        if let Some(pool) = &*EASEL {
            slot.at_work = true;
            let live = self.clone();
            pool.spawn_fifo(move || live.draw());
        }
        drawn
    }

    /// Draws the newest generation.
    fn draw(&self) {
        let (index, earlier) = (self.index(), self.drawn_last());
        let begun = Instant::now();
        // A library lays it out: what comes apart in there costs this picture alone.
        let drawing = AssertUnwindSafe(|| Picture::draw(&index, earlier.as_deref()));
        let picture = catch_unwind(drawing).unwrap_or_else(|_| {
            tracing::error!(generation = index.generation, "the picture could not be drawn");
            None
        });
        if picture.is_some() {
            let seconds = begun.elapsed().as_secs_f32();
            tracing::debug!(tools = index.embedded(), seconds, "picture drawn");
        }
        let mut slots = self.0.pictures.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(&self.1) {
            slot.at_work = false;
            let picture = picture.map(Arc::new).or(earlier);
            slot.drawn.send_replace(Drawn { tried: Some(index.generation), picture });
        }
    }
}
