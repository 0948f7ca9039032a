#!/usr/bin/env bash
# A commit that fails at the last moment, made to order: what a client has to expect when the
# security label of an image has not been changed in time.
#
# Needs bash, socat and qmpd (QMPD="python3 -m qmpd" if the program is not in PATH). It starts a
# qmpd of its own with images in RAM and two monitors: one as a client has it, one for the lab.
set -euo pipefail

read -ra qmpd <<<"${QMPD:-qmpd}"
folder=$(mktemp -d)
nodes=() monitors=() images=

node() { # LAYER READ-ONLY BELOW: a storage node and a format node on top of it, as libvirt does
    nodes+=(--blockdev "{\"driver\": \"file\", \"node-name\": \"$1-storage\",
        \"filename\": \"/images/$1.qcow2\", \"auto-read-only\": true}")
    nodes+=(--blockdev "{\"driver\": \"qcow2\", \"node-name\": \"$1\", \"read-only\": $2,
        \"file\": \"$1-storage\", \"backing\": $3}")
    images+="[[image]]"$'\n'"path = \"/images/$1.qcow2\""$'\n'
    [[ $3 == null ]] || images+="backing = \"/images/$(tr -d '"' <<<"$3").qcow2\""$'\n'
}

monitor() { # NAME
    monitors+=(--chardev "socket,id=$1,path=$folder/$1.sock,server=on,wait=off" --monitor "$1")
}

say() { printf '\n# %s\n' "$*"; }

# --- two conversations -----------------------------------------------------------------------
# Lines to a monitor go through one pipe, lines from it come through another.

declare -A to from

greet() { # MONITOR: connect; read the greeting, and end the negotiation
    mkfifo "$folder/$1.to" "$folder/$1.from"
    socat "UNIX-CONNECT:$folder/$1.sock" - <"$folder/$1.to" >"$folder/$1.from" &
    local writing reading
    exec {writing}>"$folder/$1.to" {reading}<"$folder/$1.from"
    to[$1]=$writing from[$1]=$reading
    read -r <&"$reading"
    ask "$1" qmp_capabilities >/dev/null
}

ask() { # MONITOR COMMAND [ARGUMENTS]: send it, and show what comes until it is answered
    local line
    printf '\n-> %s: %s %s\n' "$1" "$2" "${3-}"
    printf '{"execute": "%s", "arguments": %s}\n' "$2" "${3-"{}"}" >&"${to[$1]}"
    while read -r line <&"${from[$1]}"; do
        [[ $line == *'"event": '* ]] || break
        event "$1" "$line"
    done
    printf '<- %s\n' "${line:?the daemon has gone}"
}

event() { # MONITOR LINE: without its timestamp; both monitors have the same events
    [[ $1 == lab ]] || printf ' * {%s\n' "${2#*'}, '}"
}

await() { # MONITOR STATUS: show events until a job has come to it
    local line
    while read -r line <&"${from[$1]}"; do
        event "$1" "$line"
        [[ $line != *"\"status\": \"$2\""* ]] || return 0
    done
    return 1
}

# --- what happens ----------------------------------------------------------------------------

node base true null
node middle true '"base"'
node overlay true '"middle"'
node active false '"overlay"'
monitor client
monitor lab

printf '%s' "$images" >"$folder/images.toml"
"${qmpd[@]}" --lab --storage memory --scenario "$folder/images.toml" --daemonize \
    --pidfile "$folder/pid" "${nodes[@]}" "${monitors[@]}"
trap 'kill "$(cat "$folder/pid" 2>/dev/null)" 2>/dev/null || true; rm -rf "$folder"' EXIT
greet client
greet lab

say 'The lab: the commit is to stop before it may finish'
ask lab x-qmpd-hold '{"job": "commit0", "before": "pending"}'

say 'The client: commit the middle into the base'
ask client block-commit '{"job-id": "commit0", "device": "active", "top-node": "middle",
    "base-node": "base", "auto-dismiss": false}'
await client waiting

say 'The lab: where does it stand, and which files are open for writing now?'
ask lab x-qmpd-jobs
ask lab x-qmpd-files

say 'The lab: the overlay, whose header is to name another backing file, may not be written'
ask lab x-qmpd-deny '{"path": "/images/overlay.qcow2", "access": "write"}'
ask lab x-qmpd-release '{"job": "commit0"}'

say 'The client: sees the job fail'
await client concluded
ask client query-jobs
ask client job-dismiss '{"id": "commit0"}'

say 'The lab: what became of the job, and who tried to open what, from the journal'
ask lab x-qmpd-journal '{"kinds": ["transition", "open"]}' | sed 's/}}, {/}},\n    {/g'

say 'The client: ends the daemon'
ask client quit
