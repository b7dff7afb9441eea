//! Begin and end: the entry point, the exit, and what a panic does.

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

// The kernel starts a program with the stack aligned to 16 bytes and no return address.
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "call {start}", "ud2", start = sym start);

extern "C" fn start() -> ! {
    exit(crate::run())
}

fn exit(status: u8) -> ! {
    // SAFETY: exit_group (231) takes the status and does not return.
    unsafe { asm!("syscall", in("rax") 231, in("rdi") u64::from(status), options(noreturn)) }
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    exit(PANICKED)
}

/// Named by the tables of the precompiled `core`, never called: this program does not unwind.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Named by the precompiled `core` and `alloc`, never called.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit(PANICKED)
}

const PANICKED: u8 = 101;
