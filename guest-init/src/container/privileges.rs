//! Capabilities (capabilities(7)), resource limits (getrlimit(2)) and the change to another user.
//!
//! As in Docker since 20.10.14 the inheritable and ambient sets stay empty: root has what the bounding set
//! leaves, and anybody else has nothing until a program with file capabilities gives it.

use protocol::{CAPABILITIES, Process, Rlimit};
use rustix::process::{Gid, Resource, Uid, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use super::user::Identity;
use crate::failure::{Context, Outcome, invalid};

/// The set of these names.
pub(super) fn capabilities(names: &[String]) -> Outcome<CapabilitySet> {
    names.iter().try_fold(CapabilitySet::empty(), |set, name| {
        let number = CAPABILITIES.iter().position(|known| known == name);
        let number = number.ok_or_else(|| invalid(format!("unknown capability {name:?}")))?;
        Ok(set | CapabilitySet::from_bits_retain(1 << number))
    })
}

/// Takes everything but these capabilities from the bounding set.
pub(super) fn bound(keep: CapabilitySet) -> Outcome<()> {
    for number in 0..CAPABILITIES.len() {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if !keep.contains(one) {
            remove_capability_from_bounding_set(one).context(|| {
                format!(
                    "capability {} could not be dropped",
                    CAPABILITIES.get(number).unwrap_or(&"")
                )
            })?;
        }
    }
    Ok(())
}

/// Becomes this user. Root keeps these capabilities; the kernel takes all of them from anybody else.
pub(super) fn become_user(identity: &Identity, keep: CapabilitySet) -> Outcome<()> {
    let groups: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    set_thread_groups(&groups)
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .context(|| format!("the user {}:{} could not be taken on", identity.uid, identity.gid))?;
    if identity.uid == 0 {
        let sets = CapabilitySets {
            effective: keep,
            permitted: keep,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets).context(|| "the capabilities could not be set".to_owned())?;
    }
    Ok(())
}

/// Sets the resource limits of a process.
pub(super) fn limit(process: &Process) -> Outcome<()> {
    for Rlimit { name, soft, hard } in &process.rlimits {
        let resource = resource(name).ok_or_else(|| invalid(format!("unknown ulimit {name:?}")))?;
        let limit = rustix::process::Rlimit {
            current: *soft,
            maximum: *hard,
        };
        setrlimit(resource, limit).context(|| format!("error setting rlimit {name}"))?;
    }
    Ok(())
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_kernel_numbers() {
        let set = capabilities(&["CHOWN".to_owned(), "SYS_ADMIN".to_owned(), "BPF".to_owned()]).unwrap();
        assert_eq!(
            set,
            CapabilitySet::CHOWN | CapabilitySet::SYS_ADMIN | CapabilitySet::BPF
        );
        assert_eq!(capabilities(&["MKNOD".to_owned()]).unwrap(), CapabilitySet::MKNOD);
    }

    #[test]
    fn an_unknown_capability_is_named() {
        assert!(
            capabilities(&["CAP_CHOWN".to_owned()])
                .unwrap_err()
                .message
                .contains("CAP_CHOWN")
        );
    }
}
