//! The memory that received bytes lie in, and the counted references to it.
//!
//! Three kinds of buffer. **Shared** ones are few and equal, in one region: the kernel picks one per completion; they serve
//! heads and idle connections. **Train** buffers are the same for datagrams, each with room for the longest train; their memory is
//! taken with the first datagram socket. **Blocks** belong to one receive of one stream and come in four
//! sizes; together they stay within a budget, beyond which only the smallest size is handed out, so that a stream
//! always makes progress and memory stays bounded by `block_bytes_max + streams_max * 4 KiB`. Small datagrams that are kept for
//! long move into a block that they share, so that none of them holds a whole train buffer.
//!
//! Only drivers take, fill and give back buffers; others read the figures and the bytes of leases. So no safe code outside can take memory
//! away that the kernel writes to.
//!
//! Invariant: a buffer is either idle, or in the kernel's hands, or lent (count of leases > 0); bytes are read only
//! through leases and written only while it is not lent.

use crate::sys::memory::Region;
use crate::sys::message::PICKED_HEAD_BYTES;
use crate::sys::pool::Pool;

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
    /// Number of a shared buffer or of a train buffer, among its like: the kernel's buffer id.
    pub fn number(&self) -> u16 {
        (self.buffer & !TRAIN) as u16
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
    shared: Pool,
    trains: Option<Pool>,
    blocks: Vec<Option<Block>>,
    blocks_idle: [Vec<u32>; SIZES.len()],
    blocks_free: Vec<u32>,
    block_bytes: usize,
    /// The block that kept datagrams are packed into, and its bytes that are used. Leases on it cover used bytes only.
    keeping: Option<(Empty, usize)>,
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
            shared: Pool::new(config.shared_count, config.shared_size as usize)?,
            trains: None,
            blocks: Vec::new(),
            blocks_idle: Default::default(),
            blocks_free: Vec::new(),
            block_bytes: 0,
            keeping: None,
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

    /// The bytes of a lease, to be changed; `None` when there is another lease of its buffer, or when it is another driver's.
    pub(crate) fn lease_bytes_mut(&mut self, lease: &mut Lease) -> Option<&mut [u8]> {
        let is_within = lease.offset as usize + lease.len as usize <= self.size(lease.buffer);
        let (region, base, leases) = self.place(lease.buffer);
        if leases != 1 || !is_within {
            return None;
        }
        // SAFETY: the buffer is lent, so the kernel does not write to it; this is its only lease, and it is borrowed mutably like `self`, so
        // nobody reads it meanwhile.
        Some(unsafe { region.slice_mut(base + lease.offset as usize, lease.len as usize) })
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
        if !last {
            return;
        }
        match &mut self.keeping {
            Some((block, used)) if block.buffer == lease.buffer => *used = 0,
            _ => self.put_back(Empty { buffer: lease.buffer }),
        }
    }

    /// The same bytes for a long time: a short lease of a train buffer (up to 2 KiB) is exchanged for one of a copy, so that the train
    /// buffer is free for the next train. Others, and those for which the budget of blocks has no room, are returned as they are.
    pub(crate) fn keep(&mut self, lease: Lease) -> Lease {
        let len = lease.len();
        if lease.buffer & TRAIN == 0 || len > KEEP_BYTES_MAX {
            return lease;
        }
        let room = self.keeping.as_ref().map_or(0, |(block, used)| self.capacity(block) - used);
        if room < len && !self.keep_in_new_block() {
            return lease;
        }
        let Some((block, used)) = &mut self.keeping else { return lease };
        let (buffer, offset) = (block.buffer, *used);
        *used += len;
        let source = self.pointer(&lease);
        let (region, base, _) = self.place(buffer);
        let target = region.pointer(base + offset, len);
        // SAFETY: the source is lent, so nobody writes to it; the target is a part of the block that no lease covers and that is handed
        // out here for the first time since the block was empty.
        unsafe { std::ptr::copy_nonoverlapping(source, target, len) };
        *self.leases_mut(buffer) += 1;
        self.lent += 1;
        self.release(lease);
        Lease { buffer, offset: offset as u32, len: len as u32 }
    }

    /// Begins a block for kept datagrams. The one before is a block like others: idle with its last lease.
    fn keep_in_new_block(&mut self) -> bool {
        if !self.has_block(KEEP_BLOCK_BYTES) {
            return false;
        }
        let Ok(block) = self.take_block(KEEP_BLOCK_BYTES) else { return false };
        if let Some((full, _)) = self.keeping.replace((block, 0))
            && *self.leases_mut(full.buffer) == 0
        {
            self.put_back(full);
        }
        true
    }

    /// Takes an idle shared buffer, if there is one.
    pub(crate) fn take_shared(&mut self) -> Option<Empty> {
        self.shared.take().map(|buffer| Empty { buffer })
    }

    /// Shared buffers that are idle.
    pub fn shared_idle(&self) -> usize {
        self.shared.idle()
    }

    /// The shared buffer of that number, which the kernel has just filled. `None` for a number out of range or a buffer that is lent.
    pub(crate) fn filled_shared(&self, number: u16) -> Option<Empty> {
        let buffer = u32::from(number);
        if self.shared.leases(buffer)? == 0 { Some(Empty { buffer }) } else { None }
    }

    /// Takes the memory of `count` train buffers, unless there are some. Errors: `ENOMEM`, or `EINVAL` for a count that is no power of
    /// two.
    pub(crate) fn set_up_trains(&mut self, count: u16) -> std::io::Result<()> {
        if !count.is_power_of_two() || count > 32768 {
            return Err(std::io::Error::from_raw_os_error(libc::EINVAL));
        }
        if self.trains.is_none() {
            self.trains = Some(Pool::new(count, TRAIN_BUFFER_BYTES)?);
        }
        Ok(())
    }

    /// Takes an idle train buffer, if there is one.
    pub(crate) fn take_train(&mut self) -> Option<Empty> {
        self.trains.as_mut()?.take().map(|number| Empty { buffer: TRAIN | number })
    }

    /// Train buffers that are idle.
    pub fn trains_idle(&self) -> usize {
        self.trains.as_ref().map_or(0, Pool::idle)
    }

    /// The train buffer of that number, which the kernel has just filled. `None` as with `filled_shared`.
    pub(crate) fn filled_train(&self, number: u16) -> Option<Empty> {
        let number = u32::from(number);
        if self.trains.as_ref()?.leases(number)? == 0 { Some(Empty { buffer: TRAIN | number }) } else { None }
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
        let slot = match self.kind(empty.buffer) {
            Kind::Shared(number) => return self.shared.put_back(number),
            Kind::Train(number) => {
                if let Some(trains) = &mut self.trains {
                    trains.put_back(number);
                }
                return;
            }
            Kind::Block(slot) => slot,
        };
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
        Ok(Empty { buffer: (usize::from(self.config.shared_count) + slot) as u32 })
    }

    fn kind(&self, buffer: u32) -> Kind {
        if buffer & TRAIN != 0 {
            return Kind::Train(buffer & !TRAIN);
        }
        match (buffer as usize).checked_sub(usize::from(self.config.shared_count)) {
            None => Kind::Shared(buffer),
            Some(slot) => Kind::Block(slot),
        }
    }

    fn size(&self, buffer: u32) -> usize {
        match self.kind(buffer) {
            Kind::Shared(_) => self.shared.size(),
            Kind::Train(_) => TRAIN_BUFFER_BYTES,
            Kind::Block(slot) => self.blocks[slot].as_ref().map_or(0, |block| block.size as usize),
        }
    }

    fn place(&self, buffer: u32) -> (&Region, usize, u32) {
        match self.kind(buffer) {
            Kind::Shared(number) => self.shared.place(number),
            Kind::Train(number) => self.trains.as_ref().expect(KEPT).place(number),
            Kind::Block(slot) => {
                let block = self.blocks.get(slot).and_then(Option::as_ref).expect(KEPT);
                (&block.memory, 0, block.leases)
            }
        }
    }

    fn leases_mut(&mut self, buffer: u32) -> &mut u32 {
        match self.kind(buffer) {
            Kind::Shared(number) => self.shared.leases_mut(number),
            Kind::Train(number) => self.trains.as_mut().expect(KEPT).leases_mut(number),
            Kind::Block(slot) => {
                let block = self.blocks.get_mut(slot).and_then(Option::as_mut).expect(KEPT);
                &mut block.leases
            }
        }
    }
}

/// Which buffer a number means.
enum Kind {
    Shared(u32),
    Train(u32),
    Block(usize),
}

/// Marks the numbers of train buffers.
const TRAIN: u32 = 1 << 31;
/// Room for the longest datagram and for what the kernel writes before it. Not a power of two, so that the heads do not share
/// their places in the caches.
const TRAIN_BUFFER_BYTES: usize = (64 << 10) + PICKED_HEAD_BYTES;
/// Datagrams up to this size are copied when they are kept.
const KEEP_BYTES_MAX: usize = 2048;
const KEEP_BLOCK_BYTES: usize = 16 << 10;
const KEPT: &str = "a lease or an empty buffer keeps its memory";
/// Sizes of blocks in bytes.
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

#[cfg(test)]
mod tests;
