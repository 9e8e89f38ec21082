//! A few instructions of machine code on the real /dev/kvm, where the machine that tests has one.

#![cfg(target_arch = "x86_64")]

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::{Entry, Exit, InterruptController, InterruptControllerLayout, Start, Vcpu, Vm, open, x86_64};

const CODE: u64 = 0x1000;
const TABLES: u64 = 0x4000;

struct Machine {
    vm: Arc<dyn Vm>,
    memory: GuestMemoryMmap,
}

impl Machine {
    /// `None` where there is no hypervisor.
    fn with_code(code: &[u8]) -> Option<Self> {
        let hypervisor = open().ok()?;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
        memory.write_slice(code, GuestAddress(CODE)).unwrap();
        x86_64::write_long_mode_tables(&memory, TABLES).unwrap();
        let vm = hypervisor.create_vm().unwrap();
        vm.map_memory(&memory).unwrap();
        Some(Self { vm, memory })
    }

    fn vcpu(&self) -> Box<dyn Vcpu> {
        let mut vcpu = self.vm.create_vcpu(0).unwrap();
        self.vm.seal().unwrap();
        vcpu.start(&Start::LongMode {
            entry: CODE,
            argument: 0x1234,
            tables: TABLES,
        })
        .unwrap();
        vcpu
    }
}

#[test]
fn port_accesses_carry_their_size_and_value_both_ways() {
    // mov dx, 0x3f8; in eax, dx; out 0x42, al; mov dx, 0xcf8; out dx, eax; hlt
    let code = [
        0x66, 0xba, 0xf8, 0x03, 0xed, 0xe6, 0x42, 0x66, 0xba, 0xf8, 0x0c, 0xef, 0xf4,
    ];
    let Some(machine) = Machine::with_code(&code) else {
        return;
    };
    let mut vcpu = machine.vcpu();
    assert_eq!(vcpu.run(Entry::Resume), Exit::IoRead { port: 0x3f8, size: 4 });
    assert_eq!(
        vcpu.run(Entry::Value(0x8765_4321)),
        Exit::IoWrite {
            port: 0x42,
            size: 1,
            value: 0x21
        }
    );
    assert_eq!(
        vcpu.run(Entry::Resume),
        Exit::IoWrite {
            port: 0xcf8,
            size: 4,
            value: 0x8765_4321
        }
    );
    assert_eq!(vcpu.run(Entry::Resume), Exit::Halted);
}

#[test]
fn a_string_of_port_writes_comes_element_by_element() {
    // mov esi, CODE+0x100; mov ecx, 3; mov dx, 0x10; rep outsw; hlt
    let mut code = vec![
        0xbe, 0x00, 0x11, 0, 0, 0xb9, 3, 0, 0, 0, 0x66, 0xba, 0x10, 0, 0xf3, 0x66, 0x6f, 0xf4,
    ];
    code.resize(0x100, 0);
    code.extend([1, 2, 3, 4, 5, 6]);
    let Some(machine) = Machine::with_code(&code) else {
        return;
    };
    let mut vcpu = machine.vcpu();
    for value in [0x0201, 0x0403, 0x0605] {
        assert_eq!(
            vcpu.run(Entry::Resume),
            Exit::IoWrite {
                port: 0x10,
                size: 2,
                value
            }
        );
    }
    assert_eq!(vcpu.run(Entry::Resume), Exit::Halted);
}

#[test]
fn a_string_of_port_reads_is_answered_element_by_element() {
    // mov edi, CODE+0x100; mov ecx, 3; mov dx, 0x10; rep insw; hlt
    let code = [
        0xbf, 0x00, 0x11, 0, 0, 0xb9, 3, 0, 0, 0, 0x66, 0xba, 0x10, 0, 0xf3, 0x66, 0x6d, 0xf4,
    ];
    let Some(machine) = Machine::with_code(&code) else {
        return;
    };
    let mut vcpu = machine.vcpu();
    let mut exit = vcpu.run(Entry::Resume);
    let mut value = 0x0101;
    while exit == (Exit::IoRead { port: 0x10, size: 2 }) {
        exit = vcpu.run(Entry::Value(value));
        value += 0x0101;
    }
    assert_eq!(exit, Exit::Halted);
    let mut found = [0; 6];
    machine
        .memory
        .read_slice(&mut found, GuestAddress(CODE + 0x100))
        .unwrap();
    assert_eq!(found, [1, 1, 2, 2, 3, 3]);
}

#[test]
fn accesses_outside_of_memory_are_mmio() {
    // mov ebx, 0x20000000; mov rax, [rbx]; mov [rbx+8], ax; mov [rbx+16], rsi; hlt
    let code = [
        0xbb, 0, 0, 0, 0x20, 0x48, 0x8b, 0x03, 0x66, 0x89, 0x43, 0x08, 0x48, 0x89, 0x73, 0x10, 0xf4,
    ];
    let Some(machine) = Machine::with_code(&code) else {
        return;
    };
    let mut vcpu = machine.vcpu();
    assert_eq!(
        vcpu.run(Entry::Resume),
        Exit::MmioRead {
            address: 0x2000_0000,
            size: 8
        }
    );
    let value = 0x1122_3344_5566_7788;
    let write = Exit::MmioWrite {
        address: 0x2000_0008,
        size: 2,
        value: 0x7788,
    };
    assert_eq!(vcpu.run(Entry::Value(value)), write);
    let write = Exit::MmioWrite {
        address: 0x2000_0010,
        size: 8,
        value: 0x1234,
    };
    assert_eq!(vcpu.run(Entry::Resume), write);
    assert_eq!(vcpu.run(Entry::Resume), Exit::Halted);
}

