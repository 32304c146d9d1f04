# Starts one PostgreSQL and takes it back when nobody leases it any more.
#
#   sh supervisor.sh INSTANCE DATA CACHE POINTER LINGER BIN LEASE POSTGRES_ARGUMENT...
#
# Everything that the server needs is created here and not by the client, so that a client killed at any
# moment leaves nothing that this script does not remove. Standard error is a pipe that the client reads
# until the server was launched.
set -uf
umask 077
cd /
trap '' HUP
trap 'stop=yes' INT TERM

instance=$1 data=$2 cache=$3 pointer=$4 linger=$5 bin=$6 lease=$7
shift 7
stop=no

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

# Whether a living process holds a lease (a file PID.START.COUNT), or one with a term does (until.SECONDS.ID).
leased() {
    set +f
    set -- "$instance"/leases/*
    set -f
    for held; do
        name=${held##*/}
        holder=${name%%.*} rest=${name#*.}
        if [ "$holder" = until ]; then
            [ "$(date +%s)" -lt "${rest%%.*}" ] && return 0
        elif [ "$holder" != '*' ] && started "$holder" && [ "$start" = "${rest%%.*}" ]; then
            return 0
        fi
        rm -f "$held"
    done
    return 1
}

nap() { sleep 1 & wait $!; }

clean_up() {
    # The pointer may already lead to a successor.
    if grep -q "\"${instance##*/}\"" "$pointer" 2> /dev/null; then rm -f "$pointer"; fi
    end_strays
    # A killed postmaster leaves its System V segment; its number is the seventh line's second word.
    if [ -r "$data/postmaster.pid" ]; then
        segment=$(sed -n '7s/^ *[0-9]* *\([0-9]*\) *$/\1/p' "$data/postmaster.pid")
        [ -n "$segment" ] && ipcrm -m "$segment" 2> /dev/null
    fi
    remove "$data"
    # Out of the way at once: a newcomer's lease in a half removed folder would keep it from going.
    mv "$instance" "$passing"
    remove "$passing"
}

# A killed process may still be writing.
remove() {
    for attempt in 1 2 3 4 5; do
        rm -rf "$1" 2> /dev/null && return
        nap
    done
}

# A backend that computes does not notice that its postmaster was killed.
end_strays() {
    set +f
    set -- /proc/[0-9]*
    set -f
    for process; do
        [ "$process/cwd" -ef "$data" ] && [ "$process/exe" -ef "$bin/postgres" ] && kill -KILL "${process#/proc/}"
    done
}

fail() {
    clean_up
    # Last, because nobody may be there to hear it any more.
    echo "ebbtide-supervisor: $1" >&2
    exit 1
}

# An instance folder never lacks its owner's mark: in its name while it is half made or half removed.
started $$ || exit 1
passing=$instance.of.$$.$start
mkdir -p "$passing/leases" || exit 1
echo "$$.$start" > "$passing/owner" && : > "$passing/leases/$lease" && : > "$passing/serving" \
    && : > "$passing/log" && mv "$passing" "$instance" || { rm -rf "$passing"; exit 1; }

initialize() {
    "$bin/initdb" --no-sync --no-instructions --username=postgres --auth=trust --encoding=UTF8 --wal-segsize=4 \
        -D "$instance/initdb" "$@" > /dev/null
}

if [ ! -d "$cache" ]; then
    # A UTF-8 character type matters to pg_trgm and ILIKE; byte order makes sorting the same everywhere.
    initialize --locale=C.UTF-8 2> /dev/null || initialize --lc-collate=C --lc-ctype=en_US.UTF-8 2> /dev/null \
        || initialize --locale=C || fail 'initdb failed'
    mkdir -p "${cache%/*}" && { mv -T "$instance/initdb" "$cache" 2> /dev/null || [ -d "$cache" ] \
        || mv "$instance/initdb" "$cache"; } || fail 'the initdb cache could not be kept'
    rm -rf "$instance/initdb"
fi
touch "$cache"
mkdir -p "${data%/*}"
{ cp -R --reflink=auto "$cache" "$data" 2> /dev/null || { rm -rf "$data"; cp -R "$cache" "$data"; }; } \
    || fail 'the data folder could not be copied'
chmod 700 "$data"
# Lane files are written twice a test: beside the data they are in memory when it is.
mkdir "$data/ebbtide_lanes" && ln -s "$data/ebbtide_lanes" "$instance/lanes" || fail 'the lanes folder could not be made'

"$bin/postgres" -D "$data" "$@" < /dev/null >> "$instance/log" 2>&1 &
server=$!
exec 2> /dev/null

idle=0
while kill -0 $server; do
    if [ $stop = no ] && leased; then
        idle=0
    elif [ $stop = yes ] || [ $idle -ge "$linger" ]; then
        # A client that leased before the rename is seen by the second look; a later one sees the rename.
        mv "$instance/serving" "$instance/retiring"
        if [ $stop = no ] && leased; then
            mv "$instance/retiring" "$instance/serving"
            idle=0
        else
            # The data is thrown away next: no checkpoint is worth waiting for.
            # A background job of a shell starts with QUIT ignored: until PostgreSQL handles its signals, TERM ends it.
            kill -TERM $server
            kill -QUIT $server
            wait $server
            clean_up
            exit 0
        fi
    else
        idle=$((idle + 1))
    fi
    nap
done

# The server died by itself. Its log stays for as long as somebody may ask why.
rm -f "$instance/serving"
while [ $stop = no ] && leased; do nap; done
clean_up
