# Starts one PostgreSQL server, and ends and deletes it when it has no valid lease any more.
#
#   ... DATA CACHE BIN PREFIX INVENTORY POSTGRES_ARGUMENT...
#
#   make_instance -> restore a saved cluster to DATA ----------------------> postmaster -> watch
#                       | none                                                  ^
#                       v                                                       |
#                    initdb, if CACHE is missing -> copy CACHE to DATA ---------+
#                       |                              |
#                       +-------- fail ----------------+---> clean_up, exit 1
#
# The client treats the start as done when the server answers a query; this script only watches the
# process.
data=$1 cache=$2 bin=$3 prefix=$4 inventory=$5
shift 5
server='' server_started=''

# The pointer first, so that no client joins; the instance directory last, because its marks protect
# the rest from a sweep.
clean_up() {
    forget_pointer
    kill_backends
    free_segment "$data"
    remove_tablespaces
    remove "$data"
    remove_instance
}

# CREATE TABLESPACE creates a directory PG_MAJOR_CATALOG in its location, and refuses a location
# that already holds one. Without this step the next server could not create the same tablespace.
# https://www.postgresql.org/docs/current/storage-file-layout.html
remove_tablespaces() {
    { read -r major < "$data/PG_VERSION"; } 2> /dev/null || return 0
    set +f
    for link in "$data"/pg_tblspc/*; do
        [ -L "$link" ] || continue
        for dir in "$link/PG_${major}_"*; do [ -d "$dir" ] && remove "$dir"; done
    done
    set -f
}

# Kills the backends of a killed postmaster: a backend that computes does not notice its end.
kill_backends() {
    set +f
    set -- /proc/[0-9]*
    set -f
    for process; do
        [ "$process/cwd" -ef "$data" ] && [ "$process/exe" -ef "$bin/postgres" ] \
            && kill -KILL "${process#/proc/}"
    done
}

fail() {
    clean_up
    # Last, because writing to the pipe of a client that has ended raises PIPE, which ends this
    # shell.
    echo "ebbtide-supervisor: $1" >&2
    exit 1
}

alive() { is_living "$server" "$server_started"; }

withdraw() {
    alive || return
    # QUIT is an immediate shutdown, without a checkpoint: the data is deleted next. A background
    # job of a shell starts with QUIT ignored. So until PostgreSQL installs its signal handlers,
    # only TERM ends it.
    # https://www.postgresql.org/docs/current/server-shutdown.html
    kill -TERM "$server"
    kill -QUIT "$server"
    # Returns at once if the server is the child of a killed supervisor; then the loop waits for it.
    wait "$server"
    for attempt in 1 2 3 4 5 6 7 8; do
        alive || return
        nap
    done
}

resume() {
    { read -r backend && read -r mark; } < "$instance/server" || return
    server=${mark%%.*} server_started=${mark#*.}
}

if [ "$lease" = - ]; then
    exec 2> /dev/null
    take_over
fi

make_instance

initialize() {
    "$bin/initdb" --no-sync --no-instructions --username=postgres --auth=trust --encoding=UTF8 \
        --wal-segsize=4 -D "$instance/initdb" "$@" > /dev/null
}

# Makes the data directory from the output of `initdb`, which the cache keeps.
create_data() {
    if [ ! -d "$cache" ]; then
        # pg_trgm and ILIKE need a UTF-8 character type. The byte order makes sorting the same on
        # every machine.
        initialize --locale=C.UTF-8 2> /dev/null \
            || initialize --lc-collate=C --lc-ctype=en_US.UTF-8 2> /dev/null \
            || initialize --locale=C || fail 'initdb failed'
        # Several supervisors may fill the cache at once; the first one wins. `mv -T` is GNU's:
        # without it, `mv` would move the directory into one that exists by now.
        mkdir -p "${cache%/*}" && { mv -T "$instance/initdb" "$cache" 2> /dev/null \
            || [ -d "$cache" ] || mv "$instance/initdb" "$cache"; } \
            || fail 'the initdb cache could not be kept'
        rm -rf "$instance/initdb"
    fi
    { cp -R --reflink=auto "$cache" "$data" 2> /dev/null \
        || { rm -rf "$data"; cp -R "$cache" "$data"; }; } \
        || fail 'the data directory could not be copied'
}

# Before the copy, so that no other process removes it as unused. Also if saved data is used: the
# server's configuration files are compared with those of the cache before they are saved again.
if [ -d "$cache" ]; then touch "$cache"; fi
mkdir -p "${data%/*}"
restore || create_data
chmod 700 "$data"
# Each test writes a lane file twice. Beside the data, the files are in memory when the data is.
mkdir "$data/ebbtide_lanes" && ln -s "$data/ebbtide_lanes" "$instance/lanes" \
    || fail 'the lanes directory could not be created'

"$bin/postgres" -D "$data" "$@" < /dev/null >> "$instance/log" 2>&1 &
server=$!
started "$server" && server_started=$start
# If the supervisor is killed before this file exists, the deputy ends the server by `end_group`.
describe native "$server.$server_started" "$linger" "$bin"
exec 2> /dev/null

watch
