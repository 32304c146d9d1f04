# The entrypoint of a container: starts the image's PostgreSQL, and ends it when it is unused.
#
#   sh -c SCRIPT ebbtide LINGER MAJOR CACHE_MB postgres -c name=value ...
#
#   check the image ----------------> exit 64 (not an image of PostgreSQL), 65 (another version)
#        v
#   restore                           unpacks the cluster that an earlier container saved, if any
#        v
#   serve                             docker-entrypoint.sh; `watch` polls once a second
#        |                            TERM or INT from the engine: fast shutdown, nothing is saved
#        | unused for LINGER + 2 s
#        v
#   smart shutdown
#        v
#   save                              writes the cluster to the volume at /ebbtide-cache
#        v
#   exit 0                            the engine removes the container
#
# The client may run on another machine and may be killed at any moment. So the container decides
# alone, by the connections to its PostgreSQL. The time counts from the last connection, or from the
# moment when the server accepts the first one. LINGER + 2 seconds, and not LINGER: the supervisor
# on the client's machine must retire first (container/mod.rs).
#
# A file /tmp/ebbtide/until.SECONDS.ID keeps the server until that time. With CACHE_MB greater than 0,
# templates move from container to container in the volume.
set -u

linger=$1 wanted=$2 cache_mb=$3
shift 3
holds=/tmp/ebbtide cache=/ebbtide-cache
server='' retiring=no restored=''

# Exits after a second. The engine removes the log together with the container, so the client needs
# time to begin reading it.
fail() {
    sleep 1
    exit "$1"
}

refuse() {
    echo "ebbtide: $2" >&2
    fail "$1"
}

for program in docker-entrypoint.sh postgres; do
    command -v $program > /dev/null || refuse 64 "not an image of PostgreSQL: there is no $program"
done
version=$(postgres --version)
major=${version#*') '}
major=${major%%[!0-9]*}
[ "$wanted" = any ] || [ "$wanted" = "$major" ] \
    || refuse 65 "the image has PostgreSQL $major, not $wanted"

# Ends the server when the engine stops the container. INT requests a fast shutdown. A shell starts
# background jobs with INT ignored, so until PostgreSQL installs its signal handlers, only TERM ends
# the job. https://www.postgresql.org/docs/current/server-shutdown.html
stop() {
    [ -n "$server" ] || exit 143
    retiring=no
    kill -TERM "$server" 2> /dev/null
    kill -INT "$server" 2> /dev/null
}
trap stop TERM INT

# glibc supports only the installed locales. musl supports every name, and has no program `locale`.
has_locale() {
    ! command -v locale > /dev/null || locale -a 2> /dev/null | grep -qix 'C\.utf-\{0,1\}8'
}

# The user's options come last, so they override these. One SCRAM iteration instead of 4096 saves 6
# ms at every login; MD5 does the same for versions before 16, which have no such setting.
options=--no-sync
case ${POSTGRES_INITDB_ARGS-} in
    *locale* | *--lc-* | *--encoding* | *-E*) ;;
    *)
        options="$options --encoding=UTF8"
        if has_locale; then options="$options --locale=C.UTF-8"; fi
        ;;
esac
[ "$major" -lt 11 ] || options="$options --wal-segsize=4"
if [ "$major" -lt 16 ]; then
    options="$options --auth-host=md5"
else
    options="$options -c scram_iterations=1"
fi
export POSTGRES_INITDB_ARGS="$options ${POSTGRES_INITDB_ARGS-}"

# The command prefix that runs a program as the owner of the data.
as_owner=docker-entrypoint.sh
for program in su-exec gosu; do
    if command -v $program > /dev/null; then as_owner="$program postgres"; fi
done
[ "$(id -u)" = 0 ] || as_owner=''

# Runs SQL, one command a line, in single-user mode, to which no client can connect.
#   run_single_user SQL postgres OPTION...
# https://www.postgresql.org/docs/current/app-postgres.html#APP-POSTGRES-SINGLE-USER
run_single_user() {
    sql=$1
    shift 2
    printf '%s\n' "$sql" \
        | $as_owner postgres --single -D "$PGDATA" -c exit_on_error=on "$@" template1 2> /dev/null
}

