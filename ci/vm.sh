#!/usr/bin/env bash
# Runs the suite inside small virtual machines, on other kernels and with devices that this machine lacks:
#
#     ci/vm.sh                          everything on each kernel
#     ci/vm.sh 6.1                      on one of them (6.1, 6.12)
#     ci/vm.sh 6.12 epoll/ /futex       only the cases of these filters, each as the suite's program takes it
#     ci/vm.sh 6.12 nodes               only what is about memory nodes
#
# The kernels are Debian 12's own, 6.1 and the 6.12 of its security archive, with their modules: real sync_file fences
# (vgem), dmabufs, an NVMe disk. Each boots twice: with two processors for the library's tests and the whole suite, and
# with several memory nodes for what is about them. Everything is emulated (no KVM), and slow: give it an hour.
#
# Meant for Debian, as root: what is missing is installed. All that is kept lies in target/vm, the output of each
# machine among it. Fails when anything fails, when a machine does not end, and when a case is skipped that these
# machines are there for.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

kernels=${1:-all}
filters=("${@:2}")
# How often what the filters take is run.
runs=${PROACT_VM_RUNS:-1}
kept=$PWD/target/vm
target=x86_64-unknown-linux-gnu
mkdir -p "$kept"

# What a case waits with is multiplied by this machine's slowness, and that of its emulation.
patience=${PROACT_CTS_PATIENCE:-60}
# How long a program may take in the machine, and a machine in all, in seconds.
program_max=${PROACT_VM_PROGRAM_MAX:-5400}
machine_max=$((program_max + 600))

# What lies in the machine: the port of the results, a network device, the disk of temporary files and its file system,
# fences.
modules="virtio_pci virtio_console virtio_net nvme ext4 vgem null_blk"

# ---- the kernels

# matching VERSION: the packages of a kernel, as an expression.
matching() {
    case $1 in
    6.1) echo '^linux-image-6\.1\.0-[0-9]+-amd64$' ;;
    6.12) echo '^linux-image-6\.12\.[0-9]+[+]deb12-amd64$' ;;
    *) die "6.1 and 6.12 are known, not $1" ;;
    esac
}

newest() { apt-cache search --names-only "$(matching "$1")" | awk '{ print $1 }' | sort -V | tail -1; }

# Has apt look at Debian 12, on the mirrors that this system uses, without a change to the system.
look_at_bookworm() {
    local folder=$kept/apt sources
    mkdir -p "$folder"/state/lists/partial "$folder"/cache/archives/partial
    # shellcheck disable=SC2016 # apt's own variables
    sources=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sort -u |
        sed -n -e 's/^Debian \(http.*\)/deb \1 bookworm main/p' \
            -e 's/^Debian-Security \(http.*\)/deb \1 bookworm-security main/p')
    [[ -n $sources ]] || die "no Debian mirror is configured here"
    printf '%s\n' "$sources" >"$folder/sources.list"
    cat >"$folder/apt.conf" <<END
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$folder/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$folder/cache";
END
    export APT_CONFIG=$folder/apt.conf
    apt-get update -qq || die "apt-get cannot update its lists of Debian 12"
}

# kernel VERSION: unpacks its newest package, unless it is there, and sets `root`, `release` and `image`.
kernel() {
    local package base
    package=$(newest "$1")
    if [[ -z $package ]]; then
        say "this system's archives have no Linux $1; looking at Debian 12's"
        look_at_bookworm
        package=$(newest "$1")
        [[ -n $package ]] || die "no package $(matching "$1")"
    fi
    root=$kept/kernels/$package
    if [[ ! -e $root ]]; then
        say "fetching $package"
        mkdir -p "$kept/packages" "$kept/kernels"
        # The sandbox's user may not write here.
        (cd "$kept/packages" && apt-get download -qq -o APT::Sandbox::User=root "$package") ||
            die "apt-get cannot download $package"
        rm -rf "$root.part"
        dpkg-deb -x "$kept/packages/${package}"_*.deb "$root.part"
        base=$root.part
        [[ -e $base/lib/modules ]] || base=$base/usr
        depmod -b "$base" "$(ls "$base/lib/modules")"
        mv "$root.part" "$root"
    fi
    base=$root
    [[ -e $base/lib/modules ]] || base=$base/usr
    modules_base=$base
    release=$(ls "$base/lib/modules")
    image=$root/boot/vmlinuz-$release
    [[ -e $image ]] || die "$package has no $image"
}

# ---- the programs

