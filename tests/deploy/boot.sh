#!/bin/sh
# Boots the systemd of a folder with a Debian in it, in namespaces of its own:
#
#     boot.sh FOLDER CGROUP
#
# Nothing of the host is seen or changed but one control group below the root, named CGROUP: the network, processes,
# mounts and devices are its own. It ends when this process is killed; `boot.sh --clean CGROUP` removes the group.
set -eu

group_root() { # a private view of the control groups, whatever the host has mounted where
    mount --make-rprivate /
    mount -t tmpfs -o size=1m,mode=0700 none /mnt
    mkdir /mnt/groups
    mount -t cgroup2 none /mnt/groups
}

case "$1" in
--clean)
    exec unshare --mount "$0" --clean-inside "$2"
    ;;
--clean-inside)
    group_root
    [ ! -d "/mnt/groups/$2" ] || find "/mnt/groups/$2" -depth -type d -exec rmdir {} +
    ;;
--grouped) # in a mount namespace: enter the group, so that the next namespace has it as its root
    group_root
    mkdir -p "/mnt/groups/$3"
    echo $$ >"/mnt/groups/$3/cgroup.procs"
    umount /mnt/groups /mnt
    exec unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child "$0" --inside "$2"
    ;;
--inside)
    cd "$2"
    mount --make-rprivate /
    mount --bind . .
    cd "$2" # the folder as the mount just made, no longer as part of what is below it
    mount -t proc -o nosuid,nodev,noexec proc proc
    mount -t sysfs -o nosuid,nodev,noexec,ro sysfs sys
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
    mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs run
    mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs tmp
    mount -t tmpfs -o nosuid,mode=0755 tmpfs dev
    mkdir dev/pts dev/shm
    mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
    ln -s pts/ptmx dev/ptmx # PrivateDevices= wants it
    mknod -m 0666 dev/null c 1 3
    mknod -m 0666 dev/zero c 1 5
    mknod -m 0666 dev/full c 1 7
    mknod -m 0666 dev/random c 1 8
    mknod -m 0666 dev/urandom c 1 9
    mknod -m 0666 dev/tty c 5 0
    hostname bare
    exec env -i container=docker PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        chroot . /lib/systemd/systemd --system --unit=multi-user.target
    ;;
*)
    exec unshare --mount "$0" --grouped "$1" "$2"
    ;;
esac
