# Starts the PostgreSQL of an image and takes it back when nobody uses it any more.
#
#   sh -c SCRIPT ebbtide LINGER MAJOR CACHE_MB postgres -c name=value ...
#
# The server goes LINGER + 2 seconds after its last connection, counted from the moment when it accepts the first.
# A file /tmp/ebbtide/until.SECONDS.ID keeps it until then. A client that finds /tmp/ebbtide/retiring has come too late
# for a second connection. With CACHE_MB, templates move from container to container in the volume at /ebbtide-cache.
set -u

linger=$1 wanted=$2 cache_mb=$3
shift 3
holds=/tmp/ebbtide cache=/ebbtide-cache
server='' retiring=no restored=''

# The engine removes the log together with the container: whoever is to read it gets a moment to begin.
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
[ "$wanted" = any ] || [ "$wanted" = "$major" ] || refuse 65 "the image has PostgreSQL $major, not $wanted"

# Until the server handles its signals, only TERM ends what runs there: a shell starts its jobs with INT ignored.
stop() {
    [ -n "$server" ] || exit 143
    retiring=no
    kill -TERM "$server" 2> /dev/null
    kill -INT "$server" 2> /dev/null
}
trap stop TERM INT

# glibc knows only the locales that are installed; musl, which has no `locale`, knows them all.
has_locale() { ! command -v locale > /dev/null || locale -a 2> /dev/null | grep -qix 'C\.utf-\{0,1\}8'; }

# What the user gave comes last and wins. A password is checked at every login: with the defaults, for 6 ms.
options=--no-sync
case ${POSTGRES_INITDB_ARGS-} in
    *locale* | *--lc-* | *--encoding* | *-E*) ;;
    *)
        options="$options --encoding=UTF8"
        if has_locale; then options="$options --locale=C.UTF-8"; fi
        ;;
esac
[ "$major" -lt 11 ] || options="$options --wal-segsize=4"
if [ "$major" -lt 16 ]; then options="$options --auth-host=md5"; else options="$options -c scram_iterations=1"; fi
export POSTGRES_INITDB_ARGS="$options ${POSTGRES_INITDB_ARGS-}"

# The owner of the data, as whom PostgreSQL runs.
as_owner=docker-entrypoint.sh
for program in su-exec gosu; do
    if command -v $program > /dev/null; then as_owner="$program postgres"; fi
done
[ "$(id -u)" = 0 ] || as_owner=''

# Runs SQL, one command a line, in a server that nobody can connect to: single SQL postgres OPTION...
single() {
    sql=$1
    shift 2
    printf '%s\n' "$sql" | $as_owner postgres --single -D "$PGDATA" -c exit_on_error=on "$@" template1 2> /dev/null
}

# A saved file is named by what shaped the cluster and by its own checksum, and never changes under its name.
find_saved() {
    key=$({
        printf '%s\n' "$version" "$(uname -m)" "${POSTGRES_USER-}" "${POSTGRES_DB-}" "${POSTGRES_HOST_AUTH_METHOD-}" \
            "$POSTGRES_INITDB_ARGS"
        cat /docker-entrypoint-initdb.d/* 2> /dev/null
    } | cksum)
    key=${key%% *} saved=''
    for file in "$cache/$key"-*.tar; do
        [ -r "$file" ] || continue
        if [ -z "$saved" ] || [ "$file" -nt "$saved" ]; then saved=$file; fi
    done
    [ -n "$saved" ]
}

intact() {
    actual=$(cksum < "$saved") 2> /dev/null
    [ "$saved" = "$cache/$key-${actual%% *}.tar" ]
}

# The saved cluster has the password of the container that saved it.
restore() {
    intact &
    check=$!
    password=$(printf '%s\n' "$POSTGRES_PASSWORD" | sed "s/'/''/g")
    mkdir -p "$PGDATA" && tar -xpf "$saved" -C "$PGDATA" 2> /dev/null \
        && IFS= read -r restored < "$PGDATA/ebbtide_templates" && rm -f "$PGDATA/ebbtide_templates" \
        && single "alter role current_user password '$password'" "$@" > /dev/null && wait $check && return
    echo 'ebbtide: the saved data cannot be used; starting without it' >&2
    restored=''
    rm -rf "$PGDATA"
    rm -f "$saved" 2> /dev/null
}

# Old segments that wait to be written again may be larger than the data.
trim_wal() {
    redo=$(LC_ALL=C pg_controldata "$PGDATA" | sed -n "s/^Latest checkpoint's REDO WAL file: *//p")
    [ -n "$redo" ] && [ -f "$PGDATA/pg_wal/$redo" ] || return
    # The next one too, where the record may end.
    keep=0
    for segment in "$PGDATA"/pg_wal/????????????????????????; do
        [ "${segment##*/}" != "$redo" ] || keep=2
        if [ $keep -gt 0 ]; then keep=$((keep - 1)); else rm -f "$segment"; fi
    done
}

# Writes the templates to $new, if they are others than those that came from there.
archive() {
    templates='' drops=''
    for name in $(single 'select datname from pg_database order by datname' "$@" \
        | sed -n 's/.*datname = "\(ebbtide_[tlbk]_[0-9A-Za-z_]*\)".*/\1/p'); do
        case $name in
            ebbtide_t_*) templates="$templates $name" ;;
            *) drops="$drops
drop database \"$name\"" ;;
        esac
    done
    [ -n "$templates" ] && [ "$templates" != "$restored" ] || return
    # A template refuses to be dropped, and ALTER DATABASE ends the session where an earlier drop was interrupted.
    [ -z "$drops" ] || single "update pg_database set datistemplate = false where datname ~ '^ebbtide_[lbk]_'$drops" "$@" \
        > /dev/null || return
    trim_wal || return
    size=$(du -sk "$PGDATA")
    [ "${size%%[!0-9]*}" -le $((cache_mb * 1024)) ] || return
    printf '%s\n' "$templates" > "$PGDATA/ebbtide_templates" && tar -cf "$new" -C "$PGDATA" . 2> /dev/null
}

