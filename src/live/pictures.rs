//! Pictures of what each profile sees, drawn when somebody asks for one.
//!
//! Invariant: they are drawn one after the other on a single thread of low priority, for all
//! catalogs of the process, so that neither a search nor a generation waits for one. Whole catalogs
//! take turns there, however many views of one wait. Of each view there is one picture at most, and
//! nothing is told of it that the view does not show now.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
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

/// Catalogs of which pictures wait, whose turn is next the first; for each picture there is a job on the
/// easel, which draws for whoever is next then.
static LINE: Mutex<VecDeque<Live>> = Mutex::new(VecDeque::new());

/// On Linux the priority is that of the thread, elsewhere of the whole process.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(15) {
        tracing::debug!(%error, "pictures are drawn with the priority of everything else");
    }
}

/// The pictures of one catalog.
#[derive(Default)]
pub(super) struct Pictures(Mutex<Album>);

#[derive(Default)]
struct Album {
    /// By profile.
    slots: BTreeMap<Option<Arc<str>>, Slot>,
    /// Views of which one is to be drawn, oldest first.
    waiting: VecDeque<Live>,
    /// This catalog is in line for a turn, or at it.
    in_line: bool,
}

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
        self.album().slots.get(&self.1)?.drawn.borrow().picture.clone()
    }

    /// Has the picture of this generation drawn, unless it is or there is one at work.
    fn have_drawn(&self, generation: u64) -> watch::Receiver<Drawn> {
        let views = self.views();
        let mut album = self.album();
        let Album { slots, waiting, in_line } = &mut *album;
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
            waiting.push_back(self.clone());
            if !std::mem::replace(in_line, true) {
                line().push_back(self.clone());
            }
            pool.spawn_fifo(take_turn);
        }
        drawn
    }

    fn album(&self) -> MutexGuard<'_, Album> {
        self.0.pictures.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        if let Some(slot) = self.album().slots.get_mut(&self.1) {
            slot.at_work = false;
            let picture = picture.map(Arc::new).or(earlier);
            slot.drawn.send_replace(Drawn { tried: Some(index.generation), picture });
        }
    }
}

fn line() -> MutexGuard<'static, VecDeque<Live>> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws what has waited longest of the catalog whose turn it is, which goes to the end of the line for
/// the rest.
fn take_turn() {
    let next = line().pop_front();
    let Some(live) = next else { return };
    let view = live.album().waiting.pop_front();
    if let Some(view) = view {
        view.draw();
    }
    let mut album = live.album();
    album.in_line = !album.waiting.is_empty();
    if album.in_line {
        line().push_back(live.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::access::profile::Profile;
    use crate::catalog::Catalog;

    #[test]
    fn a_catalog_of_many_views_leaves_the_next_turn_to_another() {
        let views = ["one", "two"].map(|name| {
            let name: Arc<str> = name.into();
            (Arc::clone(&name), Arc::new(Profile { name, ..Profile::default() }))
        });
        let many = Live::from_catalog_with(Catalog::default(), &views.into());
        let other = Live::from_catalog(Catalog::default());
        let pool = EASEL.as_ref().unwrap();
        // Whatever other tests have drawn is drawn before.
        let (let_through, gate) = mpsc::channel::<()>();
        pool.spawn_fifo(move || gate.recv().unwrap_or_default());
        let first = many.scoped("one").unwrap().have_drawn(1);
        let second = many.scoped("two").unwrap().have_drawn(1);
        let (told, seen) = mpsc::channel();
        let of_second = second.clone();
        pool.spawn_fifo(move || told.send(of_second.borrow().tried).unwrap());
        let third = other.have_drawn(1);
        drop(let_through);
        assert_eq!(seen.recv().unwrap(), None, "the other catalog has had the turn");
        let (told, seen) = mpsc::channel();
        pool.spawn_fifo(move || told.send(()).unwrap());
        seen.recv().unwrap();
        for drawn in [first, second, third] {
            assert_eq!(drawn.borrow().tried, Some(1));
        }
        assert!(!many.album().in_line && !other.album().in_line);
    }
}
