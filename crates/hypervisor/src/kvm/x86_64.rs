//! x86_64: CPUID, model-specific registers, local APIC, and the registers that a 64-bit kernel begins with.

#[path = "x86_64_cpuid.rs"]
mod cpuid;

use kvm_bindings::{
    KVM_PIT_SPEAKER_DUMMY, Msrs, kvm_fpu, kvm_lapic_state, kvm_msr_entry, kvm_pit_config, kvm_regs,
    kvm_segment,
};
use kvm_ioctls::{Cap, DeviceFd, VcpuFd, VmFd};

use crate::x86_64::{GDT, gdt_address};
use crate::{Error, InterruptController, InterruptControllerLayout, Start};

pub(super) const REQUIRED: [(Cap, &str); 5] = [
    (Cap::Irqchip, "an interrupt controller (KVM_CAP_IRQCHIP)"),
    (Cap::Pit2, "a timer (KVM_CAP_PIT2)"),
    (Cap::SetTssAddr, "KVM_CAP_SET_TSS_ADDR"),
    (Cap::SetIdentityMapAddr, "KVM_CAP_SET_IDENTITY_MAP_ADDR"),
    (Cap::ExtCpuid, "CPUID filters (KVM_CAP_EXT_CPUID)"),
];

/// Four pages that Intel processors without "unrestricted guest" need, below the firmware's place at the end of
/// the first 4 GiB, where no guest looks.
const IDENTITY_MAP: u64 = 0xfffb_c000;
const TASK_STATE: usize = 0xfffb_d000;

pub(super) fn initialize_vm(vm: &VmFd) -> Result<(), Error> {
    vm.set_identity_map_address(IDENTITY_MAP)
        .map_err(Error::host("place the identity map"))?;
    vm.set_tss_address(TASK_STATE)
        .map_err(Error::host("place the task state"))
}

/// Local APICs, an IOAPIC and the two 8259s, all in the kernel; the PIT for kernels that calibrate by it.
pub(super) fn create_interrupt_controller(
    vm: &VmFd,
    _: &InterruptControllerLayout,
) -> Result<(InterruptController, Option<DeviceFd>), Error> {
    vm.create_irq_chip()
        .map_err(Error::host("create the interrupt controller"))?;
    // Its port 0x61 too: a read of it must not cost an exit.
    let config = kvm_pit_config {
        flags: KVM_PIT_SPEAKER_DUMMY,
        ..Default::default()
    };
    vm.create_pit2(config).map_err(Error::host("create the timer"))?;
    Ok((InterruptController::IoApic, None))
}

pub(super) fn seal_interrupt_controller(_: Option<&DeviceFd>) -> Result<(), Error> {
    Ok(())
}

pub(super) fn initialize_vcpu(vm: &VmFd, vcpu: &VcpuFd, index: u32) -> Result<(), Error> {
    let cpuid = cpuid::for_vcpu(vm, index)?;
    vcpu.set_cpuid2(&cpuid).map_err(Error::host("set CPUID"))?;
    set_msrs(vcpu)?;
    let fpu = kvm_fpu {
        fcw: 0x37f,
        mxcsr: 0x1f80,
        ..Default::default()
    };
    vcpu.set_fpu(&fpu)
        .map_err(Error::host("set the floating-point unit"))?;
    // Without an interrupt controller there is no local APIC.
    match vcpu.get_lapic() {
        Ok(lapic) => wire_local_apic(vcpu, lapic),
        Err(_) => Ok(()),
    }
}

/// As firmware leaves them: string instructions in their fast form, memory write-back wherever no page table
/// says otherwise (SDM volume 3, 12.11.2.1).
fn set_msrs(vcpu: &VcpuFd) -> Result<(), Error> {
    const MISC_ENABLE: u32 = 0x1a0;
    const MISC_ENABLE_FAST_STRING: u64 = 1;
    const MTRR_DEF_TYPE: u32 = 0x2ff;
    const MTRR_ENABLED_WRITE_BACK: u64 = 1 << 11 | 6;
    let entry = |index, data| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    };
    let msrs = Msrs::from_entries(&[
        entry(MISC_ENABLE, MISC_ENABLE_FAST_STRING),
        entry(MTRR_DEF_TYPE, MTRR_ENABLED_WRITE_BACK),
    ])
    .map_err(|error| Error::Setup(format!("{error:?}")))?;
    match vcpu
        .set_msrs(&msrs)
        .map_err(Error::host("set model-specific registers"))?
    {
        2 => Ok(()),
        _ => Err(Error::Unsupported(
            "the model-specific registers that every 64-bit processor has",
        )),
    }
}

