//! Places with generations: an index that is used again is told apart from its earlier use.

/// Things in places that are used again.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    thing: Option<T>,
}

impl<T> Slots<T> {
    pub fn new() -> Slots<T> {
        Slots { places: Vec::new(), free: Vec::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Index and generation of the new place.
    #[inline]
    pub fn insert(&mut self, thing: T) -> (u32, u32) {
        self.len += 1;
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.thing = Some(thing);
            return (index, place.generation);
        }
        let index = u32::try_from(self.places.len()).expect("bounded by the limits of the channel");
        self.places.push(Place { generation: 0, thing: Some(thing) });
        (index, 0)
    }

    #[inline]
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let place = self.places.get_mut(index as usize)?;
        let thing = place.thing.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index);
        self.len -= 1;
        Some(thing)
    }

    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        self.places.get(index as usize)?.thing.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.places.get_mut(index as usize)?.thing.as_mut()
    }

    #[inline]
    pub fn generation(&self, index: u32) -> Option<u32> {
        self.places.get(index as usize).filter(|place| place.thing.is_some()).map(|place| place.generation)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, &T)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(index, place)| Some((index as u32, place.generation, place.thing.as_ref()?)))
    }

    pub fn indices(&self) -> Vec<u32> {
        self.iter().map(|(index, ..)| index).collect()
    }
}

impl<T> std::ops::Index<u32> for Slots<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        self.places[index as usize].thing.as_ref().expect("a place in use")
    }
}

impl<T> std::ops::IndexMut<u32> for Slots<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        self.places[index as usize].thing.as_mut().expect("a place in use")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_used_again_has_another_generation() {
        let mut slots = Slots::new();
        let first = slots.insert('a');
        assert_eq!(slots.remove(first.0), Some('a'));
        assert_eq!((slots.remove(first.0), slots.generation(first.0)), (None, None));
        let second = slots.insert('b');
        assert_eq!((second.0, slots[second.0], slots.len()), (first.0, 'b', 1));
        assert_ne!(first.1, second.1);
    }
}
