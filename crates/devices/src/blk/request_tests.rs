//! What a driver sees of the disk.

use std::io::Write;

use proptest::prelude::*;

use super::super::{FileDisk, Layers};
use super::*;
use crate::queue::testing::{Buffer, Driver, memory};
use crate::worker::testing::serve_all;

const CHAIN_STATUS: usize = 1;

fn header(kind: u32, sector: u64) -> Buffer {
    let mut bytes = Vec::new();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(sector.to_le_bytes());
    Buffer::Readable(bytes)
}

fn file_disk(content: &[u8], read_only: bool) -> (Arc<dyn Backing>, File) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    let disk = FileDisk::new(file.try_clone().unwrap(), read_only).unwrap();
    (Arc::new(disk), file)
}

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, 0).unwrap();
    bytes
}

/// Sends one request, and returns its status and its data buffer (descriptor 1) afterwards.
fn request(backing: Arc<dyn Backing>, buffers: Vec<Buffer>, data: usize) -> (u32, Vec<u8>) {
    let memory = memory();
    let mut driver = Driver::new(&memory, 16);
    let count = buffers.len() as u16;
    driver.offer(&buffers);
    serve_all(&mut Handler::new("disk", backing), 0, &driver.queue(), &memory);
    assert_eq!(driver.used().len(), 1);
    let status = driver.buffer(count - 1, CHAIN_STATUS);
    (u32::from(status[0]), driver.buffer(1, data))
}

#[test]
fn a_read_gives_the_sectors_of_the_file() {
    let bytes: Vec<u8> = (0..2048u32).map(|at| (at / 7) as u8).collect();
    let (disk, _) = file_disk(&bytes, false);
    let buffers = vec![
        header(VIRTIO_BLK_T_IN, 1),
        Buffer::writable(1024),
        Buffer::writable(1),
    ];
    assert_eq!(
        request(disk, buffers, 1024),
        (VIRTIO_BLK_S_OK, bytes[512..1536].to_vec())
    );
}

#[test]
fn a_write_reaches_the_file_and_nothing_beside_it() {
    let (disk, file) = file_disk(&[7; 2048], false);
    let buffers = vec![
        header(VIRTIO_BLK_T_OUT, 2),
        Buffer::Readable(vec![9; 512]),
        Buffer::writable(1),
    ];
    assert_eq!(request(disk, buffers, 0).0, VIRTIO_BLK_S_OK);
    let mut expected = vec![7; 2048];
    expected[1024..1536].fill(9);
    assert_eq!(content(&file), expected);
}

#[test]
fn a_write_to_a_read_only_disk_fails() {
    let (disk, file) = file_disk(&[7; 1024], true);
    let buffers = vec![
        header(VIRTIO_BLK_T_OUT, 0),
        Buffer::Readable(vec![9; 512]),
        Buffer::writable(1),
    ];
    assert_eq!(request(disk, buffers, 0).0, VIRTIO_BLK_S_IOERR);
    assert_eq!(content(&file), [7; 1024]);
}

#[test]
fn a_transfer_past_the_end_or_of_half_a_sector_fails() {
    for (sector, length) in [(3, 1024), (u64::MAX, 512), (u64::MAX / 512, 512), (0, 100)] {
        let (disk, _) = file_disk(&[7; 2048], false);
        let buffers = vec![
            header(VIRTIO_BLK_T_IN, sector),
            Buffer::writable(length),
            Buffer::writable(1),
        ];
        assert_eq!(request(disk, buffers, 0).0, VIRTIO_BLK_S_IOERR);
    }
}

#[test]
fn the_serial_number_is_the_identity() {
    let (disk, _) = file_disk(&[0; 512], false);
    let buffers = vec![
        header(VIRTIO_BLK_T_GET_ID, 0),
        Buffer::writable(20),
        Buffer::writable(1),
    ];
    let (status, data) = request(disk, buffers, 20);
    assert_eq!((status, &data[..5]), (VIRTIO_BLK_S_OK, &b"disk\0"[..]));
}

