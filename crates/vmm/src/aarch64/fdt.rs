//! The flattened device tree (Devicetree Specification 0.4, chapter 5): all that an aarch64 kernel knows of its
//! machine. Bindings: the kernel's Documentation/devicetree/bindings.

use hypervisor::InterruptController;
use hypervisor::aarch64::{GIC_CPU_INTERFACE_SIZE, GIC_DISTRIBUTOR_SIZE, GIC_REDISTRIBUTOR_SIZE, affinity};
use vm_fdt::{Error, FdtWriter};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};

use super::{CLOCK, GIC_DISTRIBUTOR, GIC_REDISTRIBUTORS, SERIAL};
use crate::boot::BootInput;
use crate::bus::virtio_mmio::WINDOW;

const GIC: u32 = 1;
const APB_CLOCK: u32 = 2;

/// Interrupt specifiers (bindings/interrupt-controller/arm,gic-v3.yaml).
const SHARED: u32 = 0;
const PRIVATE: u32 = 1;
const RISING_EDGE: u32 = 1;
const LEVEL_HIGH: u32 = 4;

/// The private timer interrupts: secure, non-secure, virtual, hypervisor.
const TIMERS: [u32; 4] = [13, 14, 11, 10];

/// `initramfs` and `initramfs_end` are guest-physical.
pub(super) fn build(input: &BootInput<'_>, initramfs: u64, initramfs_end: u64) -> Result<Vec<u8>, Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_string("compatible", "linux,dummy-virt")?;
    tree.property_string("model", "sampan")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    tree.property_u32("interrupt-parent", GIC)?;

    let chosen = tree.begin_node("chosen")?;
    tree.property_string("bootargs", input.command_line)?;
    tree.property_string("stdout-path", &format!("/serial@{:x}", SERIAL.0))?;
    tree.property_u64("linux,initrd-start", initramfs)?;
    tree.property_u64("linux,initrd-end", initramfs_end)?;
    // The kernel wipes both.
    tree.property("rng-seed", input.seed.get(8..).unwrap_or_default())?;
    tree.property("kaslr-seed", input.seed.get(..8).unwrap_or_default())?;
    tree.end_node(chosen)?;

    for region in input.memory.iter() {
        let begin = region.start_addr().raw_value();
        let memory = tree.begin_node(&format!("memory@{begin:x}"))?;
        tree.property_string("device_type", "memory")?;
        tree.property_array_u64("reg", &[begin, region.len()])?;
        tree.end_node(memory)?;
    }
    cpus(&mut tree, input.cpus)?;
    interrupts(&mut tree, input)?;
    legacy_devices(&mut tree)?;
    for slot in input.virtio {
        let node = tree.begin_node(&format!("virtio_mmio@{:x}", slot.address))?;
        tree.property_string("compatible", "virtio,mmio")?;
        tree.property_array_u64("reg", &[slot.address, WINDOW])?;
        tree.property_array_u32("interrupts", &[SHARED, slot.line, RISING_EDGE])?;
        tree.property_null("dma-coherent")?;
        tree.end_node(node)?;
    }
    tree.end_node(root)?;
    tree.finish()
}

fn cpus(tree: &mut FdtWriter, count: u32) -> Result<(), Error> {
    let cpus = tree.begin_node("cpus")?;
    tree.property_u32("#address-cells", 1)?;
    tree.property_u32("#size-cells", 0)?;
    for index in 0..count {
        // Sixteen bits: affinity levels 0 and 1.
        let affinity = affinity(index) as u32;
        let cpu = tree.begin_node(&format!("cpu@{affinity:x}"))?;
        tree.property_string("device_type", "cpu")?;
        tree.property_string("compatible", "arm,armv8")?;
        tree.property_string("enable-method", "psci")?;
        tree.property_u32("reg", affinity)?;
        tree.end_node(cpu)?;
    }
    tree.end_node(cpus)?;

    let psci = tree.begin_node("psci")?;
    tree.property_string_list("compatible", vec!["arm,psci-1.0".into(), "arm,psci-0.2".into()])?;
    tree.property_string("method", "hvc")?;
    tree.end_node(psci)
}

