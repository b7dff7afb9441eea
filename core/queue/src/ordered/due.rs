//! A heap of deadlines, with bounded memory although entries go without telling it.

/// One deadline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub deadline_ns: u64,
    pub arrival: u64,
    pub index: u32,
}

impl Due {
    /// What is compared, as one number so that no branch hangs on its halves: the deadline, then the arrival.
    #[inline]
    fn key(&self) -> u128 {
        u128::from(self.deadline_ns) << 64 | u128::from(self.arrival)
    }
}

/// The earliest deadline on top; four children per node.
///
/// An entry that was discarded stays until it comes to the top or the heap is full, when the owner builds it anew.
pub(super) struct Heap {
    nodes: Vec<Due>,
    nodes_max: usize,
}

impl Heap {
    /// For `capacity` entries, and as many that are stale.
    pub(super) fn new(capacity: usize) -> Self {
        Self { nodes: Vec::with_capacity(capacity * 2), nodes_max: capacity * 2 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.nodes.len() >= self.nodes_max
    }

    /// Replaces all.
    pub(super) fn build(&mut self, nodes: impl Iterator<Item = Due>) {
        self.nodes.clear();
        self.nodes.extend(nodes);
        for parent in (0..self.nodes.len().div_ceil(CHILDREN)).rev() {
            self.sift_down(parent);
        }
    }

    pub(super) fn clear(&mut self) {
        self.nodes.clear();
    }

    pub(super) fn top(&self) -> Option<Due> {
        self.nodes.first().copied()
    }

    pub(super) fn push(&mut self, due: Due) {
        let mut hole = self.nodes.len();
        self.nodes.push(due);
        while hole > 0 {
            let parent = (hole - 1) / CHILDREN;
            if self.nodes[parent].key() <= due.key() {
                break;
            }
            self.nodes[hole] = self.nodes[parent];
            hole = parent;
        }
        self.nodes[hole] = due;
    }

    pub(super) fn pop(&mut self) {
        if self.nodes.is_empty() {
            return;
        }
        self.nodes.swap_remove(0);
        if !self.nodes.is_empty() {
            self.sift_down(0);
        }
    }

    fn sift_down(&mut self, mut hole: usize) {
        let due = self.nodes[hole];
        loop {
            let first = hole * CHILDREN + 1;
            let end = (first + CHILDREN).min(self.nodes.len());
            let Some(child) = (first..end).min_by_key(|child| self.nodes[*child].key()) else { break };
            if self.nodes[child].key() >= due.key() {
                break;
            }
            self.nodes[hole] = self.nodes[child];
            hole = child;
        }
        self.nodes[hole] = due;
    }
}

const CHILDREN: usize = 4;