fn range(sector: u64, sectors: u32, flags: u32) -> Buffer {
    let mut bytes = sector.to_le_bytes().to_vec();
    bytes.extend(sectors.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    Buffer::Readable(bytes)
}

#[test]
fn write_zeroes_zeroes_exactly_the_range() {
    for flags in [0, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP] {
        let (disk, file) = file_disk(&[7; 2048], false);
        let buffers = vec![
            header(VIRTIO_BLK_T_WRITE_ZEROES, 0),
            range(1, 2, flags),
            Buffer::writable(1),
        ];
        assert_eq!(request(disk, buffers, 0).0, VIRTIO_BLK_S_OK);
        let mut expected = vec![7; 2048];
        expected[512..1536].fill(0);
        assert_eq!(content(&file), expected);
    }
}

#[cfg(unix)]
#[test]
fn a_discard_gives_space_back_to_the_host() {
    use std::os::unix::fs::MetadataExt;
    let (disk, file) = file_disk(&vec![7; 1 << 20], false);
    let before = file.metadata().unwrap().blocks();
    let buffers = vec![
        header(VIRTIO_BLK_T_DISCARD, 0),
        range(0, 2048, 0),
        Buffer::writable(1),
    ];
    assert_eq!(request(disk, buffers, 0).0, VIRTIO_BLK_S_OK);
    assert!(file.metadata().unwrap().blocks() < before / 2);
    assert_eq!(file.metadata().unwrap().len(), 1 << 20);
}

#[test]
fn an_unknown_request_is_unsupported() {
    let (disk, _) = file_disk(&[0; 512], false);
    let buffers = vec![header(77, 0), Buffer::writable(8), Buffer::writable(1)];
    assert_eq!(request(disk, buffers, 0).0, VIRTIO_BLK_S_UNSUPP);
}

#[test]
fn a_buffer_outside_of_memory_fails_with_a_status() {
    let (disk, _) = file_disk(&[0; 1024], false);
    let buffers = vec![
        header(VIRTIO_BLK_T_IN, 0),
        Buffer::Raw(1 << 40, 512, true),
        Buffer::writable(1),
    ];
    assert_eq!(request(disk, buffers, 0).0, VIRTIO_BLK_S_IOERR);
}

#[test]
fn a_layer_reads_as_its_file_padded_with_zeroes_and_the_space_around_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer");
    std::fs::write(&path, [5; 600]).unwrap();
    let layers = Layers::new();
    let first = layers.map(&path).unwrap().offset / SECTOR;
    let read = |sector, length| {
        let buffers = vec![
            header(VIRTIO_BLK_T_IN, first + sector),
            Buffer::writable(length),
            Buffer::writable(1),
        ];
        request(Arc::new(layers.disk()), buffers, length)
    };
    let (status, data) = read(0, 4096);
    assert_eq!(status, VIRTIO_BLK_S_OK);
    assert!(data[..600].iter().all(|byte| *byte == 5) && data[600..].iter().all(|byte| *byte == 0));
    assert_eq!(read(8, 512).0, VIRTIO_BLK_S_IOERR);
    assert_eq!(read(0, 8192).0, VIRTIO_BLK_S_IOERR);
    layers.unmap(&path);
    assert_eq!(read(0, 512).0, VIRTIO_BLK_S_IOERR);
}

#[test]
fn a_layer_that_became_shorter_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer");
    std::fs::write(&path, [5; 4096]).unwrap();
    let layers = Layers::new();
    let offset = layers.map(&path).unwrap().offset;
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(100)
        .unwrap();
    let buffers = vec![
        header(VIRTIO_BLK_T_IN, offset / SECTOR),
        Buffer::writable(4096),
        Buffer::writable(1),
    ];
    assert_eq!(request(Arc::new(layers.disk()), buffers, 0).0, VIRTIO_BLK_S_IOERR);
}

#[test]
fn the_kernel_finds_no_partition_table_at_the_start_of_the_layer_disk() {
    let buffers = vec![
        header(VIRTIO_BLK_T_IN, 0),
        Buffer::writable(4096),
        Buffer::writable(1),
    ];
    let (status, data) = request(Arc::new(Layers::new().disk()), buffers, 4096);
    assert_eq!(status, VIRTIO_BLK_S_OK);
    assert!(data.iter().all(|byte| *byte == 0));
}

proptest! {
    #[test]
    fn arbitrary_chains_all_come_back_and_change_no_read_only_file(
        descriptors in prop::collection::vec(any::<u8>(), 256),
        header in any::<[u8; 16]>(),
    ) {
        let (disk, file) = file_disk(&[7; 4096], true);
        let memory = memory();
        let mut driver = Driver::new(&memory, 16);
        driver.offer(&[Buffer::readable(&header), Buffer::writable(100)]);
        driver.scribble(&descriptors);
        driver.set_available_index(16);
        serve_all(&mut Handler::new("disk", disk), 0, &driver.queue(), &memory);
        prop_assert_eq!(content(&file), vec![7; 4096]);
    }
}
