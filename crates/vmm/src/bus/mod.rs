//! Who answers a guest's access to an address outside of its memory.

pub(crate) mod virtio_mmio;

use std::collections::BTreeMap;
use std::sync::Arc;

/// A device on a bus. Accesses come from any vCPU's thread and do not wait for the guest.
pub(crate) trait BusDevice: Send + Sync {
    /// Reads `data.len()` bytes, 1 to 8, at `offset` from the device's base. `data` comes as zeroes.
    fn read(&self, offset: u64, data: &mut [u8]);

    /// Writes them.
    fn write(&self, offset: u64, data: &[u8]);
}

/// Devices by their addresses: one bus for memory-mapped ones, one for x86's I/O ports.
#[derive(Default)]
pub(crate) struct Bus {
    ranges: BTreeMap<u64, (u64, Arc<dyn BusDevice>)>,
}

impl Bus {
    /// Puts a device at `base`. Ranges do not overlap.
    pub(crate) fn insert(&mut self, base: u64, size: u64, device: Arc<dyn BusDevice>) {
        self.ranges.insert(base, (size, device));
    }

    /// The value that the guest reads, little-endian; all ones where no device is, as on a bus that floats.
    pub(crate) fn read(&self, address: u64, size: u8) -> u64 {
        let mut bytes = [0; 8];
        let Some((device, offset)) = self.find(address) else {
            return u64::MAX;
        };
        if let Some(data) = bytes.get_mut(..usize::from(size)) {
            device.read(offset, data);
        }
        u64::from_le_bytes(bytes)
    }

    /// A write where no device is has no effect.
    pub(crate) fn write(&self, address: u64, size: u8, value: u64) {
        let bytes = value.to_le_bytes();
        if let (Some((device, offset)), Some(data)) = (self.find(address), bytes.get(..usize::from(size))) {
            device.write(offset, data);
        }
    }

    fn find(&self, address: u64) -> Option<(&dyn BusDevice, u64)> {
        let (base, (size, device)) = self.ranges.range(..=address).next_back()?;
        let offset = address.checked_sub(*base).filter(|offset| offset < size)?;
        Some((device.as_ref(), offset))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<(u64, Vec<u8>)>>);

    impl BusDevice for Recorder {
        fn read(&self, offset: u64, data: &mut [u8]) {
            data.fill(offset as u8);
        }

        fn write(&self, offset: u64, data: &[u8]) {
            self.0.lock().unwrap().push((offset, data.to_vec()));
        }
    }

    #[test]
    fn an_access_reaches_the_device_whose_range_it_is_in() {
        let device = Arc::new(Recorder::default());
        let mut bus = Bus::default();
        bus.insert(0x1000, 0x10, device.clone());
        bus.insert(0x2000, 0x10, Arc::new(Recorder::default()));
        assert_eq!(bus.read(0x1008, 4), 0x0808_0808);
        bus.write(0x100c, 2, 0x1234_5678);
        assert_eq!(*device.0.lock().unwrap(), [(0xc, vec![0x78, 0x56])]);
    }

    #[test]
    fn an_access_to_nothing_reads_as_ones_and_writes_nowhere() {
        let mut bus = Bus::default();
        bus.insert(0x1000, 0x10, Arc::new(Recorder::default()));
        for address in [0, 0xfff, 0x1010, u64::MAX] {
            assert_eq!(bus.read(address, 1), u64::MAX);
            bus.write(address, 8, 0);
        }
    }

    #[test]
    fn an_access_of_an_impossible_size_is_harmless() {
        let mut bus = Bus::default();
        bus.insert(0, 0x10, Arc::new(Recorder::default()));
        bus.read(0, 200);
        bus.write(0, 200, 0);
    }
}