/// The 8259s' interrupts arrive at LINT0, NMIs at LINT1 (SDM volume 3, 11.5.1).
fn wire_local_apic(vcpu: &VcpuFd, mut lapic: kvm_lapic_state) -> Result<(), Error> {
    const DELIVERY_MODE: u32 = 0x700;
    for (offset, mode) in [(0x350, 0x700), (0x360, 0x400)] {
        let Some(bytes) = lapic.regs.get_mut(offset..offset + 4) else {
            continue;
        };
        let mut value = bytes
            .iter()
            .rev()
            .fold(0u32, |value, byte| value << 8 | u32::from(byte.cast_unsigned()));
        value = value & !DELIVERY_MODE | mode;
        for (to, from) in bytes.iter_mut().zip(value.to_le_bytes()) {
            *to = from.cast_signed();
        }
    }
    vcpu.set_lapic(&lapic).map_err(Error::host("set the local APIC"))
}

pub(super) fn start_vcpu(vcpu: &VcpuFd, start: &Start) -> Result<(), Error> {
    match *start {
        // KVM itself holds every vCPU but the first until INIT and SIPI.
        Start::Parked => Ok(()),
        Start::El1 { .. } => Err(Error::Setup("EL1 on an x86_64 processor".into())),
        Start::LongMode {
            entry,
            argument,
            tables,
        } => {
            set_long_mode(vcpu, tables)?;
            let registers = kvm_regs {
                rip: entry,
                rsi: argument,
                rflags: 0b10,
                ..Default::default()
            };
            vcpu.set_regs(&registers)
                .map_err(Error::host("set the registers"))
        }
    }
}

/// Control and segment registers (SDM volume 3, 10.8.5; the kernel's Documentation/arch/x86/boot.rst, "64-bit
/// boot protocol").
fn set_long_mode(vcpu: &VcpuFd, tables: u64) -> Result<(), Error> {
    const CR0_PE_ET_PG: u64 = 1 | 1 << 4 | 1 << 31;
    const CR4_PAE: u64 = 1 << 5;
    const EFER_LME_LMA: u64 = 1 << 8 | 1 << 10;
    const CODE: u16 = 0x10;
    const DATA: u16 = 0x18;
    let mut special = vcpu.get_sregs().map_err(Error::host("get the registers"))?;
    let data = segment(GDT[3], DATA);
    special.cs = segment(GDT[2], CODE);
    special.ds = data;
    special.es = data;
    special.fs = data;
    special.gs = data;
    special.ss = data;
    special.gdt.base = gdt_address(tables);
    special.gdt.limit = (size_of_val(&GDT) - 1) as u16;
    special.cr0 = CR0_PE_ET_PG;
    special.cr3 = tables;
    special.cr4 = CR4_PAE;
    special.efer = EFER_LME_LMA;
    vcpu.set_sregs(&special).map_err(Error::host("set the registers"))
}

/// A flat segment as the processor holds it once it has loaded `descriptor`.
fn segment(descriptor: u64, selector: u16) -> kvm_segment {
    let bits = |from: u32, count: u32| (descriptor >> from & ((1 << count) - 1)) as u8;
    kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_: bits(40, 4),
        s: bits(44, 1),
        dpl: bits(45, 2),
        present: bits(47, 1),
        avl: bits(52, 1),
        l: bits(53, 1),
        db: bits(54, 1),
        g: bits(55, 1),
        ..Default::default()
    }
}

/// For messages.
pub(super) fn program_counter(vcpu: &VcpuFd) -> String {
    vcpu.get_regs().map_or_else(
        |_| "an unknown place".into(),
        |registers| format!("{:#x}", registers.rip),
    )
}
