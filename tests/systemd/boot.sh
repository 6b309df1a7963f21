#!/bin/bash
# Starts a real systemd of its own, as process 1 of namespaces. The machine outside is not touched: what is written to
# /usr, /etc and /var goes into memory, /run and /tmp are new, and the cgroup tree is a branch of its own that goes away
# with it. $1: a directory with `prepare`, run before systemd.
set -eu
case ${2-} in
'')
	exec unshare --mount "$0" "$1" branch
	;;
branch)
	mount --make-rprivate /
	if mountpoint -q /sys/fs/cgroup; then umount -R /sys/fs/cgroup; fi
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	branch=/sys/fs/cgroup/harness-$$
	mkdir "$branch"
	trap 'find "$branch" -depth -type d -exec rmdir {} +' EXIT
	trap '' TERM INT
	# Only the child is in the branch, so that it can go away.
	(
		echo "$BASHPID" >"$branch/cgroup.procs"
		exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc "$0" "$1" inside
	)
	exit
	;;
esac
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /mnt
for d in usr etc var; do
	mkdir -p "/mnt/$d/upper" "/mnt/$d/work"
	mount -t overlay overlay -o "lowerdir=/$d,upperdir=/mnt/$d/upper,workdir=/mnt/$d/work" "/$d"
done
mkdir /mnt/source
mount --bind "$1" /mnt/source
mount -t tmpfs tmpfs /run
# systemd empties /tmp when it boots.
mount -t tmpfs tmpfs /tmp
mkdir -p /run/lock
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Nothing of the machine's own services is started.
rm -rf /etc/systemd/system /var/log/journal
mkdir -p /etc/systemd/system
for target in sysinit basic shutdown network network-online; do
	printf '[Unit]\nDefaultDependencies=no\n' >"/etc/systemd/system/$target.target"
done
printf '[Unit]\nDefaultDependencies=no\nWants=systemd-journald.service\n' >/etc/systemd/system/harness.target
/mnt/source/prepare
export container=harness
exec /lib/systemd/systemd --system --unit=harness.target --log-level=notice --show-status=no </dev/null
