# Keeps the instance directory of one container. The container looks after itself: it ends when it has been without a
# connection for as long. What it cannot see is a client that was killed between creating it and starting it; and one
# that was killed before it told anybody of the container need not be waited for.
#
#   ... CONTAINER ENGINE
container=$1 engine=$2 looks=0

alive() { [ -e "$instance/serving" ] && ! abandoned && ! ended; }

withdraw() { :; }

resume() { [ -e "$instance/server" ]; }

clean_up() {
    forget_pointer
    if [ -e "$instance/creating" ]; then discard; fi
    remove_instance
}

abandoned() { [ -e "$instance/creating" ] && ! leased; }

# Whoever uses a container notices its end and says so. One that is only kept is asked after every ten seconds.
ended() {
    [ $kept = yes ] || return 1
    looks=$(((looks + 1) % 10))
    [ $looks = 0 ] && is_gone
}

# The engine may still be busy with the creation when its client is gone.
discard() {
    for attempt in 1 2 3 4 5; do
        is_settled && return
        nap
    done
}

# Removes the container, with whatever this machine has to talk to an engine. Where there is nothing, one that runs
# ends by itself, and the next start sweeps one that does not.
is_settled() {
    if has_command; then
        said=$(command_of_engine rm --force --volumes "$container" 2>&1)
        # Newer clients call it a success that there is no such container.
        case $said in "$container" | *'already in progress'*) return 0 ;; esac
    else
        case $(status_of DELETE "$container?force=true&v=true") in 204 | 409) return 0 ;; esac
    fi
    return 1
}

# An engine that does not answer says nothing about its containers.
is_gone() {
    if has_command; then
        found=$(command_of_engine ps --all --quiet --filter "name=^$container\$") && [ -z "$found" ]
    else
        [ "$(status_of GET "$container/json")" = 404 ]
    fi
}

has_command() { command -v docker || command -v podman; } > /dev/null

command_of_engine() {
    if command -v docker > /dev/null; then docker --host "$engine" "$@"; else podman --url "$engine" "$@"; fi
}

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
mkdir "$instance/lanes" && describe container - "$linger" "$container" "$engine" || { clean_up; exit 1; }
exec 2> /dev/null
watch
