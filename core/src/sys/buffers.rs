//! The memory that received bytes lie in, and the counted references to it.
//!
//! Two kinds of buffer. **Shared** ones are few and equal, in one region: the kernel picks one per completion; they serve
//! heads, idle connections and datagrams. **Blocks** belong to one receive of one stream and come in four
//! sizes; together they stay within a budget, beyond which only the smallest size is handed out, so that a stream
//! always makes progress and memory stays bounded by `block_bytes_max + streams_max * 4 KiB`.
//!
//! Only drivers take, fill and give back buffers; others read the figures and the bytes of leases. So no safe code outside can take memory
//! away that the kernel writes to.
//!
//! Invariant: a buffer is either idle, or in the kernel's hands, or lent (count of leases > 0); bytes are read only
//! through leases and written only while it is not lent.

use crate::sys::memory::Region;

/// Sizes and bounds of [`Buffers`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuffersConfig {
    /// Shared buffers: a power of two, at most 32768.
    pub shared_count: u16,
    /// Bytes of each shared buffer.
    pub shared_size: u32,
    /// Bytes that blocks may take together before only the smallest size is handed out.
    pub block_bytes_max: usize,
}

impl Default for BuffersConfig {
    fn default() -> Self {
        BuffersConfig { shared_count: 512, shared_size: 16 * 1024, block_bytes_max: 64 << 20 }
    }
}

/// A counted reference to a part of a received buffer. Plain data: give it to `send` or to `release`, exactly once.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a lease must be sent or released, else its buffer is lost"]
pub struct Lease {
    buffer: u32,
    offset: u32,
    len: u32,
}

impl Lease {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len as usize
    }
    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Forgets the first `count` bytes. Panics when there are fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance by {count} in a lease of {}", self.len);
        self.offset += count as u32;
        self.len -= count as u32;
    }
    /// Keeps the first `len` bytes only.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len as u32);
    }
}

/// A buffer that is idle or in the kernel's hands, to be filled.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a buffer taken must be lent or put back"]
pub(crate) struct Empty {
    buffer: u32,
}

impl Empty {
    /// Number of a shared buffer (the kernel's buffer id), or of a block.
    pub fn number(&self) -> u32 {
        self.buffer
    }
}

#[derive(Debug)]
struct Block {
    memory: Region,
    size: u32,
    leases: u32,
}

/// The buffers of one driver.
#[derive(Debug)]
pub struct Buffers {
    config: BuffersConfig,
    shared: Region,
    shared_leases: Vec<u32>,
    shared_idle: Vec<u32>,
    blocks: Vec<Option<Block>>,
    blocks_idle: [Vec<u32>; SIZES.len()],
    blocks_free: Vec<u32>,
    block_bytes: usize,
    lent: usize,
}

