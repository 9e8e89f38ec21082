//! The network between containers: a bridge in the guest for each network, a veth pair for each container on it
//! (veth(4), bridge(8)), and a resolver for names at 127.0.0.11.
//!
//! A container that has a rate is held to it at both ends of each pair (tc-tbf(8)).
//!
//! The guest forwards nothing between its interfaces, so that a network reaches no other. What is where on which
//! network is the host's business; it tells each container's part with the container, and the names with every
//! change.

mod attributes;
mod dns;
mod join;
mod names;
mod netlink;
mod rate;
mod redirect;
mod resolver;
mod sandbox;
mod tcp;

pub(crate) use join::remove_bridge;
pub(crate) use names::{check_table, forget as forget_names, store as store_names};
pub(crate) use resolver::Resolver;
pub(crate) use sandbox::Sandbox;
