//! Getting a vCPU's thread out of KVM_RUN.
//!
//! `kvm_run.immediate_exit` makes the next KVM_RUN return EINTR before it enters the guest; a signal makes the
//! current one return EINTR. A kick does both, in this order, so there is no moment at which it can be missed.

#![allow(
    unsafe_code,
    reason = "signals a thread, and shares a byte of the run page with the kernel and other threads"
)]

use std::io;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use kvm_bindings::kvm_run;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

use crate::Kick;

/// Makes the kicks' signal harmless to the process: its handler does nothing, KVM_RUN returns all the same.
pub(super) fn install_signal_handler() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
    Ok(register_signal_handler(SIGRTMIN(), nothing)?)
}

/// A vCPU as those see it that want to interrupt it.
pub(super) struct Kicker {
    target: Mutex<Option<Target>>,
}

struct Target {
    thread: libc::pid_t,
    /// Used for atomic access alone, under the mutex, which the vCPU takes to withdraw it before its mapping goes.
    immediate_exit: AtomicPtr<u8>,
}

impl Kicker {
    /// For the vCPU with this run page, on the calling thread. The vCPU calls [`Kicker::withdraw`] before it
    /// unmaps the page.
    pub(super) fn new(run: &mut kvm_run) -> Self {
        // SAFETY: gettid takes nothing and cannot fail.
        let thread = unsafe { libc::gettid() };
        Self {
            target: Mutex::new(Some(Target {
                thread,
                immediate_exit: AtomicPtr::new(&raw mut run.immediate_exit),
            })),
        }
    }

    /// Takes back the kicks that were seen.
    pub(super) fn clear(&self) {
        if let Some(target) = self
            .target
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
        {
            target.set_immediate_exit(0);
        }
    }

    /// From here on kicks have no effect.
    pub(super) fn withdraw(&self) {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Target {
    #[allow(
        unsafe_code,
        reason = "shares a byte of the vCPU's run page with the kernel and other threads"
    )]
    fn set_immediate_exit(&self, value: u8) {
        // SAFETY: the byte is in the vCPU's run page, which stays mapped until `withdraw` (the caller holds the
        // mutex). This process touches the byte here alone, atomically.
        unsafe { AtomicU8::from_ptr(self.immediate_exit.load(Ordering::Relaxed)) }
            .store(value, Ordering::SeqCst);
    }
}

impl Kick for Kicker {
    fn kick(&self) {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(target) = target.as_ref() else { return };
        target.set_immediate_exit(1);
        // SAFETY: sends a signal, which has a handler, to a thread of this process; a thread that is gone makes
        // it fail without effect.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), target.thread, SIGRTMIN()) };
    }
}