impl Buffers {
    /// Takes the memory of the shared buffers. Errors: `ENOMEM`, or `EINVAL` for a count that is no power of two.
    pub(crate) fn new(config: BuffersConfig) -> std::io::Result<Buffers> {
        let count = usize::from(config.shared_count);
        if !count.is_power_of_two() || count > 32768 || config.shared_size < 1024 {
            return Err(std::io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(Buffers {
            config,
            shared: Region::new(count * config.shared_size as usize)?,
            shared_leases: vec![0; count],
            shared_idle: (0..count as u32).rev().collect(),
            blocks: Vec::new(),
            blocks_idle: Default::default(),
            blocks_free: Vec::new(),
            block_bytes: 0,
            lent: 0,
        })
    }

    /// The sizes it was made with.
    pub fn config(&self) -> &BuffersConfig {
        &self.config
    }

    /// The bytes of a lease. Panics for a lease of another driver, unless it happens to fit.
    pub fn bytes(&self, lease: &Lease) -> &[u8] {
        let (region, base, leases) = self.place(lease.buffer);
        // Not only for our own mistakes: a lease of another driver may come in through safe calls, and names a buffer that the kernel may write to.
        assert!(leases > 0, "bytes of a buffer that is not lent");
        assert!(
            lease.offset as usize + lease.len as usize <= self.size(lease.buffer),
            "a lease of another driver"
        );
        // SAFETY: the buffer is lent (a `Lease` exists), so by the invariant nobody writes to it.
        unsafe { region.slice(base + lease.offset as usize, lease.len as usize) }
    }

    /// The address of a lease's bytes, for an operation that owns the lease until it has ended.
    pub(crate) fn pointer(&self, lease: &Lease) -> *const u8 {
        let (region, base, _) = self.place(lease.buffer);
        region.pointer(base + lease.offset as usize, lease.len as usize)
    }

    /// A second reference to the same bytes.
    pub(crate) fn retain(&mut self, lease: &Lease) -> Lease {
        let leases = self.leases_mut(lease.buffer);
        assert!(*leases > 0, "a second lease of a buffer that is not lent");
        *leases += 1;
        self.lent += 1;
        Lease { buffer: lease.buffer, offset: lease.offset, len: lease.len }
    }

    /// Cuts off the first `count` bytes as a lease of their own. Panics when there are fewer.
    pub(crate) fn split(&mut self, lease: &mut Lease, count: usize) -> Lease {
        let mut head = self.retain(lease);
        lease.advance(count);
        head.truncate(count);
        head
    }

    /// Gives a reference back; with the last one the buffer is idle.
    pub(crate) fn release(&mut self, lease: Lease) {
        let leases = self.leases_mut(lease.buffer);
        assert!(*leases > 0, "released a buffer that is not lent");
        *leases -= 1;
        let last = *leases == 0;
        self.lent -= 1;
        if last {
            self.put_back(Empty { buffer: lease.buffer });
        }
    }

    /// Takes an idle shared buffer, if there is one.
    pub(crate) fn take_shared(&mut self) -> Option<Empty> {
        self.shared_idle.pop().map(|buffer| Empty { buffer })
    }

    /// Shared buffers that are idle.
    pub fn shared_idle(&self) -> usize {
        self.shared_idle.len()
    }

    /// The shared buffer of that number, which the kernel has just filled. `None` for a number out of range or a buffer that is lent.
    pub(crate) fn filled_shared(&self, number: u16) -> Option<Empty> {
        let leases = *self.shared_leases.get(usize::from(number))?;
        if leases == 0 { Some(Empty { buffer: u32::from(number) }) } else { None }
    }

    /// Takes a block of at least `len` bytes, or a smaller one when the budget is used up (never below 4 KiB).
    /// Errors: `ENOMEM`.
    pub(crate) fn take_block(&mut self, len: usize) -> std::io::Result<Empty> {
        let mut class = SIZES.iter().position(|size| *size >= len).unwrap_or(SIZES.len() - 1);
        loop {
            if let Some(buffer) = self.blocks_idle[class].pop() {
                return Ok(Empty { buffer });
            }
            if class == 0 || self.block_bytes + SIZES[class] <= self.config.block_bytes_max {
                return self.new_block(class);
            }
            class -= 1;
        }
    }

    /// Whether `take_block(len)` gives that much at once, budget and idle blocks considered.
    pub(crate) fn has_block(&self, len: usize) -> bool {
        let Some(class) = SIZES.iter().position(|size| *size >= len) else { return false };
        !self.blocks_idle[class].is_empty() || self.block_bytes + SIZES[class] <= self.config.block_bytes_max
    }

    /// Bytes that fit in an empty buffer.
    pub(crate) fn capacity(&self, empty: &Empty) -> usize {
        self.size(empty.buffer)
    }

    /// The address of an empty buffer, for an operation that owns it until it has ended.
    pub(crate) fn pointer_mut(&self, empty: &Empty) -> *mut u8 {
        let (region, base, _) = self.place(empty.buffer);
        region.pointer(base, self.capacity(empty))
    }

    /// The bytes of an empty buffer, to be filled by ourselves.
    pub(crate) fn bytes_mut(&mut self, empty: &mut Empty) -> &mut [u8] {
        let capacity = self.capacity(empty);
        let (region, base, leases) = self.place(empty.buffer);
        assert!(leases == 0, "writing to a buffer that is lent");
        // SAFETY: we hold the only `Empty` of this buffer, so neither the kernel nor a lease uses it, and `self` is borrowed mutably.
        unsafe { region.slice_mut(base, capacity) }
    }

    /// Makes a filled buffer into the first lease of it. Panics when `len` is more than its capacity.
    pub(crate) fn lend(&mut self, filled: Empty, offset: usize, len: usize) -> Lease {
        assert!(
            offset + len <= self.capacity(&filled),
            "{offset}+{len} bytes in a buffer of {}",
            self.capacity(&filled)
        );
        let leases = self.leases_mut(filled.buffer);
        debug_assert_eq!(*leases, 0, "lending a buffer twice");
        *leases = 1;
        self.lent += 1;
        Lease { buffer: filled.buffer, offset: offset as u32, len: len as u32 }
    }

    /// Puts an empty buffer back unused.
    pub(crate) fn put_back(&mut self, empty: Empty) {
        let number = empty.buffer as usize;
        if number < self.shared_leases.len() {
            self.shared_idle.push(empty.buffer);
            return;
        }
        let slot = number - self.shared_leases.len();
        let Some(block) = &self.blocks[slot] else { return };
        let size = block.size as usize;
        let class = SIZES.iter().position(|class| *class == size).unwrap_or(0);
        // Keep what the budget has room for; a burst of small blocks beyond it is given back to the system.
        if self.block_bytes > self.config.block_bytes_max {
            self.block_bytes -= size;
            self.blocks[slot] = None;
            self.blocks_free.push(slot as u32);
        } else {
            self.blocks_idle[class].push(empty.buffer);
        }
    }

    /// References that are out now.
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// Bytes taken for blocks now, lent or kept for reuse.
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    fn new_block(&mut self, class: usize) -> std::io::Result<Empty> {
        let size = SIZES[class];
        let block = Block { memory: Region::new(size)?, size: size as u32, leases: 0 };
        self.block_bytes += size;
        let slot = match self.blocks_free.pop() {
            Some(slot) => {
                self.blocks[slot as usize] = Some(block);
                slot as usize
            }
            None => {
                self.blocks.push(Some(block));
                self.blocks.len() - 1
            }
        };
        Ok(Empty { buffer: (self.shared_leases.len() + slot) as u32 })
    }

    fn block(&self, buffer: u32) -> Option<&Block> {
        let slot = (buffer as usize).checked_sub(self.shared_leases.len())?;
        self.blocks.get(slot)?.as_ref()
    }

    fn size(&self, buffer: u32) -> usize {
        self.block(buffer).map_or(self.config.shared_size as usize, |block| block.size as usize)
    }

    fn place(&self, buffer: u32) -> (&Region, usize, u32) {
        match self.shared_leases.get(buffer as usize) {
            Some(leases) => (&self.shared, buffer as usize * self.config.shared_size as usize, *leases),
            None => {
                let block = self.block(buffer).expect("a lease or an empty buffer keeps its block");
                (&block.memory, 0, block.leases)
            }
        }
    }

    fn leases_mut(&mut self, buffer: u32) -> &mut u32 {
        let shared = self.shared_leases.len();
        match (buffer as usize).checked_sub(shared) {
            None => &mut self.shared_leases[buffer as usize],
            Some(slot) => {
                let block = self.blocks[slot].as_mut().expect("a lease or an empty buffer keeps its block");
                &mut block.leases
            }
        }
    }
}

/// Sizes of blocks in bytes.
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Buffers {
        Buffers::new(BuffersConfig { shared_count: 2, shared_size: 1024, block_bytes_max: 256 << 10 })
            .unwrap()
    }

    #[test]
    fn a_split_buffer_is_idle_after_its_last_part() {
        let mut buffers = small();
        let mut empty = buffers.take_shared().unwrap();
        buffers.bytes_mut(&mut empty)[..6].copy_from_slice(b"abcdef");
        let mut lease = buffers.lend(empty, 0, 6);
        let head = buffers.split(&mut lease, 2);
        assert_eq!((buffers.bytes(&head), buffers.bytes(&lease)), (&b"ab"[..], &b"cdef"[..]));
        buffers.release(lease);
        assert_eq!((buffers.shared_idle(), buffers.lent()), (1, 1));
        buffers.release(head);
        assert_eq!((buffers.shared_idle(), buffers.lent()), (2, 0));
    }

    #[test]
    fn beyond_the_budget_only_small_blocks_are_handed_out_and_given_back() {
        let mut buffers = small();
        let large = buffers.take_block(200_000).unwrap();
        assert_eq!(buffers.capacity(&large), 256 << 10);
        let first = buffers.take_block(200_000).unwrap();
        let second = buffers.take_block(1).unwrap();
        assert_eq!((buffers.capacity(&first), buffers.capacity(&second)), (4096, 4096));
        assert_eq!(buffers.block_bytes(), (256 << 10) + 8192);
        assert!(!buffers.has_block(100_000));
        buffers.put_back(first);
        buffers.put_back(second);
        assert_eq!(buffers.block_bytes(), 256 << 10);
        buffers.put_back(large);
        assert!(buffers.has_block(100_000));
        let again = buffers.take_block(100_000).unwrap();
        assert_eq!(buffers.capacity(&again), 256 << 10);
        buffers.put_back(again);
    }

    #[test]
    fn a_lent_buffer_is_not_taken_for_a_filled_one() {
        let mut buffers = small();
        let empty = buffers.filled_shared(1).unwrap();
        let lease = buffers.lend(empty, 0, 1);
        assert!(buffers.filled_shared(1).is_none() && buffers.filled_shared(2).is_none());
        let twin = buffers.retain(&lease);
        buffers.release(lease);
        assert_eq!(buffers.bytes(&twin), [0]);
        buffers.release(twin);
    }

    #[test]
    #[should_panic(expected = "not lent")]
    fn a_lease_of_another_driver_reads_nothing() {
        let (mut one, other) = (small(), small());
        let empty = one.take_shared().unwrap();
        let lease = one.lend(empty, 0, 4);
        other.bytes(&lease);
    }

    #[test]
    #[should_panic(expected = "not lent")]
    fn a_lease_of_another_driver_gives_nothing_back() {
        let (mut one, mut other) = (small(), small());
        let empty = one.take_shared().unwrap();
        let lease = one.lend(empty, 0, 4);
        other.release(lease);
    }
}