# Static, since the machine has no library; optimized, since it is slow, and with every assertion.
programs() {
    say "building"
    mkdir -p "$kept/programs"
    copy proact build -p proact-cli --bin proact
    copy library test --no-run -p proact --lib
    copy restricted test --no-run -p proact-cts --test restricted
    copy conformance test --no-run -p proact-cts --test conformance
}

# copy NAME CARGO-ARGUMENT...: builds a program, and puts it where the machine takes it from. The library's own tests
# have the library's name.
copy() {
    local path
    path=$(RUSTFLAGS="-C target-feature=+crt-static" \
        CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=none \
        program "${1/library/proact}" "${@:2}" --target "$target" --target-dir "$kept/build")
    cp "$path" "$kept/programs/$1"
}

# ---- the machine

# archive OUT PLAN: what the machine starts with: the programs, the modules in the order in which they load, and what
# to run.
archive() {
    local folder module file number=0 seen=" "
    folder=$(mktemp -d)
    mkdir -p "$folder"/{bin,modules,etc}
    cp "$(command -v busybox)" "$folder/bin/busybox"
    cp "$kept"/programs/* "$folder/bin/"
    cp ci/vm/init "$folder/init"
    chmod +x "$folder/init"
    printf '%s\n' "$2" >"$folder/plan"
    printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >"$folder/etc/passwd"
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$folder/etc/hosts"
    for module in $modules; do
        while read -r _ file _; do
            case $seen in *" $file "*) continue ;; esac
            seen+="$file "
            number=$((number + 1))
            local name
            name=$folder/modules/$(printf '%03d' "$number")-$(basename "$file")
            case $file in
            *.xz) xz -dc "$file" >"${name%.xz}" ;;
            *) cp "$file" "$name" ;;
            esac
        done < <(modprobe -d "$modules_base" -S "$release" --show-depends "$module" | grep ^insmod)
    done
    (cd "$folder" && find . | cpio -o -H newc --quiet) >"$1"
    rm -rf "$folder"
}

# machine NAME PLAN OPTION...: boots, and leaves what the programs said in `results`, and the console's text beside it.
machine() {
    local name=$1 plan=$2 folder=$kept/$version/$1 status=0
    shift 2
    mkdir -p "$folder"
    results=$folder/results.log
    console=$folder/console.log
    rm -f "$results" "$console" "$folder/disk"
    archive "$folder/initramfs" "$plan"
    truncate -s 2G "$folder/disk"
    mkfs.ext4 -q -F "$folder/disk"
    say "--- Linux $release, $name; follow it in $results"
    timeout --foreground -k 10 "$machine_max" qemu-system-x86_64 -accel tcg,thread=multi -machine q35 -cpu max \
        -nodefaults -display none -no-reboot -serial "file:$console" \
        -kernel "$image" -initrd "$folder/initramfs" \
        -append "console=ttyS0 panic=-1 oops=panic quiet mitigations=off" \
        -device virtio-serial-pci -chardev "file,id=results,path=$results" -device virtserialport,chardev=results \
        -drive "file=$folder/disk,format=raw,if=none,id=disk,cache=unsafe" -device nvme,drive=disk,serial=proact \
        "$@" || status=$?
    rm -f "$folder/disk" "$folder/initramfs"
    [[ $status == 124 || $status == 137 ]] && say "error: the machine did not end in $machine_max s"
    judge "$name"
}

# ---- the report

failed=0
rows=()

# judge NAME: reads the results. Every program must have ended with success, and the machine must have come to its end.
judge() {
    local why=() counts missed verdict=ok
    grep -q '^=== finished' "$results" 2>/dev/null || why+=("the machine did not come to its end")
    while read -r _ _ part status; do
        [[ $status == 0 ]] || why+=("$part ended with $status")
    done < <(grep '^=== end ' "$results" || true)
    # Simulated worlds have no devices and processors anywhere.
    missed=$(grep -E "^test ($must)" "$results" | grep -v '^test simulated::' | grep ' \.\.\. ignored' |
        grep -v -E "$may" || true)
    [[ -z $missed ]] || why+=("skipped, though this machine is there for it:"$'\n'"$missed")
    counts=$(awk '/^test .* \.\.\. / {
        if (/ \.\.\. ok/) p++; else if (/ \.\.\. ignored/) s++; else if (/ \.\.\. FAILED/) f++ }
        END { printf "%d passed, %d failed, %d skipped", p, f, s }' "$results" 2>/dev/null || true)
    sed -n '/^=== kernel/p; /^=== devices/p; /^=== nodes/p; /^=== begin doctor/,/^=== end doctor/p' "$results"
    if [[ ${#why[@]} -gt 0 ]]; then
        failed=1 verdict=FAILED
        say "=== Linux $release, $1: failed"
        # What each test program says of its failures; the ends of both logs where nothing was said.
        sed -n '/^failures:/,/^test result:/p; /^=== no end/,/^=== end/p' "$results" >&2 || true
        if ! grep -q '^=== finished' "$results" 2>/dev/null; then
            tail -n 40 "$results" >&2 || true
            tail -n 40 "$console" >&2 || true
        fi
        printf 'error: %s\n' "${why[@]}" >&2
    fi
    rows+=("$(printf '%-22s %-6s %-7s %s' "$release" "$1" "$verdict" "$counts")")
    # Numbers of ports and the like differ from case to case.
    while read -r line; do rows+=("        $line"); done < <(
        sed -n 's/^test .* \.\.\. ignored,\{0,1\} *//p' "$results" | sed 's/:[0-9][0-9]*/:N/g' | sort | uniq -c |
            sort -rn
    )
}

