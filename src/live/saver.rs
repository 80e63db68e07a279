//! Saves what changes, beside it: nothing that is published waits for a disk.
//!
//! Invariant: what is given is saved in the order it was given in; one that a newer one has overtaken
//! is passed over, the last never is. What can't be saved is tried again until it can, and that it
//! can't is told once.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::troubles::Troubles;

/// After this time a disk that took nothing is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// The task that saves. Each of the values it is given has a number.
pub(super) struct Saver<T> {
    newest: watch::Sender<(u64, T)>,
    reached: watch::Receiver<Reached>,
    task: JoinHandle<()>,
}

/// Numbers of the newest value that was tried, and of the newest that is on disk.
#[derive(Debug, Default, Clone, Copy)]
struct Reached {
    tried: u64,
    saved: u64,
}

impl<T: Clone + Default + Send + Sync + 'static> Saver<T> {
    /// Starts it; `save` writes a value, `lost` is what a restart will lack where that fails, which
    /// `troubles` hears of.
    pub fn start<E: Display + Send + 'static>(
        what: &'static str,
        lost: &'static str,
        troubles: Troubles,
        save: impl Fn(T) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        let (newest, mut values) = watch::channel((0, T::default()));
        let (told, reached) = watch::channel(Reached::default());
        let save = Arc::new(save);
        let task = tokio::spawn(async move {
            let mut failed = false;
            loop {
                let next = values.changed();
                let more = if failed {
                    tokio::time::timeout(RETRY, next).await.unwrap_or(Ok(()))
                } else {
                    next.await
                };
                // What nobody will follow up gets a last chance.
                if more.is_err() && !failed {
                    return;
                }
                let (number, value) = values.borrow_and_update().clone();
                let save = Arc::clone(&save);
                let saved = match tokio::task::spawn_blocking(move || save(value)).await {
                    Ok(saved) => saved.map_err(|error| error.to_string()),
                    Err(error) => Err(format!("{what}: {error}")),
                };
                match &saved {
                    Ok(()) if failed => {
                        tracing::info!("the {what} can be saved again");
                        troubles.clear(what);
                    }
                    Ok(()) => {}
                    Err(error) => {
                        counter!("toolscout_save_failures_total", "what" => what).increment(1);
                        if !failed {
                            tracing::warn!("{error}: {lost}");
                            troubles
                                .set(what, format!("it can't be saved, the log says why: {lost}"));
                        }
                    }
                }
                failed = saved.is_err();
                told.send_modify(|reached| {
                    reached.tried = number;
                    reached.saved = if failed { reached.saved } else { number };
                });
                if more.is_err() {
                    return;
                }
            }
        });
        Self { newest, reached, task }
    }

    /// Saves `value` as soon as what is being saved now is done.
    pub fn save(&self, value: T) {
        self.newest.send_modify(|newest| *newest = (newest.0 + 1, value));
    }

    /// Waits until all that was given so far was tried; true if it is on disk.
    pub async fn saved(&self) -> bool {
        let number = self.newest.borrow().0;
        let mut reached = self.reached.clone();
        let reached = reached.wait_for(|reached| reached.tried >= number).await;
        reached.is_ok_and(|reached| reached.saved >= number)
    }

    /// Returns once everything is saved, or could not be.
    pub async fn finish(self) {
        drop(self.newest);
        let _ = self.task.await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A saver of numbers, what it has written, and whether it can write.
    fn numbers(troubles: &Troubles) -> (Saver<u64>, Arc<Mutex<Vec<u64>>>, Arc<AtomicBool>) {
        let written = Arc::<Mutex<Vec<u64>>>::default();
        let full = Arc::<AtomicBool>::default();
        let (disk, is_full) = (Arc::clone(&written), Arc::clone(&full));
        let saver = Saver::start("list", "it is lost", troubles.clone(), move |value| {
            if is_full.load(Ordering::SeqCst) {
                return Err("no space left");
            }
            disk.lock().unwrap().push(value);
            Ok(())
        });
        (saver, written, full)
    }

    #[tokio::test]
    async fn the_last_of_many_is_what_is_saved_and_none_after_a_newer_one() {
        let (saver, written, _) = numbers(&Troubles::default());
        for value in 1..=50 {
            saver.save(value);
            tokio::task::yield_now().await;
        }
        saver.finish().await;
        let written = written.lock().unwrap();
        assert_eq!(written.last(), Some(&50));
        assert!(written.is_sorted(), "{written:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_not_be_saved_is_tried_again_without_another_change() {
        let troubles = Troubles::default();
        let (saver, written, full) = numbers(&troubles);
        assert!(saver.saved().await, "nothing is there to be saved");
        saver.save(1);
        assert!(saver.saved().await);
        full.store(true, Ordering::SeqCst);
        saver.save(2);
        assert!(!saver.saved().await, "it says so");
        assert!(troubles.all().contains_key("list"));
        full.store(false, Ordering::SeqCst);
        while written.lock().unwrap().len() < 2 {
            tokio::time::sleep(RETRY).await;
        }
        assert!(saver.saved().await && troubles.all().is_empty());
        full.store(true, Ordering::SeqCst);
        saver.save(3);
        assert!(!saver.saved().await);
        full.store(false, Ordering::SeqCst);
        saver.finish().await;
        assert_eq!(*written.lock().unwrap(), [1, 2, 3], "the end is a last chance");
    }
}
