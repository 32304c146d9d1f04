# Starts one PostgreSQL and takes it back when nobody leases it any more.
#
#   ... DATA CACHE BIN POSTGRES_ARGUMENT...
data=$1 cache=$2 bin=$3
shift 3
server= server_started=

clean_up() {
    forget_pointer
    end_strays
    free_segment "$data"
    remove_tablespaces
    remove "$data"
    remove_instance
}

# CREATE TABLESPACE makes a directory PG_MAJOR_CATALOG in the place that it names, and refuses a place that has one: the
# next server could not make the same tablespace.
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

alive() { is_living "$server" "$server_started"; }

withdraw() {
    alive || return
    # The data is thrown away next: no checkpoint is worth waiting for.
    # A background job of a shell starts with QUIT ignored: until PostgreSQL handles its signals, TERM ends it.
    kill -TERM "$server"
    kill -QUIT "$server"
    # Returns at once where the server is another shell's child.
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
    || fail 'the data dir could not be copied'
chmod 700 "$data"
# Lane files are written twice a test: beside the data they are in memory when it is.
mkdir "$data/ebbtide_lanes" && ln -s "$data/ebbtide_lanes" "$instance/lanes" || fail 'the lanes dir could not be made'

"$bin/postgres" -D "$data" "$@" < /dev/null >> "$instance/log" 2>&1 &
server=$!
started "$server" && server_started=$start
describe native "$server.$server_started" "$linger" "$bin"
exec 2> /dev/null

watch
