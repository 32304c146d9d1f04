# The part that all supervisors share: makes the instance directory, watches its leases, and deletes
# the directory.
#
#   sh SCRIPT INSTANCE POINTER LINGER LEASE ...
#
# The supervisor creates everything that an instance needs, and the client creates nothing. So a
# client that is killed at any moment leaves nothing that this script does not remove. Standard
# error is a pipe that the client reads until the start-up work is done.
#
# The life of an instance (registry/mod.rs draws the states that clients see):
#
#   make_instance   INSTANCE.of.PID.START is filled, then renamed to INSTANCE, with `serving` in it
#        v
#   watch  <---------------------------------------------------------------+
#        |  no valid lease for LINGER seconds, or the signal INT or TERM   |
#        v                                                                 |
#   `serving` is renamed to `retiring`, the leases are read once more      |
#        |          |  a lease was written meanwhile: renamed back         |
#        |          +------------------------------------------------------+
#        v
#   save            the backend may save the server's data, unless a signal has arrived
#        v
#   withdraw        the backend stops the server
#        v
#   clean_up        the pointer, the data, and at last INSTANCE, which is renamed, then deleted
#
#   When the server ends by itself, watch deletes `serving`, keeps the log for processes with a
#   lease, and then runs clean_up.
#
# Two shells watch an instance. A shell can be killed too, and PostgreSQL does not end with its
# parent:
#
#   supervisor (file `owner`)  <--- each checks once a second that the other lives --->  deputy
#   the deputy is killed:       the supervisor starts another deputy
#   the supervisor is killed:   the deputy becomes the supervisor and starts a deputy of its own
#   both within one second:     the instance is an orphan. The next start with this state
#                               directory decides (orphans.rs). While a lease is valid, it runs this
#                               script with the lease `-`, which takes the server over. Otherwise it
#                               ends the server.
set -uf
umask 077
cd /
trap '' HUP
trap 'stop=yes' INT TERM

instance=$1 pointer=$2 linger=$3 lease=$4
shift 4
stop=no kept=no me='' me_started='' deputy='' deputy_started=''

# Sets `start` to the start time of process $1, in the format of the client (process.rs). Fails if
# the process has ended. A pid alone does not identify a process, because the system reuses it.
started() {
    if [ -r /proc/self/stat ]; then
        { read -r stat < "/proc/$1/stat"; } 2> /dev/null || return 1
        set -- ${stat##*)}
        case $1 in Z | X) return 1 ;; esac
        start=${20-}
    else
        start=$(ps -o lstart= -p "$1" 2> /dev/null | tr -dc '0-9A-Za-z')
    fi
    [ -n "$start" ]
}

# Whether there is a valid lease: a file PID.START.COUNT of a living process, or a file
# until.SECONDS.ID whose time has not come. Deletes invalid ones. Files of processes sort first, so
# `kept` is `yes` only if no process uses the server.
leased() {
    set +f
    set -- "$instance"/leases/*
    set -f
    for held; do
        name=${held##*/}
        holder=${name%%.*} rest=${name#*.}
        if [ "$holder" = until ]; then
            [ "$(date +%s)" -lt "${rest%%.*}" ] && kept=yes && return 0
        elif [ "$holder" != '*' ] && started "$holder" && [ "$start" = "${rest%%.*}" ]; then
            kept=no
            return 0
        fi
        rm -f "$held"
    done
    return 1
}

# `wait` returns at once when a trapped signal arrives; a `sleep` in the foreground would delay the
# trap.
nap() { sleep 1 & wait $!; }

is_living() { [ -n "$1" ] && started "$1" && [ "$start" = "$2" ]; }

# Sets the mark of the shell that runs this. `$$` would not do: in a subshell it is the pid of the
# parent.
identify() {
    if [ -r /proc/self/stat ]; then
        read -r me rest < /proc/self/stat
    else
        me=$(exec sh -c 'echo "$PPID"')
    fi
    started "$me" || exit 1
    me_started=$start unfinished=$instance.of.$me.$start
}

