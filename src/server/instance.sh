# What every supervisor does: makes the instance folder, watches its leases, and takes the folder back.
#
#   sh SCRIPT INSTANCE POINTER LINGER LEASE ...
#
# Everything that an instance needs is created here and not by the client, so that a client killed at any moment
# leaves nothing that this script does not remove. Standard error is a pipe that the client reads until the work of
# starting is done.
set -uf
umask 077
cd /
trap '' HUP
trap 'stop=yes' INT TERM

instance=$1 pointer=$2 linger=$3 lease=$4
shift 4
stop=no kept=no

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

# Out of the way at once: a newcomer's lease in a half removed folder would keep it from going.
remove_instance() {
    mv "$instance" "$passing"
    remove "$passing"
}

# An instance folder never lacks its owner's mark: in its name while it is half made or half removed.
make_instance() {
    started $$ || exit 1
    passing=$instance.of.$$.$start
    mkdir -p "$passing/leases" || exit 1
    echo "$$.$start" > "$passing/owner" && : > "$passing/leases/$lease" && : > "$passing/serving" \
        && : > "$passing/log" && mv "$passing" "$instance" || { rm -rf "$passing"; exit 1; }
}

# Until nobody has leased the instance for `linger` seconds, or there is nothing to be used any more. The backend
# brings `alive`, `withdraw` and `clean_up`.
watch() {
    idle=0
    while alive; do
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

