//! Putting a container on a network and taking it off: one end of a veth pair on the network's bridge, the other as
//! an interface in the container.

use std::os::fd::AsFd;

use protocol::{Attachment, Bridge};
use rustix::io::Errno;

use super::netlink::{Netlink, Peer};
use super::rate::Bucket;
use crate::failure::{Context, Outcome, invalid};

/// The kernel's limit on the length of an interface's name, its end included (linux/if.h, IFNAMSIZ).
const LONGEST_NAME: usize = 16;

/// The sockets of both ends: the guest's own namespace, and the container's.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(super) guest: Netlink,
    pub(super) container: Netlink,
}

/// Makes the container's interface on a network, and the network's bridge where it is not there yet.
pub(crate) fn join(sockets: &mut Joined, namespace: impl AsFd, attachment: &Attachment) -> Outcome<()> {
    check_name(&attachment.interface)?;
    check_name(&attachment.host_interface)?;
    let bridge = ensure_bridge(&mut sockets.guest, &attachment.bridge)?;
    let what = || format!("the interface {}", attachment.interface);
    let peer = Peer {
        name: &attachment.interface,
        mac: attachment.mac,
        namespace,
    };
    let name = &attachment.host_interface;
    // One that a run before has left, should its namespace live on.
    if let Ok(old) = sockets.guest.index(name) {
        let _ = sockets.guest.remove(old);
    }
    sockets
        .guest
        .add_veth(name, bridge, attachment.bridge.mtu, peer)
        .context(what)?;
    let made = configure(sockets, attachment);
    if made.is_err() {
        let _ = sockets
            .guest
            .index(name)
            .and_then(|index| sockets.guest.remove(index));
    }
    made.context(what)
}

fn configure(sockets: &mut Joined, attachment: &Attachment) -> Result<(), Errno> {
    let outer = sockets.guest.index(&attachment.host_interface)?;
    let index = sockets.container.index(&attachment.interface)?;
    if let Some(rate) = attachment.rate {
        let bucket = Bucket::new(rate, attachment.bridge.mtu);
        sockets.guest.hold_to(outer, bucket)?;
        sockets.container.hold_to(index, bucket)?;
    }
    sockets.guest.set_up(outer)?;
    for (address, prefix) in &attachment.addresses {
        sockets.container.add_address(index, *address, *prefix)?;
    }
    sockets.container.set_up(index)?;
    for gateway in &attachment.gateways {
        sockets
            .container
            .add_default_route(*gateway, index, attachment.priority)?;
    }
    Ok(())
}

/// Takes the container's interface away. One that is not there is no error.
pub(crate) fn leave(sockets: &mut Joined, host_interface: &str) -> Outcome<()> {
    let removed = sockets
        .guest
        .index(host_interface)
        .and_then(|index| sockets.guest.remove(index));
    match removed {
        Ok(()) | Err(Errno::NODEV) => Ok(()),
        Err(errno) => Err(errno).context(|| format!("the interface {host_interface}")),
    }
}

/// The number of a network's bridge.
fn ensure_bridge(guest: &mut Netlink, bridge: &Bridge) -> Outcome<u32> {
    check_name(&bridge.name)?;
    let what = || format!("the bridge {}", bridge.name);
    if guest.index(&bridge.name).is_err() {
        match guest.add_bridge(&bridge.name, bridge.mtu) {
            // Another container was first.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).context(what),
        }
    }
    // Also of one that is there: who made it may not have come so far.
    let index = guest.index(&bridge.name).context(what)?;
    for (address, prefix) in &bridge.addresses {
        match guest.add_address(index, *address, *prefix) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).context(what),
        }
    }
    guest.set_up(index).context(what)?;
    Ok(index)
}

/// Takes a network's bridge away. One that is not there is no error.
pub(crate) fn remove_bridge(name: &str) -> Outcome<()> {
    check_name(name)?;
    let mut guest = Netlink::open().context(|| "netlink".to_owned())?;
    match guest.index(name).and_then(|index| guest.remove(index)) {
        Ok(()) | Err(Errno::NODEV) => Ok(()),
        Err(errno) => Err(errno).context(|| format!("the bridge {name}")),
    }
}

fn check_name(name: &str) -> Outcome<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let good = !name.is_empty()
        && name.len() < LONGEST_NAME
        && name.bytes().all(plain)
        && name != "."
        && name != "..";
    if good {
        Ok(())
    } else {
        Err(invalid(format!("{name:?} is no name of an interface")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Sandbox;

    fn address(text: &str) -> std::net::IpAddr {
        text.parse().unwrap()
    }

    fn attachment() -> Attachment {
        Attachment {
            network: "0".repeat(64),
            bridge: Bridge {
                name: "br-test".to_owned(),
                addresses: vec![(address("172.30.0.1"), 16), (address("fd00:7::1"), 64)],
                mtu: 1500,
            },
            interface: "eth0".to_owned(),
            host_interface: "veth-test".to_owned(),
            mac: [2, 0, 172, 30, 0, 2],
            addresses: vec![(address("172.30.0.2"), 16), (address("fd00:7::2"), 64)],
            gateways: vec![address("172.30.0.1")],
            priority: 0,
            rate: None,
        }
    }

    #[test]
    fn a_name_that_the_kernel_would_cut_is_refused() {
        assert!(check_name("eth0").is_ok());
        assert!(check_name(&"x".repeat(16)).is_err());
        assert!(check_name("a/b").is_err());
    }

    /// Everything in namespaces of the test's own; without the right to make them there is nothing to test.
    #[test]
    fn a_container_gets_an_interface_with_its_addresses_and_loses_it_again() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let namespaces = std::thread::spawn(|| {
            crate::sys::process::unshare(libc::CLONE_NEWNET).unwrap();
            let mut sandbox = Sandbox::create().unwrap();
            sandbox.join(&attachment()).unwrap();
            let inner = sandbox.sockets.container.index("eth0");
            let bridge = sandbox.sockets.guest.index("br-test");
            sandbox.leave("veth-test").unwrap();
            let after = sandbox.sockets.container.index("eth0");
            remove_bridge("br-test").unwrap();
            (inner.is_ok(), bridge.is_ok(), after.unwrap_err())
        });
        assert_eq!(namespaces.join().unwrap(), (true, true, Errno::NODEV));
    }
}
