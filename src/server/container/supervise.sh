# The supervisor of one container. It owns the instance directory; the container ends itself.
#
#   ... CONTAINER ENGINE
#
#   file `creating`?   client lives?   the supervisor
#   yes                yes             waits: the client is creating and starting the container
#   yes                no              removes the container and the directory at once
#   no                 (any)           deletes the directory when it has no valid lease for LINGER
#                                      seconds, or when the container is gone
#
# While `creating` exists, only the client can find the container. If the client is killed then, no
# other process can use the container. It may even be one that was created and never started, which
# has no entrypoint to end it. Later, the container may have users on other leases, so the
# supervisor never ends it. The entrypoint sees connections, and ends the container after the last
# one.
container=$1 engine=$2 polls=0

# A client that detects the container's end deletes `serving` (Instance::give_up).
alive() { [ -e "$instance/serving" ] && ! abandoned && ! ended; }

# The container saves its data itself (entrypoint.sh).
save() { :; }

# There is no server process on this machine to stop.
withdraw() { :; }

# Whether the killed supervisor had finished its start-up. The script's arguments are all that the
# next one needs.
resume() { [ -e "$instance/server" ]; }

# The pointer first, so that no client joins.
clean_up() {
    forget_pointer
    if [ -e "$instance/creating" ]; then discard; fi
    remove_instance
}

abandoned() { [ -e "$instance/creating" ] && ! leased; }

# Whether the container of a kept database is gone. A process that uses a container detects its end.
# If the only lease is one with a term, this script polls the engine every ten seconds instead.
ended() {
    [ $kept = yes ] || return 1
    polls=$(((polls + 1) % 10))
    [ $polls = 0 ] && is_gone
}

# Removes the container, with up to five attempts. When the client is killed, the engine may still
# be creating the container.
discard() {
    for attempt in 1 2 3 4 5; do
        is_removed && return
        nap
    done
}

# Tries to remove the container, with the engine's command or with curl. Succeeds if it is removed
# or being removed. On a machine with neither program, a running container ends itself, and the next
# start sweeps one that does not run (sweep.rs).
is_removed() {
    if has_command; then
        output=$(command_of_engine rm --force --volumes "$container" 2>&1)
        # The exit code does not suffice: newer clients report success for a container that does not
        # exist. The engine may be about to create the container. Only the container's name in the
        # output means that it was removed.
        case $output in "$container" | *'already in progress'*) return 0 ;; esac
    else
        case $(status_of DELETE "$container?force=true&v=true") in 204 | 409) return 0 ;; esac
    fi
    return 1
}

# Whether the engine answers that it has no such container. Without an answer, the container may
# still run.
is_gone() {
    if has_command; then
        found=$(command_of_engine ps --all --quiet --filter "name=^$container\$") \
            && [ -z "$found" ]
    else
        [ "$(status_of GET "$container/json")" = 404 ]
    fi
}

has_command() { command -v docker || command -v podman; } > /dev/null

command_of_engine() {
    if command -v docker > /dev/null; then
        docker --host "$engine" "$@"
    else
        podman --url "$engine" "$@"
    fi
}

# Prints the HTTP status of a request: status_of METHOD CONTAINER-PATH
status_of() {
    case $engine in
        unix://*) set -- "$1" "http://engine/containers/$2" --unix-socket "${engine#unix://}" ;;
        tcp://*) set -- "$1" "http://${engine#tcp://}/containers/$2" ;;
        *) return 1 ;;
    esac
    curl --silent --output /dev/null --write-out '%{http_code}' --request "$@"
}

if [ "$lease" = - ]; then
    exec 2> /dev/null
    take_over
fi

make_instance
mkdir "$instance/lanes" && describe container - "$linger" "$container" "$engine" \
    || { clean_up; exit 1; }
exec 2> /dev/null
watch