# Sets `saved` to the newest saved cluster that this container may use. A file's name is
# KEY-SUM.tar. KEY is the checksum of everything that determines a cluster, SUM that of the file. A
# file is written under another name and then renamed, so a file with such a name never changes.
find_saved() {
    key=$({
        printf '%s\n' "$version" "$(uname -m)" "${POSTGRES_USER-}" "${POSTGRES_DB-}" \
            "${POSTGRES_HOST_AUTH_METHOD-}" "$POSTGRES_INITDB_ARGS"
        cat /docker-entrypoint-initdb.d/* 2> /dev/null
    } | cksum)
    key=${key%% *} saved=''
    for file in "$cache/$key"-*.tar; do
        [ -r "$file" ] || continue
        if [ -z "$saved" ] || [ "$file" -nt "$saved" ]; then saved=$file; fi
    done
    [ -n "$saved" ]
}

is_intact() {
    actual=$(cksum < "$saved") 2> /dev/null
    [ "$saved" = "$cache/$key-${actual%% *}.tar" ]
}

# Unpacks the saved cluster, and verifies its checksum at the same time. The cluster has the
# password of the container that saved it, so single-user mode sets the new one. A cluster that
# cannot be used is deleted, and the image's entrypoint creates a new one.
restore() {
    is_intact &
    check=$!
    password=$(printf '%s\n' "$POSTGRES_PASSWORD" | sed "s/'/''/g")
    mkdir -p "$PGDATA" && tar -xpf "$saved" -C "$PGDATA" 2> /dev/null \
        && IFS= read -r restored < "$PGDATA/ebbtide_templates" \
        && rm -f "$PGDATA/ebbtide_templates" \
        && run_single_user "alter role current_user password '$password'" "$@" > /dev/null \
        && wait $check && return
    echo 'ebbtide: the saved data cannot be used; starting without it' >&2
    restored=''
    rm -rf "$PGDATA"
    rm -f "$saved" 2> /dev/null
}

# Deletes WAL segments that the cluster does not need to start. Old segments, which PostgreSQL keeps
# to reuse them, may be larger than the data.
trim_wal() {
    redo=$(LC_ALL=C pg_controldata "$PGDATA" | sed -n "s/^Latest checkpoint's REDO WAL file: *//p")
    [ -n "$redo" ] && [ -f "$PGDATA/pg_wal/$redo" ] || return
    # The segment with the checkpoint's REDO record stays, and the next one, where the record may
    # end.
    keep=0
    for segment in "$PGDATA"/pg_wal/????????????????????????; do
        [ "${segment##*/}" != "$redo" ] || keep=2
        if [ $keep -gt 0 ]; then keep=$((keep - 1)); else rm -f "$segment"; fi
    done
}

# Writes the cluster to $new. Fails if the volume has the templates already (those that `restore`
# found), or if the cluster is larger than CACHE_MB. All other databases of ebbtide are dropped
# first: lanes, half-built templates and kept databases.
archive() {
    templates='' drops=''
    for name in $(run_single_user 'select datname from pg_database order by datname' "$@" \
        | sed -n 's/.*datname = "\(ebbtide_[tlbk]_[0-9A-Za-z_]*\)".*/\1/p'); do
        case $name in
            ebbtide_t_*) templates="$templates $name" ;;
            *) drops="$drops
drop database \"$name\"" ;;
        esac
    done
    [ -n "$templates" ] && [ "$templates" != "$restored" ] || return
    # A database that is marked as a template cannot be dropped. An UPDATE and not ALTER DATABASE:
    # if an earlier drop was interrupted, the database is invalid, and ALTER DATABASE would end the
    # session.
    unmark="update pg_database set datistemplate = false where datname ~ '^ebbtide_[lbk]_'"
    [ -z "$drops" ] || run_single_user "$unmark$drops" "$@" > /dev/null || return
    trim_wal || return
    size=$(du -sk "$PGDATA")
    [ "${size%%[!0-9]*}" -le $((cache_mb * 1024)) ] || return
    printf '%s\n' "$templates" > "$PGDATA/ebbtide_templates" \
        && tar -cf "$new" -C "$PGDATA" . 2> /dev/null
}

