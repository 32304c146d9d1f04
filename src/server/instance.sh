# What every supervisor does: makes the instance directory, watches its leases, and takes the directory back.
#
#   sh SCRIPT INSTANCE POINTER LINGER LEASE ...
#
# Everything that an instance needs is created here and not by the client, so that a client killed at any moment
# leaves nothing that this script does not remove. Standard error is a pipe that the client reads until the work of
# starting is done.
#
# Two shells look after an instance, because a shell can be killed too, and PostgreSQL does not end with its parent:
#
#   supervisor (file `owner`) --- looks once a second ---> deputy (file `deputy`)
#   the deputy is killed:       the supervisor appoints another deputy
#   the supervisor is killed:   the deputy becomes the supervisor, and appoints a deputy of its own
#   both within one second:     the next start with this state directory decides (orphans.rs): while a lease is valid it
#                               starts this script with the lease `-`, which takes the server over; else it ends it
set -uf
umask 077
cd /
trap '' HUP
trap 'stop=yes' INT TERM

instance=$1 pointer=$2 linger=$3 lease=$4
shift 4
stop=no kept=no me= me_started= deputy= deputy_started=

# When process $1 started, in the same words as the client's; nothing when it has ended.
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

# Whether a living process holds a lease (a file PID.START.COUNT), or one with a term does (until.SECONDS.ID). Processes
# come first: when it is `kept`, nobody uses it.
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

nap() { sleep 1 & wait $!; }

is_living() { [ -n "$1" ] && started "$1" && [ "$start" = "$2" ]; }

# The mark of the shell that runs this. In a subshell `$$` is still its parent's number.
identify() {
    if [ -r /proc/self/stat ]; then read -r me rest < /proc/self/stat; else me=$(exec sh -c 'echo "$PPID"'); fi
    started "$me" || exit 1
    me_started=$start passing=$instance.of.$me.$start
}

# Starts the shell that takes over when this one is killed.
appoint() {
    deputise &
    deputy=$!
    if started "$deputy"; then deputy_started=$start; else deputy_started=; fi
}

deputise() {
    # By `exec`: for a redirected function, a shell keeps a copy of the client's pipe, to restore it later.
    exec 2> /dev/null
    supervisor=$me supervisor_started=$me_started
    while is_living "$supervisor" "$supervisor_started"; do nap; done
    take_over
}

# A reader never finds half a mark.
write_mark() { echo "$2" > "$instance/$1.new" && mv "$instance/$1.new" "$instance/$1"; }

# Continues where a killed supervisor stopped. The backend brings `resume`, which finds the server again.
take_over() {
    trap 'stop=yes' INT TERM
    identify
    appoint
    if [ -d "$instance" ]; then
        # First the owner: the deputy's file names this shell until then, so one of the two always names a living one.
        write_mark owner "$me.$me_started"
        write_mark deputy "$deputy.$deputy_started"
        # A supervisor that was killed while it retired may have signalled the server already. No test uses it: a client
        # with a lease waits until `retiring` is gone.
        if [ ! -e "$instance/retiring" ] && resume; then watch; exit 0; fi
        rm -f "$instance/serving"
    fi
    end_group
    withdraw
    clean_up
    exit 0
}

# Processes that a killed supervisor had started to prepare its server, in `left`. They are in the process group of the
# first supervisor, whose number is `$$` in every deputy.
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

# Neither this shell and its deputy nor what they have started.
add_member() {
    if [ "$3" = $$ ] && [ "$1" != "$me" ] && [ "$1" != "$deputy" ] && [ "$2" != "$me" ] && [ "$2" != "$deputy" ]; then
        left="$left $1"
    fi
}

# The server that `initdb` talks to ends with it, and then gives its shared memory back: it is killed last.
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

# A killed postmaster leaves its System V segment; its number is the second word of its file's seventh line. One that is
# still in use is freed when its last process ends.
free_segment() {
    if [ -r "$1/postmaster.pid" ]; then
        segment=$(sed -n '7s/^ *[0-9]* *\([0-9]*\) *$/\1/p' "$1/postmaster.pid")
        [ -n "$segment" ] && ipcrm -m "$segment" 2> /dev/null
    fi
}

# Whether this shell is still the one that `owner` names. A start that found both shells dead may have appointed another
# supervisor, while a deputy took over whose mark no file held.
is_owner() {
    { read -r owner < "$instance/owner"; } 2> /dev/null || return 0
    [ "$owner" = "$me.$me_started" ] || ! is_living "${owner%%.*}" "${owner#*.}"
}

# The supervisor's last act: until then the deputy would finish its work.
dismiss_deputy() { if is_living "$deputy" "$deputy_started"; then kill -KILL "$deputy"; fi; }

# A killed process may still be writing.
remove() {
    for attempt in 1 2 3 4 5; do
        rm -rf "$1" 2> /dev/null && return
        nap
    done
}

# The pointer may already lead to a successor.
forget_pointer() {
    if grep -q "\"${instance##*/}\"" "$pointer" 2> /dev/null; then rm -f "$pointer"; fi
}

# Out of the way at once: a newcomer's lease in a half removed directory would keep it from going. A killed supervisor may
# have left the directory under a name of its own.
remove_instance() {
    [ -d "$instance" ] && mv "$instance" "$passing"
    set +f
    set -- "$instance".of.*
    set -f
    for half; do remove "$half"; done
    dismiss_deputy
}

# An instance directory never lacks its owner's mark: in its name while it is half made or half removed.
make_instance() {
    identify
    appoint
    mkdir -p "$passing/leases" && echo "$me.$me_started" > "$passing/owner" \
        && echo "$deputy.$deputy_started" > "$passing/deputy" && : > "$passing/leases/$lease" \
        && : > "$passing/serving" && : > "$passing/log" && mv "$passing" "$instance" \
        || { rm -rf "$passing"; dismiss_deputy; exit 1; }
}

# What a later start needs to take the server over: the backend, the server's mark, the linger, the backend's arguments.
describe() { printf '%s\n' "$@" > "$instance/server.new" && mv "$instance/server.new" "$instance/server"; }

# Until nobody has leased the instance for `linger` seconds, or there is nothing to be used any more. The backend
# brings `alive`, `withdraw` and `clean_up`.
watch() {
    idle=0
    while alive; do
        if ! is_owner; then
            dismiss_deputy
            exit 0
        fi
        is_living "$deputy" "$deputy_started" || { appoint; write_mark deputy "$deputy.$deputy_started"; }
        if [ $stop = no ] && leased; then
            idle=0
        elif [ $stop = yes ] || [ $idle -ge "$linger" ]; then
            # A client that leased before the rename is seen by the second look; a later one sees the rename.
            mv "$instance/serving" "$instance/retiring"
            if [ $stop = no ] && leased; then
                mv "$instance/retiring" "$instance/serving"
                idle=0
            else
                withdraw
                clean_up
                exit 0
            fi
        else
            idle=$((idle + 1))
        fi
        nap
    done
    # It died by itself. Its log stays for as long as somebody may ask why; what was kept went with it.
    rm -f "$instance/serving"
    while [ $stop = no ] && leased && [ $kept = no ]; do nap; done
    clean_up
}