fn interrupts(tree: &mut FdtWriter, input: &BootInput<'_>) -> Result<(), Error> {
    let (compatible, size) = match input.controller {
        InterruptController::GicV2 => ("arm,cortex-a15-gic", GIC_CPU_INTERFACE_SIZE),
        _ => ("arm,gic-v3", GIC_REDISTRIBUTOR_SIZE * u64::from(input.cpus)),
    };
    let gic = tree.begin_node(&format!("interrupt-controller@{GIC_DISTRIBUTOR:x}"))?;
    tree.property_string("compatible", compatible)?;
    tree.property_null("interrupt-controller")?;
    tree.property_u32("#interrupt-cells", 3)?;
    tree.property_array_u64(
        "reg",
        &[GIC_DISTRIBUTOR, GIC_DISTRIBUTOR_SIZE, GIC_REDISTRIBUTORS, size],
    )?;
    tree.property_phandle(GIC)?;
    tree.end_node(gic)?;

    // A GICv2's specifier names the CPUs, too.
    let mask = match input.controller {
        InterruptController::GicV2 => ((1u32 << input.cpus.min(8)) - 1) << 8,
        _ => 0,
    };
    let timer = tree.begin_node("timer")?;
    tree.property_string("compatible", "arm,armv8-timer")?;
    tree.property_null("always-on")?;
    let specifiers: Vec<u32> = TIMERS
        .iter()
        .flat_map(|line| [PRIVATE, *line, LEVEL_HIGH | mask])
        .collect();
    tree.property_array_u32("interrupts", &specifiers)?;
    tree.end_node(timer)
}

fn legacy_devices(tree: &mut FdtWriter) -> Result<(), Error> {
    let (address, line, size) = SERIAL;
    let serial = tree.begin_node(&format!("serial@{address:x}"))?;
    tree.property_string("compatible", "ns16550a")?;
    tree.property_array_u64("reg", &[address, size])?;
    tree.property_u32("clock-frequency", 1_843_200)?;
    tree.property_array_u32("interrupts", &[SHARED, line, RISING_EDGE])?;
    tree.end_node(serial)?;

    let clock = tree.begin_node("apb-clock")?;
    tree.property_string("compatible", "fixed-clock")?;
    tree.property_u32("#clock-cells", 0)?;
    tree.property_u32("clock-frequency", 24_000_000)?;
    tree.property_phandle(APB_CLOCK)?;
    tree.end_node(clock)?;

    let (address, size) = CLOCK;
    let rtc = tree.begin_node(&format!("rtc@{address:x}"))?;
    tree.property_string_list("compatible", vec!["arm,pl031".into(), "arm,primecell".into()])?;
    tree.property_array_u64("reg", &[address, size])?;
    tree.property_u32("clocks", APB_CLOCK)?;
    tree.property_string("clock-names", "apb_pclk")?;
    tree.end_node(rtc)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::*;
    use crate::aarch64::virtio_slot;

    fn tree(cpus: u32, controller: InterruptController, devices: u32, line: &str) -> Result<Vec<u8>, Error> {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0x4000_0000), 1 << 20)]).unwrap();
        let virtio: Vec<_> = (0..devices).filter_map(virtio_slot).collect();
        let input = BootInput {
            memory: &memory,
            kernel: Path::new("kernel"),
            initramfs: Path::new("initramfs"),
            command_line: line,
            cpus,
            controller,
            virtio: &virtio,
            seed: &[9; 64],
        };
        build(&input, 0x4100_0000, 0x4120_0000)
    }

    fn contains(tree: &[u8], text: &str) -> bool {
        tree.windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[test]
    fn the_tree_names_every_cpu_by_its_affinity() {
        let tree = tree(18, InterruptController::GicV3, 0, "").unwrap();
        assert!(contains(&tree, "cpu@f\0") && contains(&tree, "cpu@101\0") && contains(&tree, "arm,gic-v3"));
        assert!(!contains(&tree, "cpu@102\0"));
    }

    #[test]
    fn the_tree_has_the_controller_that_the_host_gave() {
        let tree = tree(2, InterruptController::GicV2, 1, "quiet").unwrap();
        assert!(contains(&tree, "arm,cortex-a15-gic") && !contains(&tree, "arm,gic-v3"));
        assert!(contains(&tree, "virtio_mmio@a000000\0") && contains(&tree, "quiet\0"));
    }

    proptest! {
        #[test]
        fn any_machine_has_a_tree_of_the_size_that_its_header_says(
            cpus in 1u32..=32, devices in 0u32..=32, line in "[ -~]{0,2000}",
        ) {
            let tree = tree(cpus, InterruptController::GicV3, devices, &line).unwrap();
            prop_assert_eq!(&tree[..4], &[0xd0, 0x0d, 0xfe, 0xed]);
            prop_assert_eq!(u32::from_be_bytes(tree[4..8].try_into().unwrap()) as usize, tree.len());
        }

        #[test]
        fn a_command_line_with_any_character_is_an_error_at_worst(line in any::<String>()) {
            let _ = tree(1, InterruptController::GicV3, 1, &line);
        }
    }
}