# Saves the cluster to the volume. The file is complete before it gets its name, so a container that
# starts meanwhile finds the earlier file or the new one.
save() {
    new=$(mktemp "$cache/new.XXXXXX" 2> /dev/null) || return
    trap 'rm -f "$new"; exit 0' TERM INT
    if archive "$@" && sum=$(cksum < "$new") && saved=$cache/$key-${sum%% *}.tar \
        && mv -f "$new" "$saved"; then
        # Of two containers that save at once, the file of the later one stays. Files of other keys
        # are deleted when no container has read them for a week, unfinished ones after ten minutes.
        find "$cache" -name "$key-*.tar" ! -name "${saved##*/}" ! -newer "$saved" -exec rm -f '{}' +
        find "$cache" -name '*.tar' -atime +6 -exec rm -f '{}' +
        find "$cache" -name 'new.*' -mmin +10 -exec rm -f '{}' +
    else
        rm -f "$new"
    fi
}

# Whether a socket of PostgreSQL's port (5432, hexadecimal 1538) is in this state: 0A is LISTEN, 01
# is ESTABLISHED. Only the local port counts: a line with 1538 as the remote port is the client's end
# of a connection within the container. https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html
has_socket() {
    for table in /proc/net/tcp /proc/net/tcp6; do
        [ -r $table ] || continue
        while read -r _ local_address _ state _; do
            case $state,$local_address in "$1",*:1538) return 0 ;; esac
        done < $table
    done
    return 1
}

# Reads the kernel's counters `PassiveOpens` and `CurrEstab` of this network namespace.
accepted='' connections=''
read_counters() {
    [ -r /proc/net/snmp ] || return
    while read -r group _ _ _ _ _ opened _ _ open _; do
        case $group$opened in Tcp:[0-9]*) accepted=$opened connections=$open && return ;; esac
    done < /proc/net/snmp
}

# Whether a client is connected. If the counter is 0, the tables need not be read. The counter alone
# would not do: it includes a connection whose client has gone, until the server's query ends.
is_connected() {
    read_counters
    [ "$connections" != 0 ] && has_socket 01
}

# Whether a file keeps the server until a time that has not come. Deletes files whose time has come.
has_hold() {
    for hold in "$holds"/until.*; do
        moment=${hold##*/until.}
        moment=${moment%%.*}
        case $moment in '' | *[!0-9]*) continue ;; esac
        [ "$(date +%s)" -lt "$moment" ] && return 0
        rm -f "$hold" 2> /dev/null
    done
    return 1
}

# Updates `idle`, the number of polls since the last use.
poll() {
    before=$accepted
    if is_connected || has_hold; then
        idle=0
    elif [ "$accepted" != "$before" ]; then
        # A connection began and ended since the last poll.
        idle=1
    else
        idle=$((idle + 1))
    fi
}

# Polls once a second, and signals the main shell when the server is unused. Usually a poll runs
# only built-in commands, so that it costs one process, `sleep`.
watch() {
    trap - TERM INT USR1
    until has_socket 0A; do sleep 1; done
    read_counters
    idle=1
    # LINGER + 3 polls are at least LINGER + 2 seconds. After a poll with a connection, `idle` is 0,
    # and the connection may have ended right after it. A connection between two polls sets 1, and
    # ended at most a second before.
    while [ $idle -lt $((linger + 3)) ]; do
        sleep 1
        poll
    done
    kill -USR1 $$
}

mkdir -p $holds && chmod 1777 $holds
[ -d $cache ] || cache_mb=0
if [ "$cache_mb" -gt 0 ] && find_saved && [ ! -e "$PGDATA" ]; then restore "$@"; fi

docker-entrypoint.sh "$@" &
server=$!
# TERM is a smart shutdown: a client that connected at this moment may finish, and the server
# refuses later ones.
trap 'retiring=yes; kill -TERM "$server"' USR1
watch &

# A trapped signal ends the `wait`, but not yet the server.
while :; do
    wait "$server"
    code=$?
    kill -0 "$server" 2> /dev/null || break
done
[ $code = 0 ] || fail "$code"
[ $retiring = yes ] || exit 0
server=''
if [ "$cache_mb" -gt 0 ]; then save "$@"; fi
exit 0
