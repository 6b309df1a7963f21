//! Giving up rights: chroot, groups, user.

use std::ffi::OsStr;

use nix::unistd::{Gid, Group, Uid, User};

use super::{capabilities, messages};
use crate::config::{Diagnostics, Loc};
use crate::proxy::global::{Account, GlobalConf};

/// The ids behind names; looked up before `chroot` hides the databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// User to become.
    pub uid: Option<u32>,
    /// Group to become.
    pub gid: Option<u32>,
}

/// Look `user` and `group` up.
pub fn look_up(conf: &GlobalConf) -> Result<Ids, String> {
    Ok(Ids {
        uid: conf.process.user.as_ref().map(user_id).transpose()?,
        gid: conf.process.group.as_ref().map(group_id).transpose()?,
    })
}

/// Report users and groups that do not exist: `-c` must not pass what cannot start.
pub fn check(conf: &GlobalConf, diags: &mut Diagnostics) {
    let users = [&conf.process.user, &conf.unix_bind.user].map(|a| a.as_ref().map(|a| (a, user_id(a))));
    let groups = [&conf.process.group, &conf.unix_bind.group].map(|a| a.as_ref().map(|a| (a, group_id(a))));
    for (account, found) in users.into_iter().chain(groups).flatten() {
        if let (Account::Name(_, loc), Err(why)) = (account, found) {
            diags.error(*loc, why);
        }
    }
}

/// A service runs workers as root only when told so: a fault in what reads strangers' bytes would give the machine away.
pub fn check_root(conf: &GlobalConf, service: bool, place: Loc, diags: &mut Diagnostics) {
    if service && conf.process.user.is_none() && Uid::effective().is_root() {
        diags.error(place, "the workers of a service would run as root: 'global' names no user").help(
            "write 'user haring' and 'group haring' in 'global', or 'user root' when it has to be root",
        );
    }
}

/// A user's number.
pub fn user_id(account: &Account) -> Result<u32, String> {
    match account {
        Account::Id(id) => Ok(*id),
        Account::Name(name, _) => match User::from_name(name) {
            Ok(Some(user)) => Ok(user.uid.as_raw()),
            Ok(None) => Err(format!("cannot find user id for '{name}'")),
            Err(error) => Err(format!("cannot find user id for '{name}' ({})", error.desc())),
        },
    }
}

/// A group's number.
pub fn group_id(account: &Account) -> Result<u32, String> {
    match account {
        Account::Id(id) => Ok(*id),
        Account::Name(name, _) => match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            Ok(None) => Err(format!("cannot find group id for '{name}'")),
            Err(error) => Err(format!("cannot find group id for '{name}' ({})", error.desc())),
        },
    }
}

/// Whether [`drop`] changes what paths mean, or what may be done with them.
pub fn changes(conf: &GlobalConf, ids: Ids) -> bool {
    conf.process.chroot.is_some() || ids.uid.is_some() || ids.gid.is_some()
}

/// Enter the jail and become the user. The order matters: each step needs rights that the next one gives up.
pub fn drop(conf: &GlobalConf, ids: Ids) -> Result<(), String> {
    if let Some(dir) = &conf.process.chroot {
        nix::unistd::chroot(OsStr::new(dir))
            .and_then(|()| nix::unistd::chdir("/"))
            .map_err(|e| format!("startup : chroot to {dir} failed: {}", e.desc()))?;
    }
    if let Some(gid) = ids.gid {
        let gid = Gid::from_raw(gid);
        // The groups of whoever started us must not stay: with none of our own, only the new group is kept.
        if Uid::effective().is_root() && nix::unistd::setgroups(&[gid]).is_err() {
            messages::warning("startup : the supplementary groups could not be given up");
        }
        nix::unistd::setgid(gid)
            .map_err(|e| format!("startup : switching to gid {gid} failed: {}", e.desc()))?;
    } else if ids.uid.is_some() && Uid::effective().is_root() {
        let groups = nix::unistd::getgroups().map_or(0, |g| g.len());
        if groups > 1 {
            messages::warning(
                "startup : supplementary groups are kept: set 'group' or 'gid' besides the user.",
            );
        }
    }
    let capabilities = &conf.process.capabilities;
    if let Some(uid) = ids.uid {
        let uid = Uid::from_raw(uid);
        if Uid::effective().is_root() && !uid.is_root() {
            capabilities::before_user(capabilities)?;
        }
        nix::unistd::setuid(uid)
            .map_err(|e| format!("startup : switching to uid {uid} failed: {}", e.desc()))?;
    }
    if !Uid::effective().is_root() {
        capabilities::after_user(capabilities)?;
    }
    if !conf.process.may_gain_rights {
        capabilities::no_new_privileges();
    }
    if conf.process.dumpable && crate::sys::process::set_dumpable().is_err() {
        messages::warning("startup : the process cannot be made dumpable: there will be no core file");
    }
    Ok(())
}
