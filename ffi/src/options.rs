//! Structs that can grow: their first field is their size as the caller's header had it.

use clustercore::{Code, Error, Result};

/// A struct of options as C fills it in.
///
/// # Safety
/// `#[repr(C)]`, the first field is `struct_size: usize`, and all bytes zero are a valid value.
pub(crate) unsafe trait Options: Copy {
    /// Its name in C.
    const NAME: &'static str;
    /// The sizes that it has had, the newest last. Fields are only appended, so that what an older caller's
    /// struct lacks is zero, which means the default.
    const SIZES: &'static [usize] = &[size_of::<Self>()];

    /// Everything zero.
    fn zeroed() -> Self {
        // SAFETY: zero bytes are a valid value, per the trait's contract.
        unsafe { std::mem::zeroed() }
    }
}

/// Reads the caller's options; NULL stands for all defaults.
///
/// Errors: `UnknownStructSize`.
///
/// # Safety
/// `options` is NULL or points to as many readable bytes as its first field says, at least to that field.
pub(crate) unsafe fn read<T: Options>(options: *const T) -> Result<T> {
    let mut copy = T::zeroed();
    if options.is_null() {
        return Ok(copy);
    }
    // SAFETY: the first field is there, per the contract.
    let size = unsafe { options.cast::<usize>().read() };
    check_size::<T>(size)?;
    // SAFETY: `size` bytes are readable, and they fit since every known size is at most the newest.
    unsafe { std::ptr::copy_nonoverlapping(options.cast::<u8>(), (&raw mut copy).cast::<u8>(), size) };
    Ok(copy)
}

/// Writes `values` into the caller's struct, as much of it as that has.
///
/// Errors: `NullArgument`, `UnknownStructSize`.
///
/// # Safety
/// `options` is NULL or has room for `size` bytes.
pub(crate) unsafe fn write<T: Options>(options: *mut T, size: usize, values: T) -> Result<()> {
    if options.is_null() {
        return Err(crate::status::null("options"));
    }
    check_size::<T>(size)?;
    // SAFETY: `size` bytes have room, and `values` has as many since every known size is at most the newest.
    unsafe { std::ptr::copy_nonoverlapping((&raw const values).cast::<u8>(), options.cast::<u8>(), size) };
    // SAFETY: the first field has room.
    unsafe { options.cast::<usize>().write(size) };
    Ok(())
}

fn check_size<T: Options>(size: usize) -> Result<()> {
    if T::SIZES.contains(&size) {
        return Ok(());
    }
    let text = format!("the struct_size of {} is {size}; this library knows {:?}", T::NAME, T::SIZES);
    Err(Error::new(Code::UnknownStructSize, text))
}

/// A setting where 0 means the default.
pub(crate) fn or<T: Default + PartialEq>(value: T, default: T) -> T {
    if value == T::default() { default } else { value }
}

/// A bound where 0 means the default and `CLC_NONE` means 0.
pub(crate) fn bound(value: u32, default: usize) -> usize {
    match value {
        0 => default,
        CLC_NONE => 0,
        value => value as usize,
    }
}

/// A setting of a fixed set.
///
/// Errors: `InvalidArgument`.
pub(crate) fn one_of<T: Copy>(name: &str, value: u32, choices: &[T]) -> Result<T> {
    choices.get(value as usize).copied().ok_or_else(|| {
        let last = choices.len() - 1;
        Error::new(Code::InvalidArgument, format!("{name} is {value}; it must be 0 to {last}"))
    })
}

/// In a bound whose 0 means the default: really none.
pub const CLC_NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    struct Sample {
        struct_size: usize,
        old: u64,
        new: u64,
    }

    // SAFETY: C layout, the size first, integers only.
    unsafe impl Options for Sample {
        const NAME: &'static str = "sample";
        const SIZES: &'static [usize] = &[16, 24];
    }

    #[test]
    fn an_older_callers_struct_is_read_as_far_as_it_goes() {
        let older = Sample { struct_size: 16, old: 5, new: 9 };
        // SAFETY: all bytes are there.
        let read = unsafe { read(&older) }.unwrap();
        assert_eq!((read.old, read.new), (5, 0));
    }

    #[test]
    fn an_older_callers_struct_is_written_as_far_as_it_goes() {
        let mut older = Sample { struct_size: 0, old: 0, new: 9 };
        // SAFETY: there is room for more than that.
        unsafe { write(&mut older, 16, Sample { struct_size: 0, old: 5, new: 7 }) }.unwrap();
        assert_eq!((older.struct_size, older.old, older.new), (16, 5, 9));
    }

    #[test]
    fn an_unknown_size_is_refused() {
        for struct_size in [0, 8, 20, 25, usize::MAX] {
            let sample = Sample { struct_size, old: 1, new: 2 };
            // SAFETY: the first field is there, and nothing else is read.
            let error = unsafe { read(&sample) }.unwrap_err();
            assert_eq!(error.code(), Code::UnknownStructSize);
            assert!(error.to_string().ends_with("this library knows [16, 24]"), "{error}");
        }
    }

    #[test]
    fn zero_is_the_default_and_none_is_zero() {
        assert_eq!((bound(0, 5), bound(CLC_NONE, 5), bound(7, 5)), (5, 0, 7));
        assert_eq!((or(0u64, 5), or(7u64, 5)), (5, 7));
        assert!(one_of("mode", 2, &[(), ()]).unwrap_err().to_string().ends_with("it must be 0 to 1"));
    }
}