# part NAME ARGUMENT...: a line of a machine's plan.
part() {
    printf 'part %s %s' "$1" "$program_max"
    printf ' %q' "${@:2}"
    printf '\n'
}

on() {
    version=$1
    kernel "$version"
    environment="export PROACT_CTS_PATIENCE=$patience PROACT_CTS_REQUIRE=io_uring,epoll,poll"
    [[ ${filters[*]} == nodes ]] || suite
    [[ -n ${filters[*]} && ${filters[*]} != nodes ]] || nodes
}

# The library's tests, the programs that are restricted, and the suite, or what the filter takes of it.
suite() {
    local plan run filter
    plan=$environment$'\n'$(part doctor proact doctor)$'\n'
    if [[ ${#filters[@]} == 0 ]]; then
        plan+=$(part library library)$'\n'$(part restricted restricted)$'\n'$(part conformance conformance)
    else
        for ((run = 1; run <= runs; run++)); do
            for filter in "${filters[@]}"; do
                plan+=$(part "$filter" conformance "$filter")$'\n'
            done
        done
    fi
    # What must not be skipped, but for what may: 6.1 has vgem, and no device of the other memory.
    must='[a-z_]*::device_fence::' may='^$'
    [[ $version != 6.1 ]] || may='/dev/(udmabuf|dma_heap)'
    machine suite "$plan" -smp 2 -m 2048
}

# What is about memory nodes. Three: two with processors, of which one has devices, and one with nothing but memory.
nodes() {
    local plan
    plan=$environment$'\n'$(part doctor proact doctor)$'\n'
    plan+=$(part topology library topology)$'\n'$(part numa library numa)$'\n'
    plan+=$(part affinity conformance /affinity)$'\n'$(part pool conformance /proactor_pool)
    must='.*(topology|numa|affinity)' may='^$'
    machine nodes "$plan" -smp 4 -m 1536 \
        -object memory-backend-ram,id=memory0,size=512M -numa node,nodeid=0,cpus=0-1,memdev=memory0 \
        -object memory-backend-ram,id=memory1,size=512M -numa node,nodeid=1,cpus=2-3,memdev=memory1 \
        -object memory-backend-ram,id=memory2,size=512M -numa node,nodeid=2,memdev=memory2 \
        -device pxb-pcie,id=far,bus_nr=64,numa_node=1 \
        -device pcie-root-port,id=far0,bus=far,chassis=1,slot=1 \
        -device pcie-root-port,id=far1,bus=far,chassis=2,slot=2 \
        -device pcie-root-port,id=far2,bus=far,chassis=3,slot=3 \
        -drive driver=null-co,size=64M,if=none,id=null \
        -device nvme,drive=null,serial=far,bus=far0 -device virtio-net-pci,bus=far1,romfile= \
        -device bochs-display,bus=far2
}

main() {
    need qemu-system-x86_64 qemu-system-x86
    need busybox busybox-static
    need cpio cpio
    need modprobe kmod
    need depmod kmod
    need xz xz-utils
    need mkfs.ext4 e2fsprogs
    need /usr/lib/x86_64-linux-gnu/libc.a libc6-dev
    programs
    local one
    case $kernels in
    all) for one in 6.1 6.12; do on "$one"; done ;;
    6.1 | 6.12) on "$kernels" ;;
    *) die "6.1, 6.12 and all are known, not $kernels" ;;
    esac
    printf '%s\n' "" "in virtual machines:" "${rows[@]}"
    exit "$failed"
}

main