# Starts the shell that takes over when this one is killed.
start_deputy() {
    run_as_deputy &
    deputy=$!
    if started "$deputy"; then deputy_started=$start; else deputy_started=; fi
}

# Polls the supervisor, and replaces it when it is dead.
run_as_deputy() {
    # By `exec`: for a function call with a redirection, the shell keeps a copy of the client's pipe
    # to restore it later. The client would wait for that copy to close.
    exec 2> /dev/null
    supervisor=$me supervisor_started=$me_started
    while is_living "$supervisor" "$supervisor_started"; do nap; done
    take_over
}

# Writes a mark to another file and renames it, so that no reader finds half a mark.
write_mark() { echo "$2" > "$instance/$1.new" && mv "$instance/$1.new" "$instance/$1"; }

# Continues where a killed supervisor stopped. The backend defines `resume`, which reads from the
# file `server` what the killed supervisor had in its variables.
take_over() {
    trap 'stop=yes' INT TERM
    identify
    start_deputy
    if [ -d "$instance" ]; then
        # First the owner. Until then the file `deputy` names this shell. So at every moment one of
        # the two files names a living process, and no client takes the instance for an orphan.
        write_mark owner "$me.$me_started"
        write_mark deputy "$deputy.$deputy_started"
        # A supervisor that was killed while it retired may have stopped the server already. So the
        # retirement continues. No test uses the server: a client that has written a lease waits
        # until `retiring` is gone.
        if [ ! -e "$instance/retiring" ] && resume; then watch; exit 0; fi
        rm -f "$instance/serving"
    fi
    end_group
    withdraw
    clean_up
    exit 0
}

