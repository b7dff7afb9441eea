//! A slab with generations: dense slots for side tables, and late uses of a slot are noticed.

use super::StreamId;

/// Values by [`StreamId`], at most `capacity` of them.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    capacity: usize,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Table<T> {
    /// Room for `capacity` values; memory is taken as it is used.
    pub fn with_capacity(capacity: usize) -> Self {
        Table { slots: Vec::new(), free: Vec::new(), capacity, len: 0 }
    }

    /// Puts a value in; gives it back when the table is full.
    pub fn insert(&mut self, value: T) -> Result<StreamId, T> {
        if self.len == self.capacity {
            return Err(value);
        }
        self.len += 1;
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.value = Some(value);
            return Ok(StreamId { index, generation: slot.generation });
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, value: Some(value) });
        Ok(StreamId { index, generation: 0 })
    }

    /// Takes a value out; the id is stale from now on.
    pub fn remove(&mut self, id: StreamId) -> Option<T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        self.len -= 1;
        Some(value)
    }

    /// The value, unless the id is stale.
    pub fn get(&self, id: StreamId) -> Option<&T> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation == id.generation { slot.value.as_ref() } else { None }
    }

    /// The value, unless the id is stale.
    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.value.as_mut() } else { None }
    }

    /// How many values are in.
    pub fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_id_is_stale_although_its_slot_is_reused() {
        let mut table = Table::with_capacity(1);
        let first = table.insert('a').unwrap();
        assert_eq!(table.insert('b'), Err('b'));
        assert_eq!(table.remove(first), Some('a'));
        let second = table.insert('c').unwrap();
        assert_eq!(second.index, first.index);
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&'c'));
        assert_eq!(table.len(), 1);
    }
}
