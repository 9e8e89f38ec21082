//! Holding an interface to a rate: a token bucket filter as what its packets queue in (tc-tbf(8); linux/pkt_sched.h,
//! `struct tc_tbf_qopt`).
//!
//! A discipline holds what an interface sends. Both ends of a container's veth pair get one: the container's holds what
//! the container sends, the guest's what it receives. A container that may configure its network (CAP_NET_ADMIN) can take
//! its own end's away, and that only.

use rustix::io::Errno;

use super::attributes::Message;
use super::netlink::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, Netlink};

// linux/rtnetlink.h
const RTM_NEWQDISC: u16 = 36;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
// linux/pkt_sched.h
const TC_H_ROOT: u32 = u32::MAX;
const TC_LINKLAYER_ETHERNET: u8 = 1;
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_BURST: u16 = 6;

/// The Ethernet header of a packet, and a VLAN's, in bytes.
const LINK_HEADER: u32 = 18;
/// The bucket holds what the rate lets through in a fifteenth of a second: many times what the clock that fills it can be
/// late by, and too little to be noticed.
const BURSTS_A_SECOND: u32 = 15;
/// It holds two full packets at least; none that is larger than the bucket would ever pass.
const LEAST_BURST_PACKETS: u32 = 2;
/// Packets wait for a tenth of a second before others are dropped, which is what tells TCP to slow down.
const QUEUES_A_SECOND: u32 = 10;
/// A TCP connection begins with ten packets at once (RFC 6928).
const LEAST_QUEUE_PACKETS: u32 = 10;

/// A token bucket. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Each second.
    rate: u32,
    burst: u32,
    /// What may wait.
    queue: u32,
}

impl Bucket {
    /// The bucket of a rate in bytes a second, on an interface of this MTU.
    pub(super) fn new(rate: u32, mtu: u32) -> Self {
        let packet = mtu.saturating_add(LINK_HEADER);
        let burst = (rate / BURSTS_A_SECOND).max(packet.saturating_mul(LEAST_BURST_PACKETS));
        let queue = (rate / QUEUES_A_SECOND).max(packet.saturating_mul(LEAST_QUEUE_PACKETS));
        Self {
            rate: rate.max(1),
            burst,
            queue: queue.saturating_add(burst),
        }
    }

    /// `struct tc_tbf_qopt` without a peak rate. The times of its tables are left out: the kernel takes the burst in bytes
    /// beside it, and counts the length of a packet itself where the link layer is given.
    fn parameters(self) -> Vec<u8> {
        let mut bytes = vec![0, TC_LINKLAYER_ETHERNET, 0, 0, 0, 0, 0, 0];
        bytes.extend(self.rate.to_ne_bytes());
        bytes.extend([0; 12]);
        bytes.extend(self.queue.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes
    }
}

impl Netlink {
    /// Holds what an interface sends to a rate.
    pub(super) fn hold_to(&mut self, index: u32, bucket: Bucket) -> Result<(), Errno> {
        // `struct tcmsg`: the interface, and the root of its disciplines.
        let mut fixed = vec![0; 4];
        fixed.extend(index.to_ne_bytes());
        fixed.extend([0; 4]);
        fixed.extend(TC_H_ROOT.to_ne_bytes());
        fixed.extend([0; 4]);
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let message = Message::new(RTM_NEWQDISC, flags)
            .fixed(&fixed)
            .text(TCA_KIND, "tbf")
            .nested(TCA_OPTIONS, |message| {
                message
                    .attribute(TCA_TBF_PARMS, &bucket.parameters())
                    .number(TCA_TBF_BURST, bucket.burst)
            });
        self.request(message).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_has_the_kernels_form() {
        let bytes = Bucket::new(1_250_000, 1500).parameters();
        assert_eq!(bytes.len(), 36);
        assert_eq!(bytes[8..12], 1_250_000u32.to_ne_bytes());
        assert_eq!(bytes[24..28], (83_333u32 + 125_000).to_ne_bytes());
    }

    /// In a namespace of the test's own; a computer that has no such filter, or gives no right to it, has nothing to test.
    #[test]
    fn the_kernel_takes_a_bucket() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let namespace = std::thread::spawn(|| {
            crate::sys::process::unshare(libc::CLONE_NEWNET).unwrap();
            let mut netlink = Netlink::open().unwrap();
            netlink.add_bridge("br-rate", 1500).unwrap();
            let index = netlink.index("br-rate").unwrap();
            netlink.hold_to(index, Bucket::new(1_000, 1500))
        });
        let result = namespace.join().unwrap();
        assert!(
            matches!(result, Ok(()) | Err(Errno::NOENT | Errno::OPNOTSUPP)),
            "{result:?}"
        );
    }

    proptest! {
        #[test]
        fn a_full_packet_always_passes_and_always_finds_room(rate: u32, mtu in 68u32..=65535) {
            let bucket = Bucket::new(rate, mtu);
            prop_assert!(bucket.burst >= mtu + LINK_HEADER && bucket.queue > bucket.burst && bucket.rate > 0);
        }
    }
}