# Sets `left` to the processes that a killed supervisor had started to prepare its server. They are
# in the process group of the first supervisor, whose pid is `$$` in every deputy.
find_group() {
    left=
    if [ -r /proc/self/stat ]; then
        set +f
        set -- /proc/[0-9]*/stat
        set -f
        for entry; do
            { read -r stat < "$entry"; } 2> /dev/null || continue
            set -- ${stat##*)}
            [ "$1" = Z ] || add_member "${stat%% *}" "$2" "$3"
        done
    else
        set -- $(ps -A -o pid= -o ppid= -o pgid=)
        while [ $# -ge 3 ]; do
            add_member "$1" "$2" "$3"
            shift 3
        done
    fi
}

# Adds a process to `left`, unless it is this shell, its deputy, or a child of one of them.
add_member() {
    if [ "$3" = $$ ] && [ "$1" != "$me" ] && [ "$1" != "$deputy" ] \
        && [ "$2" != "$me" ] && [ "$2" != "$deputy" ]; then
        left="$left $1"
    fi
}

# Ends the processes of `find_group`: with TERM for three seconds, then with KILL. The bootstrap
# server of `initdb` gets no signal for ten seconds: it ends with `initdb`, and then removes its
# shared memory. If it were killed, the shared memory would stay.
end_group() {
    for attempt in 1 2 3 4 5 6 7 8 9 10 11 12; do
        find_group
        [ -n "$left" ] || return
        for pid in $left; do
            if [ $attempt -le 3 ]; then signal=TERM; else signal=KILL; fi
            if [ "/proc/$pid/cwd" -ef "$instance/initdb" ]; then
                [ $attempt -gt 10 ] || continue
                free_segment "$instance/initdb"
            fi
            kill -$signal "$pid"
        done
        nap
    done
}

# Removes the System V segment that a killed postmaster leaves. Its identifier is the second word of
# the seventh line of `postmaster.pid`. The system keeps a segment until its last process ends.
free_segment() {
    if [ -r "$1/postmaster.pid" ]; then
        segment=$(sed -n '7s/^ *[0-9]* *\([0-9]*\) *$/\1/p' "$1/postmaster.pid")
        [ -n "$segment" ] && ipcrm -m "$segment" 2> /dev/null
    fi
}

# Whether this shell is still the supervisor. There can be two: a deputy whose mark was not written
# yet takes over, while a start that finds both marks dead starts another supervisor. The one that
# wrote `owner` last is the supervisor, and the other one ends.
is_owner() {
    { read -r owner < "$instance/owner"; } 2> /dev/null || return 0
    [ "$owner" = "$me.$me_started" ] || ! is_living "${owner%%.*}" "${owner#*.}"
}

# The last step of a supervisor. If the supervisor is killed before it, the deputy completes the
# work.
dismiss_deputy() { if is_living "$deputy" "$deputy_started"; then kill -KILL "$deputy"; fi; }

# Deletes a directory. Repeated, because a killed process may still write into it for a moment.
remove() {
    for attempt in 1 2 3 4 5; do
        rm -rf "$1" 2> /dev/null && return
        nap
    done
}

# Deletes the pointer, unless it already names another instance.
forget_pointer() {
    if grep -q "\"${instance##*/}\"" "$pointer" 2> /dev/null; then rm -f "$pointer"; fi
}

# Renames the directory before it deletes it: a client that wrote a lease into a half deleted
# directory would make `rm` fail. A killed supervisor may have left the directory under a name with
# its own mark, so all such names are deleted.
remove_instance() {
    [ -d "$instance" ] && mv "$instance" "$unfinished"
    set +f
    set -- "$instance".of.*
    set -f
    for half; do remove "$half"; done
    dismiss_deputy
}

# Fills the directory under a name that holds the supervisor's mark, then renames it. So a sweep
# finds an owner at every moment, also while the file `owner` is not written yet. The first lease is
# written here for the client: without one, the linger would begin at once.
make_instance() {
    identify
    start_deputy
    mkdir -p "$unfinished/leases" && echo "$me.$me_started" > "$unfinished/owner" \
        && echo "$deputy.$deputy_started" > "$unfinished/deputy" \
        && : > "$unfinished/leases/$lease" && : > "$unfinished/serving" && : > "$unfinished/log" \
        && mv "$unfinished" "$instance" \
        || { rm -rf "$unfinished"; dismiss_deputy; exit 1; }
}

# Writes the file `server`, with which `resume` or a later start takes the server over. Its lines:
# the backend, the server's mark, the linger, and each argument of the backend.
describe() {
    printf '%s\n' "$@" > "$instance/server.new" && mv "$instance/server.new" "$instance/server"
}

# Runs until the instance has had no valid lease for `linger` seconds, or the server has ended. The
# backend defines `alive`, `save`, `withdraw` and `clean_up`.
#
# The order of rename and second look keeps a server from being ended under a client that has just
# joined. A client writes its lease, then looks for `serving`. This shell renames `serving`, then
# looks for leases. The later of the two sees the file of the other.
watch() {
    idle=0
    while alive; do
        if ! is_owner; then
            dismiss_deputy
            exit 0
        fi
        is_living "$deputy" "$deputy_started" \
            || { start_deputy; write_mark deputy "$deputy.$deputy_started"; }
        if [ $stop = no ] && leased; then
            idle=0
        elif [ $stop = yes ] || [ $idle -ge "$linger" ]; then
            # The second look finds a client that wrote its lease before this rename. A later client
            # finds `retiring`.
            mv "$instance/serving" "$instance/retiring"
            if [ $stop = no ] && leased; then
                mv "$instance/retiring" "$instance/serving"
                idle=0
            else
                # The sender of a signal waits for the end of the server.
                [ $stop = yes ] || save
                withdraw
                clean_up
                exit 0
            fi
        else
            idle=$((idle + 1))
        fi
        nap
    done
    # The server ended by itself. The log stays while a process holds a lease, because that process
    # reports the end of the log. A lease with a time does not count: the kept database is gone.
    rm -f "$instance/serving"
    while [ $stop = no ] && leased && [ $kept = no ]; do nap; done
    clean_up
}