#[test]
fn a_triple_fault_is_a_reset() {
    // ud2, with no interrupt descriptor table
    let Some(machine) = Machine::with_code(&[0x0f, 0x0b]) else {
        return;
    };
    assert_eq!(machine.vcpu().run(Entry::Resume), Exit::Reset);
}

#[test]
fn a_kick_before_the_run_is_not_lost_and_counts_once() {
    let Some(machine) = Machine::with_code(&[0xf4]) else {
        return;
    };
    let mut vcpu = machine.vcpu();
    let kicker = vcpu.kicker();
    kicker.kick();
    kicker.kick();
    assert_eq!(vcpu.run(Entry::Resume), Exit::Interrupted);
    assert_eq!(vcpu.run(Entry::Resume), Exit::Halted);
}

#[test]
fn a_kick_ends_a_guest_that_never_leaves_by_itself() {
    // jmp $
    let Some(machine) = Machine::with_code(&[0xeb, 0xfe]) else {
        return;
    };
    let (send, receive) = mpsc::channel();
    let vm = machine.vm.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let runner = thread::spawn(move || {
        let mut vcpu = vm.create_vcpu(0).unwrap();
        vm.seal().unwrap();
        vcpu.start(&Start::LongMode {
            entry: CODE,
            argument: 0,
            tables: TABLES,
        })
        .unwrap();
        send.send(vcpu.kicker()).unwrap();
        while !stopped.load(Ordering::SeqCst) {
            assert_eq!(vcpu.run(Entry::Resume), Exit::Interrupted);
        }
    });
    let kicker = receive.recv().unwrap();
    stop.store(true, Ordering::SeqCst);
    kicker.kick();
    runner.join().unwrap();
    kicker.kick();
}

#[test]
fn a_doorbell_rings_without_an_exit_and_only_for_its_value() {
    // mov ebx, 0x20000000; mov dword [rbx], 1; mov dword [rbx], 2; hlt
    let code = [
        0xbb, 0, 0, 0, 0x20, 0xc7, 0x03, 1, 0, 0, 0, 0xc7, 0x03, 2, 0, 0, 0, 0xf4,
    ];
    let Some(machine) = Machine::with_code(&code) else {
        return;
    };
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).unwrap();
    assert!(machine.vm.doorbell(0x2000_0000, 1, event.as_fd()).unwrap());
    let mut vcpu = machine.vcpu();
    let other = Exit::MmioWrite {
        address: 0x2000_0000,
        size: 4,
        value: 2,
    };
    assert_eq!(vcpu.run(Entry::Resume), other);
    let mut rings = [0; 8];
    rustix::io::read(&event, &mut rings).unwrap();
    assert_eq!(u64::from_ne_bytes(rings), 1);
    assert_eq!(vcpu.run(Entry::Resume), Exit::Halted);
}

#[test]
fn with_an_interrupt_controller_a_line_wakes_a_halted_vcpu() {
    // One interrupt through the first 8259: vector 0x20 is pin 0 after its set-up; pin 5 is vector 0x25.
    // The descriptor table at CODE+0x200 has one entry that matters.
    #[rustfmt::skip]
    let mut code = vec![
        0xb0, 0x11, 0xe6, 0x20,             // 8259: ICW1
        0xb0, 0x20, 0xe6, 0x21,             // ICW2: vectors from 0x20
        0xb0, 0x04, 0xe6, 0x21,             // ICW3
        0xb0, 0x01, 0xe6, 0x21,             // ICW4
        0xb0, 0xdf, 0xe6, 0x21,             // mask all but pin 5
        0xbc, 0x00, 0xf0, 0, 0,             // mov esp, 0xf000
        0x0f, 0x01, 0x1c, 0x25, 0x00, 0x11, 0, 0, // lidt [CODE+0x100]
        0xe6, 0x80,                         // out 0x80, al: ready
        0xfb,                               // sti
        0xf4,                               // 1: hlt
        0xeb, 0xfd,                         // jmp 1b
    ];
    code.resize(0x80, 0x90);
    code.extend([0xe6, 0x81, 0xf4]); // the handler: out 0x81, al; hlt
    code.resize(0x100, 0);
    code.extend(0x2ffu16.to_le_bytes());
    code.extend((CODE + 0x200).to_le_bytes());
    code.resize(0x200 + 0x25 * 16, 0);
    let handler = CODE + 0x80;
    code.extend([
        handler as u8,
        (handler >> 8) as u8,
        0x10,
        0,
        0,
        0x8e,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    let Some(machine) = Machine::with_code(&code) else {
        return;
    };

    let layout = InterruptControllerLayout {
        vcpus: 1,
        distributor: 0,
        redistributors: 0,
    };
    let kind = machine.vm.create_interrupt_controller(&layout).unwrap();
    assert_eq!(kind, InterruptController::IoApic);
    let line = machine.vm.interrupt_line(5).unwrap();
    let mut vcpu = machine.vcpu();
    assert!(matches!(
        vcpu.run(Entry::Resume),
        Exit::IoWrite { port: 0x80, .. }
    ));
    line.pulse();
    assert!(matches!(
        vcpu.run(Entry::Resume),
        Exit::IoWrite { port: 0x81, .. }
    ));
}
