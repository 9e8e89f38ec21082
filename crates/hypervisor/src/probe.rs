//! Does the host's hypervisor let hardware run the guest, or does it interpret every instruction?
//!
//! Some hosts (themselves virtual machines, as a rule) offer a hypervisor that works and is a thousand times too
//! slow to boot a kernel. No capability tells it apart, so the probe runs a short loop in a throw-away machine
//! and takes the time.

use std::time::{Duration, Instant};

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::{Entry, Error, Exit, Hypervisor, OpenError, Start, open, x86_64};

/// How often the loop of two instructions goes round.
const ITERATIONS: u32 = 4000;
/// The best of so many rounds counts: the host may have had something else to do in some.
const ROUNDS: u32 = 5;
/// An interpreter was seen at 1.4 million instructions a second, a processor that is itself emulated by a
/// translator at above a hundred million, hardware at thousands of millions.
const HARDWARE_INSTRUCTIONS_PER_SECOND: u64 = 15_000_000;

const MEMORY_SIZE: usize = 0x1_0000;
const TABLES: u64 = 0x2000;

/// What the probe measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Iterations of a loop of two instructions.
    pub iterations: u32,
    /// The best round's time, entry to and exit from the guest included.
    pub duration: Duration,
    /// What follows from the two.
    pub instructions_per_second: u64,
    pub verdict: Verdict,
}

/// What the speed means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Instructions are executed by hardware (or translated as fast as that matters).
    Executes,
    /// Each instruction is interpreted: a kernel would not come up in any useful time.
    Interprets,
}

impl Probe {
    fn of(duration: Duration) -> Self {
        let nanoseconds = duration.as_nanos().max(1);
        let instructions = u128::from(ITERATIONS) * 2;
        let per_second = u64::try_from(instructions * 1_000_000_000 / nanoseconds).unwrap_or(u64::MAX);
        let verdict = if per_second >= HARDWARE_INSTRUCTIONS_PER_SECOND {
            Verdict::Executes
        } else {
            Verdict::Interprets
        };
        Self {
            iterations: ITERATIONS,
            duration,
            instructions_per_second: per_second,
            verdict,
        }
    }
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Machine(#[from] Error),
    /// The loop ended in an unexpected way.
    #[error("the probe's loop ended in {0:?}")]
    Exit(Exit),
}

/// Opens the host's hypervisor and [measures](measure) it. Takes about 30 ms when it interprets, else less than
/// one.
pub fn probe() -> Result<Probe, ProbeError> {
    measure(open()?.as_ref())
}

/// Times the loop in a throw-away machine of `hypervisor`.
pub fn measure(hypervisor: &dyn Hypervisor) -> Result<Probe, ProbeError> {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_SIZE)])
        .map_err(|error| Error::Setup(error.to_string()))?;
    let start = prepare(&memory)?;
    let vm = hypervisor.create_vm()?;
    vm.map_memory(&memory)?;
    let mut vcpu = vm.create_vcpu(0)?;
    vm.seal()?;

    let mut best: Option<Probe> = None;
    for _ in 0..ROUNDS {
        vcpu.start(&start)?;
        let begin = Instant::now();
        let exit = vcpu.run(Entry::Resume);
        let found = Probe::of(begin.elapsed());
        if !matches!(exit, Exit::Halted | Exit::MmioWrite { .. }) {
            return Err(ProbeError::Exit(exit));
        }
        if best.is_none_or(|best| found.duration < best.duration) {
            best = Some(found);
        }
        if found.verdict == Verdict::Executes {
            break;
        }
    }
    best.ok_or(ProbeError::Exit(Exit::Interrupted))
}

/// Writes the loop and what it needs into guest memory.
fn prepare(memory: &GuestMemoryMmap) -> Result<Start, Error> {
    let code = machine_code();
    memory
        .write_slice(&code, GuestAddress(0))
        .map_err(|error| Error::Setup(error.to_string()))?;
    if cfg!(target_arch = "aarch64") {
        return Ok(Start::El1 {
            entry: 0,
            argument: 0,
        });
    }
    x86_64::write_long_mode_tables(memory, TABLES)?;
    Ok(Start::LongMode {
        entry: 0,
        argument: 0,
        tables: TABLES,
    })
}

fn machine_code() -> Vec<u8> {
    if cfg!(target_arch = "aarch64") {
        // A vCPU that left by the store at the end completes it first when it enters again, which skips one
        // instruction: a no-op.
        let words = [
            0xd503_201f,                   // nop
            0xd280_0001 | ITERATIONS << 5, // mov x1, #ITERATIONS
            0xf100_0421,                   // 1: subs x1, x1, #1
            0x54ff_ffe1,                   // b.ne 1b
            0xd2a2_0002,                   // mov x2, #0x1000_0000, outside of memory
            0xb900_0041,                   // str w1, [x2]
        ];
        words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
    } else {
        let mut code = vec![0xb9]; // mov ecx, ITERATIONS
        code.extend(ITERATIONS.to_le_bytes());
        code.extend([0xff, 0xc9]); // 1: dec ecx
        code.extend([0x75, 0xfc]); // jnz 1b
        code.push(0xf4); // hlt
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_at_the_speed_of_an_interpreter_is_told_apart_from_hardware() {
        let interpreted = Probe::of(Duration::from_micros(5700));
        assert_eq!(interpreted.verdict, Verdict::Interprets);
        assert_eq!(interpreted.instructions_per_second, 1_403_508);
        assert_eq!(Probe::of(Duration::from_micros(4)).verdict, Verdict::Executes);
        assert_eq!(Probe::of(Duration::ZERO).verdict, Verdict::Executes);
    }

    #[test]
    fn the_loop_runs_to_its_end_on_this_hosts_hypervisor() {
        let Ok(hypervisor) = open() else { return };
        let probe = measure(hypervisor.as_ref()).unwrap();
        assert_eq!(probe.iterations, ITERATIONS);
        assert!(probe.instructions_per_second > 0);
    }
}
