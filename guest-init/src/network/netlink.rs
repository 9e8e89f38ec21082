//! Links, addresses and routes of one network namespace (rtnetlink(7)): the few requests that networks of containers
//! are made of. A socket belongs to the namespace that it was opened in, for ever.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use super::attributes::{Message, messages};

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
pub(super) const NLM_F_REQUEST: u16 = 1;
pub(super) const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
pub(super) const NLM_F_CREATE: u16 = 0x400;
pub(super) const NLM_F_REPLACE: u16 = 0x100;
// linux/rtnetlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
// linux/if_link.h
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
// linux/if_addr.h
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// No duplicate address detection: the host gives every address once.
const IFA_F_NODAD: u8 = 2;
// linux/rtnetlink.h
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RTN_UNICAST: u8 = 1;
const IFF_UP: u32 = 1;

/// More than any answer to these requests is long.
const LONGEST: usize = 32 << 10;

/// A socket of one network namespace.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// The other end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer<'a, F> {
    pub(super) name: &'a str,
    pub(super) mac: [u8; 6],
    /// The network namespace that it goes to.
    pub(super) namespace: F,
}

impl Netlink {
    /// A socket of the namespace that this process is in now.
    pub(super) fn open() -> Result<Self, Errno> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // NETLINK_ROUTE is protocol 0.
            None,
        )?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request and waits for its end. Returns the last answer before that.
    pub(super) fn request(&mut self, message: Message) -> Result<Vec<u8>, Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = message.finish(self.sequence);
        retry_on_intr(|| send(&self.socket, &bytes, SendFlags::empty()))?;
        let mut answer = Vec::new();
        let mut buffer = vec![0; LONGEST];
        loop {
            let (length, _) =
                retry_on_intr(|| recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty()))?;
            for message in messages(buffer.get(..length).unwrap_or_default()) {
                if message.sequence != self.sequence {
                    continue;
                }
                if message.kind != NLMSG_ERROR {
                    answer = message.body.to_vec();
                    continue;
                }
                let code = message
                    .body
                    .first_chunk::<4>()
                    .map_or(0, |code| i32::from_ne_bytes(*code));
                return match code {
                    0 => Ok(answer),
                    code => Err(Errno::from_raw_os_error(code.saturating_neg())),
                };
            }
        }
    }

    /// The number of an interface.
    pub(super) fn index(&mut self, name: &str) -> Result<u32, Errno> {
        let message = Message::new(RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK)
            .fixed(&link(0, 0, 0))
            .text(IFLA_IFNAME, name);
        let answer = self.request(message)?;
        let index = answer.get(4..8).and_then(|bytes| bytes.first_chunk::<4>());
        index.map(|index| u32::from_ne_bytes(*index)).ok_or(Errno::NODEV)
    }

    /// Makes a bridge.
    pub(super) fn add_bridge(&mut self, name: &str, mtu: u32) -> Result<(), Errno> {
        let message = create(RTM_NEWLINK)
            .fixed(&link(0, 0, 0))
            .text(IFLA_IFNAME, name)
            .number(IFLA_MTU, mtu)
            .nested(IFLA_LINKINFO, |message| message.text(IFLA_INFO_KIND, "bridge"));
        self.request(message).map(drop)
    }

    /// Makes a veth pair: one end here on a bridge, the other in another namespace.
    pub(super) fn add_veth(
        &mut self,
        name: &str,
        bridge: u32,
        mtu: u32,
        peer: Peer<'_, impl AsFd>,
    ) -> Result<(), Errno> {
        let namespace = peer.namespace.as_fd().as_raw_fd().cast_unsigned();
        let message = create(RTM_NEWLINK)
            .fixed(&link(0, 0, 0))
            .text(IFLA_IFNAME, name)
            .number(IFLA_MASTER, bridge)
            .number(IFLA_MTU, mtu)
            .nested(IFLA_LINKINFO, |message| {
                message
                    .text(IFLA_INFO_KIND, "veth")
                    .nested(IFLA_INFO_DATA, |message| {
                        message.nested(VETH_INFO_PEER, |message| {
                            message
                                .fixed(&link(0, 0, 0))
                                .text(IFLA_IFNAME, peer.name)
                                .attribute(IFLA_ADDRESS, &peer.mac)
                                .number(IFLA_MTU, mtu)
                                .number(IFLA_NET_NS_FD, namespace)
                        })
                    })
            });
        self.request(message).map(drop)
    }

    /// Brings an interface up.
    pub(super) fn set_up(&mut self, index: u32) -> Result<(), Errno> {
        let message =
            Message::new(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK).fixed(&link(index, IFF_UP, IFF_UP));
        self.request(message).map(drop)
    }

    /// Gives an interface an address with the length of its network's prefix.
    pub(super) fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> Result<(), Errno> {
        let (family, flags) = match address {
            IpAddr::V4(_) => (libc::AF_INET, 0),
            IpAddr::V6(_) => (libc::AF_INET6, IFA_F_NODAD),
        };
        let mut fixed = vec![
            u8::try_from(family).unwrap_or(0),
            prefix,
            flags,
            RT_SCOPE_UNIVERSE,
        ];
        fixed.extend(index.to_ne_bytes());
        let bytes = octets(address);
        let mut message = create(RTM_NEWADDR)
            .fixed(&fixed)
            .attribute(IFA_LOCAL, &bytes)
            .attribute(IFA_ADDRESS, &bytes);
        if let IpAddr::V4(address) = address {
            let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
            message = message.attribute(IFA_BROADCAST, &(address.to_bits() | host).to_be_bytes());
        }
        self.request(message).map(drop)
    }

    /// Sends everything without a route of its own to a gateway. Of two such routes the lower priority counts.
    pub(super) fn add_default_route(
        &mut self,
        gateway: IpAddr,
        index: u32,
        priority: u32,
    ) -> Result<(), Errno> {
        let family = if gateway.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        let fixed = [
            u8::try_from(family).unwrap_or(0),
            0,
            0,
            0,
            RT_TABLE_MAIN,
            RTPROT_BOOT,
            RT_SCOPE_UNIVERSE,
            RTN_UNICAST,
            0,
            0,
            0,
            0,
        ];
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let message = Message::new(RTM_NEWROUTE, flags)
            .fixed(&fixed)
            .attribute(RTA_GATEWAY, &octets(gateway))
            .number(RTA_OIF, index)
            .number(RTA_PRIORITY, priority);
        self.request(message).map(drop)
    }

    /// Takes an interface away, and with one end of a veth pair the other.
    pub(super) fn remove(&mut self, index: u32) -> Result<(), Errno> {
        let message = Message::new(RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK).fixed(&link(index, 0, 0));
        self.request(message).map(drop)
    }
}

fn create(kind: u16) -> Message {
    Message::new(kind, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
}

/// `struct ifinfomsg`: the number, and the flags that change to which values.
fn link(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (place, value) in [(4, index), (8, flags), (12, change)] {
        if let Some(slot) = bytes.get_mut(place..place + 4) {
            slot.copy_from_slice(&value.to_ne_bytes());
        }
    }
    bytes
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_number_one() {
        assert_eq!(Netlink::open().unwrap().index("lo").unwrap(), 1);
    }

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        assert_eq!(
            Netlink::open().unwrap().index("no-such-if").unwrap_err(),
            Errno::NODEV
        );
    }
}
