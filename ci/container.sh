#!/usr/bin/env bash
# Runs proact's programs as a container's only process, under the profile that containers have by default, and holds
# what docs/guide/containers.md says of it:
#
#     ci/container.sh
#
# - the default seccomp profile hides io_uring: `proact doctor` says so, epoll is taken, and a server that was asked for
#   io_uring ends with an error that names the filter;
# - a server on epoll answers curl, is process 1, and ends well and at once by the SIGTERM of `podman stop`;
# - with the three calls allowed that the page names, the ring is taken.
#
# Podman and crun are installed from Debian's packages where they are missing. Everything lies in target/container.
# PROACT_CONTAINER_PROFILE=release runs optimized programs.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

[[ $(id -u) == 0 ]] || die "starting containers from a folder is done as root here"
need podman podman
need crun crun
need curl curl
need jq jq
profiles=/usr/share/containers/seccomp.json
need $profiles golang-github-containers-common

here=$PWD/target/container
root=$here/root
name=proact-container-$$
rm -rf "$here"
mkdir -p "$root/tmp"
trap 'podman rm -f "$name" &>/dev/null || true' EXIT

build=(build --profile "${PROACT_CONTAINER_PROFILE:-dev}")
proact=$(program proact "${build[@]}" -p proact-cli --bin proact)
http=$(program http "${build[@]}" -p proact-examples --bin http)
cp "$proact" "$http" "$root/"
# A container of nothing but the programs, and the libraries that they are linked to.
ldd "$proact" "$http" | grep -o '/[^ :]*\.so[^ :]*' | sort -u | while read -r library; do
    command install -D "$library" "$root$library"
done

# contained OPTION... --rootfs ROOT PROGRAM...: podman run. Where version 1 of cgroups is mounted too, as some virtual
# machines have it, crun refuses: then it sees a namespace that has version 2 alone.
# Limits are those of this shell, since a sandbox may not be let raise them.
contained() {
    local run=(podman --cgroup-manager=cgroupfs run --name "$name" --cgroups=disabled --network=host
        --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@")
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        "${run[@]}"
    else
        unshare -m bash -c 'mount --make-rprivate / && umount -R /sys/fs/cgroup &&
            mount -t cgroup2 none /sys/fs/cgroup && exec "$@"' contained "${run[@]}"
    fi
}

say "the default profile"
told=$(contained --rm --rootfs "$root" /proact doctor 2>&1) || true
holds "doctor" "$told" 'auto takes +epoll'
holds "doctor" "$told" '^io_uring: .*seccomp filter'
holds "doctor" "$told" '^epoll: usable'
told=$(contained --rm --env PROACT_BACKEND=io_uring --rootfs "$root" /http --listen 127.0.0.1:0 2>&1) &&
    die "a server that was asked for io_uring started without it: $told"
holds "a server asked for io_uring" "$told" 'seccomp filter'

# serves PROFILE-OPTION...: a server answers, and is stopped.
serves() {
    contained --detach "$@" --rootfs "$root" /http --listen 127.0.0.1:0 >/dev/null
    local address= body began
    for _ in {1..600}; do
        address=$(podman logs "$name" 2>/dev/null | sed -n 's/^listening on //p')
        [[ -n $address ]] && break
        sleep 0.05
    done
    [[ -n $address ]] || die "no server in the container: $(podman logs "$name" 2>&1)"
    body=$(curl -s --max-time 30 -w ' %{http_code}' "http://$address/")
    holds "the server's answer" "$body" ' 200$'
    is "process 1" "$(podman inspect --format '{{.State.Status}}' "$name")" running
    began=$SECONDS
    podman stop --time 60 "$name" >/dev/null
    is "its exit code" "$(podman inspect --format '{{.State.ExitCode}}' "$name")" 0
    ((SECONDS - began < 30)) || die "SIGTERM was not heard: it took $((SECONDS - began)) s to stop"
    podman rm "$name" >/dev/null
}
serves

say "with the ring's three calls allowed"
jq '.syscalls += [{names: ["io_uring_setup", "io_uring_enter", "io_uring_register"], action: "SCMP_ACT_ALLOW"}]' \
    $profiles >"$here/profile.json"
told=$(contained --rm --security-opt seccomp="$here/profile.json" --rootfs "$root" /proact doctor 2>&1)
holds "doctor" "$told" 'auto takes +io_uring'
holds "doctor" "$told" '^io_uring: usable'
serves --security-opt seccomp="$here/profile.json" --env PROACT_BACKEND=io_uring

say "$checks checks in containers hold"
