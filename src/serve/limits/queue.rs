//! A queue in which callers take turns.
//!
//! Invariant: what one caller has waiting is taken in the order in which it came; between callers
//! who wait, none is taken twice before each of the others was taken once, however much they have
//! waiting. It never holds more than it may, in all and of one caller; when it is full, who has the
//! most waiting makes room for who has less.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The queue.
#[derive(Debug)]
pub struct FairQueue<K, T> {
    most: usize,
    most_each: usize,
    len: usize,
    next: u64,
    /// Those who have something waiting, the next one first.
    turns: VecDeque<K>,
    waiting: HashMap<K, VecDeque<(u64, T)>>,
}

/// Something was put in.
#[derive(Debug, PartialEq, Eq)]
pub struct Queued<T> {
    /// Its number, to take it out again by.
    pub number: u64,
    /// What had to go for it.
    pub pushed_out: Option<T>,
}

impl<K: Clone + Eq + Hash, T> FairQueue<K, T> {
    /// Empty.
    pub fn within(most: usize, most_each: usize) -> Self {
        let (turns, waiting) = (VecDeque::new(), HashMap::new());
        Self { most, most_each, len: 0, next: 0, turns, waiting }
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts in what `caller` has; gives it back where there is no room for it.
    pub fn push(&mut self, caller: &K, item: T) -> Result<Queued<T>, T> {
        let own = self.waiting.get(caller).map_or(0, VecDeque::len);
        if own >= self.most_each {
            return Err(item);
        }
        let mut pushed_out = None;
        if self.len >= self.most {
            let longest = self.waiting.iter().max_by_key(|(_, items)| items.len());
            let Some((longest, items)) = longest else { return Err(item) };
            // Else the two would push each other out in turn.
            if items.len() <= own + 1 {
                return Err(item);
            }
            let longest = longest.clone();
            pushed_out = self.waiting.get_mut(&longest).and_then(VecDeque::pop_back);
            self.len -= 1;
        }
        self.next += 1;
        let (number, turns) = (self.next, &mut self.turns);
        let items = self.waiting.entry(caller.clone()).or_insert_with(|| {
            turns.push_back(caller.clone());
            VecDeque::new()
        });
        items.push_back((number, item));
        self.len += 1;
        Ok(Queued { number, pushed_out: pushed_out.map(|(_, item)| item) })
    }

    /// Takes what is next.
    pub fn pop(&mut self) -> Option<T> {
        let caller = self.turns.pop_front()?;
        let items = self.waiting.get_mut(&caller)?;
        let (_, item) = items.pop_front()?;
        self.len -= 1;
        if items.is_empty() {
            self.waiting.remove(&caller);
        } else {
            self.turns.push_back(caller);
        }
        Some(item)
    }

    /// Takes out what no longer waits, if it still did.
    pub fn remove(&mut self, caller: &K, number: u64) -> Option<T> {
        let items = self.waiting.get_mut(caller)?;
        // They are in order.
        let at = items.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let (_, item) = items.remove(at)?;
        self.len -= 1;
        if items.is_empty() {
            self.waiting.remove(caller);
            self.turns.retain(|other| other != caller);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(u8),
        Pop,
        Remove(usize),
    }

    /// The same, written down in the plainest way: one list, and who was served when.
    #[derive(Default)]
    struct Naive {
        waiting: Vec<(u8, u64)>,
        /// When each got into the line, or to its end again.
        stands: Vec<u8>,
    }

    impl Naive {
        fn count(&self, caller: u8) -> usize {
            self.waiting.iter().filter(|(other, _)| *other == caller).count()
        }

        fn tidy(&mut self) {
            let waiting = self.waiting.clone();
            self.stands.retain(|caller| waiting.iter().any(|(other, _)| other == caller));
        }

        fn push(&mut self, caller: u8, item: u64, most: usize, most_each: usize) -> bool {
            if self.count(caller) >= most_each {
                return false;
            }
            if self.waiting.len() >= most {
                let counts: Vec<_> = (0..=u8::MAX).map(|other| self.count(other)).collect();
                let longest = *counts.iter().max().unwrap();
                if longest <= self.count(caller) + 1 {
                    return false;
                }
                // Which of several is left open: the caller of this looks.
            }
            self.waiting.push((caller, item));
            if !self.stands.contains(&caller) {
                self.stands.push(caller);
            }
            true
        }

        fn pop(&mut self) -> Option<u64> {
            if self.stands.is_empty() {
                return None;
            }
            let caller = self.stands.remove(0);
            let at = self.waiting.iter().position(|(other, _)| *other == caller)?;
            let (_, item) = self.waiting.remove(at);
            self.stands.push(caller);
            self.tidy();
            Some(item)
        }

        fn remove(&mut self, item: u64) -> bool {
            let before = self.waiting.len();
            self.waiting.retain(|(_, other)| *other != item);
            self.tidy();
            self.waiting.len() < before
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0_u8..5).prop_map(Step::Push),
            2 => Just(Step::Pop),
            1 => (0_usize..40).prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        #[test]
        fn it_does_as_the_naive_one(steps in steps(), most in 1_usize..12, most_each in 1_usize..6) {
            let mut queue = FairQueue::within(most, most_each);
            let mut naive = Naive::default();
            let mut known: Vec<(u8, u64, u64)> = Vec::new();
            let mut item = 0;
            for step in steps {
                match step {
                    Step::Push(caller) => {
                        item += 1;
                        let longest =
                            (0..=u8::MAX).map(|other| naive.count(other)).max().unwrap_or(0);
                        let taken = naive.push(caller, item, most, most_each);
                        match queue.push(&caller, item) {
                            Ok(Queued { number, pushed_out }) => {
                                prop_assert!(taken);
                                known.push((caller, number, item));
                                if let Some(out) = pushed_out {
                                    // The newest of one who had the most.
                                    let (owner, _) =
                                        *naive.waiting.iter().find(|(_, it)| *it == out).unwrap();
                                    let own = naive.waiting.iter().filter(|(c, _)| *c == owner);
                                    prop_assert_eq!(own.clone().count(), longest);
                                    prop_assert_eq!(own.map(|(_, it)| *it).max(), Some(out));
                                    naive.remove(out);
                                }
                            }
                            Err(back) => {
                                prop_assert!(!taken);
                                prop_assert_eq!(back, item);
                            }
                        }
                    }
                    Step::Pop => prop_assert_eq!(queue.pop(), naive.pop()),
                    Step::Remove(at) => {
                        if let Some((caller, number, item)) = known.get(at).copied() {
                            let removed = queue.remove(&caller, number);
                            prop_assert_eq!(removed.is_some(), naive.remove(item));
                        }
                    }
                }
                prop_assert_eq!(queue.len(), naive.waiting.len());
                prop_assert!(queue.len() <= most);
                prop_assert_eq!(queue.is_empty(), naive.waiting.is_empty());
            }
            // What is left comes out in the same order.
            while let Some(next) = naive.pop() {
                prop_assert_eq!(queue.pop(), Some(next));
            }
            prop_assert_eq!(queue.pop(), None);
            prop_assert!(queue.turns.is_empty() && queue.waiting.is_empty());
        }
    }

    #[test]
    fn who_has_much_waiting_does_not_keep_others_from_their_turn() {
        let mut queue = FairQueue::within(100, 50);
        for item in 0..40 {
            queue.push(&"greedy", item).unwrap();
        }
        queue.push(&"modest", 1_000).unwrap();
        let order: Vec<_> = (0..3).filter_map(|_| queue.pop()).collect();
        assert_eq!(order, [0, 1_000, 1]);
    }
}