save() {
    new=$(mktemp "$cache/new.XXXXXX" 2> /dev/null) || return
    trap 'rm -f "$new"; exit 0' TERM INT
    if archive "$@" && sum=$(cksum < "$new") && saved=$cache/$key-${sum%% *}.tar && mv -f "$new" "$saved"; then
        # Of two containers that save at once, the later one's stays. Those of other keys go when nobody reads them.
        find "$cache" -name "$key-*.tar" ! -name "${saved##*/}" ! -newer "$saved" -exec rm -f '{}' +
        find "$cache" -name '*.tar' -atime +6 -exec rm -f '{}' +
        find "$cache" -name 'new.*' -mmin +10 -exec rm -f '{}' +
    else
        rm -f "$new"
    fi
}

# Whether PostgreSQL's port has a socket in this state: 0A listens, 01 is connected.
socket() {
    for table in /proc/net/tcp /proc/net/tcp6; do
        [ -r $table ] || continue
        while read -r _ ours theirs state _; do
            case $state,$ours,$theirs in
                *:1538) ;;
                "$1",*:1538,*) return 0 ;;
            esac
        done < $table
    done
    return 1
}

accepted='' connections=''
count() {
    [ -r /proc/net/snmp ] || return
    while read -r group _ _ _ _ _ opened _ _ open _; do
        case $group$opened in Tcp:[0-9]*) accepted=$opened connections=$open && return ;; esac
    done < /proc/net/snmp
}

# The counters spare most looks at the tables. They are no substitute: a connection whose client has gone is counted
# until its query ends.
connected() {
    count
    [ "$connections" != 0 ] && socket 01
}

held() {
    for hold in "$holds"/until.*; do
        moment=${hold##*/until.}
        moment=${moment%%.*}
        case $moment in '' | *[!0-9]*) continue ;; esac
        [ "$(date +%s)" -lt "$moment" ] && return 0
        rm -f "$hold" 2> /dev/null
    done
    return 1
}

look() {
    before=$accepted
    if connected || held; then
        idle=0
    elif [ "$accepted" != "$before" ]; then
        # It came and went since the last look.
        idle=1
    else
        idle=$((idle + 1))
    fi
}

# Without a fork but `sleep`, for as long as nothing is unusual.
watch() {
    trap - TERM INT USR1
    until socket 0A; do sleep 1; done
    count
    idle=1
    while :; do
        sleep 1
        look
        # One more than it takes after a connection that was seen: it may have ended at any time since.
        [ $idle -ge $((linger + 3)) ] || continue
        # A client that connected before the mark is seen by the second look; a later one sees the mark.
        : > $holds/retiring
        look
        [ $idle -lt $((linger + 3)) ] || break
        rm -f $holds/retiring
    done
    kill -USR1 $$
}

mkdir -p $holds && chmod 1777 $holds
rm -f $holds/retiring
[ -d $cache ] || cache_mb=0
if [ "$cache_mb" -gt 0 ] && find_saved && [ ! -e "$PGDATA" ]; then restore "$@"; fi

docker-entrypoint.sh "$@" &
server=$!
# Smart: who connected in this very moment may finish, and who comes later is refused.
trap 'retiring=yes; kill -TERM "$server"' USR1
watch &

# A signal ends the `wait`, not the server.
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
