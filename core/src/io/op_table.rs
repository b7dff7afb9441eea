//! Which operation a completion belongs to: plain data, tested without a kernel.
//!
//! The kernel gives back 64 bits with each completion. They hold a slot of this table and the generation of that
//! slot, so that a completion that comes after its operation was given up is told apart from one of the slot's next user.

/// The 64 bits that travel with an operation: slot in the low half, generation in the high half.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UserData(pub u64);

impl UserData {
    fn new(slot: u32, generation: u32) -> Self {
        UserData(u64::from(generation) << 32 | u64::from(slot))
    }
    fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What a completion means for its operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step<T> {
    /// One of several: the operation goes on.
    More,
    /// The last one; what the table kept for the operation is handed back, the slot is free.
    Last(T),
    /// No such operation: counted, ignored.
    Stale,
}

/// Operations in flight with what must stay alive (or be known) until their last completion. Never grows past
/// `capacity`: the bound is the driver's.
#[derive(Debug)]
pub struct OpTable<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
    capacity: usize,
    in_flight: usize,
    stale: u64,
}

impl<T> OpTable<T> {
    /// A table for `capacity` operations at a time, below 2^32; memory is taken as it is used.
    pub fn with_capacity(capacity: usize) -> Self {
        OpTable { slots: Vec::new(), free: Vec::new(), capacity, in_flight: 0, stale: 0 }
    }

    /// Enters an operation; gives `state` back when the table is full.
    pub fn start(&mut self, state: T) -> Result<UserData, T> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < self.capacity => {
                self.slots.push((0, None));
                (self.slots.len() - 1) as u32
            }
            None => return Err(state),
        };
        let entry = &mut self.slots[slot as usize];
        entry.1 = Some(state);
        self.in_flight += 1;
        Ok(UserData::new(slot, entry.0))
    }

    /// What is kept for an operation in flight.
    pub fn get(&self, user_data: UserData) -> Option<&T> {
        let (generation, state) = self.slots.get(user_data.slot())?;
        if *generation == user_data.generation() { state.as_ref() } else { None }
    }

    /// What is kept for an operation in flight.
    pub fn get_mut(&mut self, user_data: UserData) -> Option<&mut T> {
        let (generation, state) = self.slots.get_mut(user_data.slot())?;
        if *generation == user_data.generation() { state.as_mut() } else { None }
    }

    /// Takes a completion; `more` is the kernel's word that others follow.
    pub fn on_completion(&mut self, user_data: UserData, more: bool) -> Step<T> {
        let slot = user_data.slot();
        let Some((generation, state)) = self.slots.get_mut(slot) else {
            self.stale += 1;
            return Step::Stale;
        };
        if *generation != user_data.generation() || state.is_none() {
            self.stale += 1;
            return Step::Stale;
        }
        if more {
            return Step::More;
        }
        *generation = generation.wrapping_add(1);
        self.free.push(slot as u32);
        self.in_flight -= 1;
        match state.take() {
            Some(state) => Step::Last(state),
            None => Step::Stale,
        }
    }

    /// Operations in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Room for how many more.
    pub fn room(&self) -> usize {
        self.capacity - self.in_flight
    }

    /// Completions that belonged to nobody.
    pub fn stale(&self) -> u64 {
        self.stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multishot_goes_on_until_the_last_completion() {
        let mut ops = OpTable::with_capacity(1);
        let recv = ops.start("recv").unwrap();
        assert_eq!(ops.start("other"), Err("other"));
        assert_eq!(ops.on_completion(recv, true), Step::More);
        assert_eq!(ops.on_completion(recv, false), Step::Last("recv"));
        assert_eq!(ops.on_completion(recv, false), Step::Stale);
        assert_eq!(ops.stale(), 1);
    }

    #[test]
    fn a_reused_slot_does_not_answer_to_the_old_name() {
        let mut ops = OpTable::with_capacity(1);
        let first = ops.start(1).unwrap();
        assert_eq!(ops.on_completion(first, false), Step::Last(1));
        let second = ops.start(2).unwrap();
        assert_ne!(first, second);
        assert_eq!(ops.on_completion(first, false), Step::Stale);
        assert_eq!(ops.get(second), Some(&2));
        assert_eq!((ops.in_flight(), ops.room()), (1, 0));
    }

    #[test]
    fn a_name_out_of_range_is_stale() {
        let mut ops: OpTable<()> = OpTable::with_capacity(1);
        assert_eq!(ops.on_completion(UserData(u64::MAX), false), Step::Stale);
    }
}
