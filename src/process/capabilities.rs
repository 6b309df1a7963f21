//! What is left of root's rights after the change of user (capabilities(7)), and what can be got back: nothing.

use caps::{CapSet, Capability, CapsHashSet};

use super::messages;

/// The capabilities that `setcap` may name: those that a proxy has a use for.
const KNOWN: [(&str, Capability); 5] = [
    ("cap_net_admin", Capability::CAP_NET_ADMIN),
    ("cap_net_bind_service", Capability::CAP_NET_BIND_SERVICE),
    ("cap_net_raw", Capability::CAP_NET_RAW),
    ("cap_sys_admin", Capability::CAP_SYS_ADMIN),
    ("cap_sys_resource", Capability::CAP_SYS_RESOURCE),
];

fn wanted(names: &[String]) -> CapsHashSet {
    KNOWN.iter().filter(|(name, _)| names.iter().any(|n| n == name)).map(|(_, cap)| *cap).collect()
}

/// Before the user is changed: keep what `setcap` names over that, and let no program that might be executed gain more.
pub fn before_user(names: &[String]) -> Result<(), String> {
    if !names.is_empty() {
        caps::securebits::set_keepcaps(true)
            .map_err(|e| format!("startup : capabilities cannot be kept over the change of user: {e}"))?;
    }
    let keep = wanted(names);
    // Needs CAP_SETPCAP, which a container may not give: then the bounds stay as they are.
    for cap in caps::read(None, CapSet::Bounding).unwrap_or_default() {
        if !keep.contains(&cap) {
            let _ = caps::drop(None, CapSet::Bounding, cap);
        }
    }
    Ok(())
}

/// After the user was changed, or without a change of user when `setcap` is given: have these and no others.
pub fn after_user(names: &[String]) -> Result<(), String> {
    let keep = wanted(names);
    let have = caps::read(None, CapSet::Permitted).unwrap_or_default();
    for (name, cap) in KNOWN.iter().filter(|(_, cap)| keep.contains(cap)) {
        if !have.contains(cap) {
            return Err(format!(
                "startup : 'setcap {name}': this process was not given it. Start as root, or give it to the file: \
                 setcap {name}=p /usr/sbin/haring"
            ));
        }
    }
    let failed =
        |what: &str, e: &dyn std::fmt::Display| format!("startup : {what} capabilities cannot be set: {e}");
    // Effective ones first: they must be permitted at all times.
    caps::set(None, CapSet::Effective, &keep).map_err(|e| failed("effective", &e))?;
    caps::set(None, CapSet::Permitted, &keep).map_err(|e| failed("permitted", &e))?;
    Ok(())
}

/// No program that this process executes gets more rights than it has (prctl(2), `PR_SET_NO_NEW_PRIVS`).
pub fn no_new_privileges() {
    if let Err(error) = nix::sys::prctl::set_no_new_privs() {
        messages::warning(&format!("startup : no-new-privileges cannot be set: {}", error.desc()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_keyword_takes() {
        assert_eq!(KNOWN.map(|(name, _)| name), crate::proxy::global::CAPABILITIES);
        let all: Vec<String> = KNOWN.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(wanted(&all).len(), KNOWN.len());
        assert!(wanted(&["cap_nonsense".to_owned()]).is_empty());
    }
}
