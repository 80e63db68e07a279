//! Which servers this process crawls: all that it wants, or those that are left to it where several
//! processes share the work.
//!
//! Invariant: a server that is not held is neither connected to nor listed.

use std::collections::BTreeSet;

use tokio::sync::{mpsc, watch};

use crate::tool::ServerId;

/// What is held of what is wanted; the default holds all. Cheap to clone.
#[derive(Clone, Default)]
pub struct Leases(Option<Kept>);

#[derive(Clone)]
struct Kept {
    wanted: watch::Sender<BTreeSet<ServerId>>,
    held: watch::Sender<BTreeSet<ServerId>>,
    asked: mpsc::UnboundedSender<ServerId>,
}

impl Leases {
    /// None is held until it is said to be; with those that somebody wants to be crawled now while
    /// another process holds them.
    pub fn shared() -> (Self, mpsc::UnboundedReceiver<ServerId>) {
        let (asked, hears) = mpsc::unbounded_channel();
        (
            Self(Some(Kept {
                wanted: watch::Sender::default(),
                held: watch::Sender::default(),
                asked,
            })),
            hears,
        )
    }

    /// Those that would be crawled, as they come and go; `None` where all are held.
    pub fn wanted(&self) -> Option<watch::Receiver<BTreeSet<ServerId>>> {
        self.0.as_ref().map(|kept| kept.wanted.subscribe())
    }

    /// Makes these the ones that are held.
    pub fn hold(&self, servers: BTreeSet<ServerId>) {
        if let Some(kept) = &self.0 {
            kept.held.send_if_modified(|held| {
                let differs = *held != servers;
                *held = servers;
                differs
            });
        }
    }

    /// It would be crawled from now on, until what is given back is dropped.
    pub(super) fn want(&self, server: &ServerId) -> Lease {
        let held = self.0.as_ref().map(|kept| {
            kept.wanted.send_modify(|wanted| {
                wanted.insert(server.clone());
            });
            kept.held.subscribe()
        });
        Lease { leases: self.clone(), server: server.clone(), held }
    }
}

/// The wish to crawl a server.
pub(super) struct Lease {
    leases: Leases,
    server: ServerId,
    /// `None` where all are.
    held: Option<watch::Receiver<BTreeSet<ServerId>>>,
}

impl Lease {
    /// Resolves while it is held.
    pub(super) async fn held(&mut self) {
        if let Some(held) = &mut self.held {
            // Whoever could change it lives as long as this does.
            let _ = held.wait_for(|held| held.contains(&self.server)).await;
        }
    }

    /// Resolves when it is not held any more.
    pub(super) async fn lost(&mut self) {
        match &mut self.held {
            Some(held) => {
                let _ = held.wait_for(|held| !held.contains(&self.server)).await;
            }
            None => std::future::pending().await,
        }
    }

    /// Somebody wants it crawled now, and it is not held.
    pub(super) fn ask(&self) {
        if let Some(kept) = &self.leases.0 {
            // Nobody hears it at the end.
            let _ = kept.asked.send(self.server.clone());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(kept) = &self.leases.0 {
            kept.wanted.send_modify(|wanted| {
                wanted.remove(&self.server);
            });
        }
    }
}
