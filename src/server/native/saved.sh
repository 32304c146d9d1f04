# The part of a native server's supervisor that saves prepared data for the next server.
#
# A saved cluster is a data directory with templates, in one file PREFIX-SUM.tar of the cache. PREFIX
# stands for the server's key and the installation of PostgreSQL (saved.rs), SUM is the checksum of
# the file. If PREFIX is empty, the server neither saves its data nor starts from saved data.
#
#   restore         at the start: unpacks the newest file; deletes a damaged one
#
#   save            when the linger has passed: from here on, no client joins this server
#        v
#   shut_down       fast shutdown, with a checkpoint
#        v
#   inspect         single-user mode: lists the databases; ends if anything is there that ebbtide
#        v          did not create
#   reduce          drops all databases except templates of recent use, and old WAL
#        v
#   archive         one file in the instance directory, then its checksum
#        v
#   publish         renames the file into the cache; deletes files that exceed the limits
#
# If a step fails, the supervisor deletes the instance as it would without saving. The same holds if
# the supervisor is killed, because an unfinished file is in the instance directory.

# The limits of one file and of all files, in kilobytes, and the number of files.
max_file_kb=524288 max_total_kb=1048576 max_files=4
# A template that no server has used for this many seconds is not saved again.
template_max_age=604800
# A use of a template is recorded only if it is this many seconds later than the recorded one.
# Otherwise every use would write the file again.
template_use_interval=86400

# Unpacks the saved cluster to the data directory, and verifies its checksum at the same time.
restore() {
    [ -n "$prefix" ] || return
    set +f
    set -- "$prefix"-*.tar
    set -f
    saved=$1
    # There is more than one if a supervisor was killed in `publish`.
    for file; do
        if [ "$file" -nt "$saved" ]; then saved=$file; fi
    done
    [ -e "$saved" ] || return
    cksum < "$saved" > "$instance/sum" 2> /dev/null &
    check=$!
    # The time of the file is the time of its last use. `-m` saves a system call for each file.
    touch "$saved"
    mkdir "$data" && tar -xmf "$saved" -C "$data" 2> /dev/null && wait $check \
        && read -r sum rest < "$instance/sum" && [ "$saved" = "$prefix-$sum.tar" ] && return
    wait $check
    rm -rf "$data" "$saved"
    echo 'ebbtide-supervisor: the saved data could not be used, so it was deleted' >&2
    return 1
}

# Saves the cluster of the running server. The server has ended afterwards, or `withdraw` ends it.
save() {
    [ -n "$prefix" ] || return
    # A client that finds the first file does not wait for this server, and starts one of its own.
    : > "$instance/not_joinable"
    forget_pointer
    shut_down && has_own_settings && inspect && reduce && archive && publish
}

# Ends the server with a checkpoint, within about a minute: a session that computes and cannot be
# interrupted must not keep the supervisor for ever.
# https://www.postgresql.org/docs/current/server-shutdown.html
shut_down() {
    kill -INT "$server"
    attempt=0
    while alive; do
        attempt=$((attempt + 1))
        [ $stop = no ] && [ $attempt -le 65 ] || return
        # Most servers end within a second. Not every `sleep` takes a fraction.
        if [ $attempt -gt 5 ] || ! sleep 0.2 2> /dev/null; then nap; fi
    done
    "$bin/pg_controldata" -D "$data" | grep -q '^Database cluster state: *shut down$'
}

# Whether no test has changed a configuration file, as ALTER SYSTEM does. The settings that ebbtide
# makes are arguments of the server.
has_own_settings() {
    for file in postgresql.conf postgresql.auto.conf pg_hba.conf pg_ident.conf; do
        cmp -s "$cache/$file" "$data/$file" || return
    done
}

# Runs a program with the file $1 as its standard input. The signals INT and TERM end it: their
# sender waits for the end of the supervisor.
run_until_stopped() {
    input=$1
    shift
    "$@" < "$input" &
    program=$!
    wait "$program"
    code=$?
    [ $stop = no ] || kill -KILL "$program"
    [ $stop = no ] && return $code
}

# Runs the SQL commands in the file `commands`, one a line, on database $1, in single-user mode.
# Writes their result to the file `result`. Shared memory is a file of the data directory, so that a
# killed process leaves none elsewhere.
# https://www.postgresql.org/docs/current/app-postgres.html#APP-POSTGRES-SINGLE-USER
run_single_user() {
    run_until_stopped "$instance/commands" "$bin/postgres" --single -D "$data" -F \
        -c exit_on_error=on -c full_page_writes=off -c search_path=pg_catalog \
        -c dynamic_shared_memory_type=mmap "$1" > "$instance/result" 2> /dev/null
}

# Prints the result of the query of saved.rs: `template NAME` and `drop NAME` for databases, or
# `foreign KIND` for what ebbtide did not create. Single-user mode prints a row of a union as
# ` 1:  = "template NAME" (typeid = ...)`.
found() { sed -n 's/^[^"]* = "\([a-z]* [0-9A-Za-z_]*\)".*$/\1/p' "$instance/result"; }

# Writes the databases to the file `databases`.
inspect() {
    printf '%s\n' "$inventory" > "$instance/commands"
    run_single_user postgres && found > "$instance/databases" \
        && ! grep -q '^foreign ' "$instance/databases"
}

# Sets `used` to the time when template $1 was used last. A template has been used on this server if
# it has a lane file, or if it was built here. Files in the lanes directory are named
# FINGERPRINT.SUFFIX.
find_use() {
    used=$(sed -n "s/^$1 //p" "$data/ebbtide_templates" 2> /dev/null)
    recorded=$used
    set +f
    set -- "$data/ebbtide_lanes/${1#ebbtide_t_}".*
    set -f
    if [ -z "$used" ] || [ -e "$1" ]; then used=$now; fi
}

# Drops all databases except templates of recent use. Fails if the file from which this server
# started has the same templates.
reduce() {
    now=$(date +%s) count=0 changed=no
    : > "$instance/commands" && : > "$instance/templates" || return
    while read -r kind name; do
        if [ "$kind" = template ]; then
            find_use "$name"
            if [ $((now - used)) -le $template_max_age ]; then
                [ $((used - ${recorded:-0})) -le $template_use_interval ] || changed=yes
                count=$((count + 1))
                echo "$name $used" >> "$instance/templates"
                continue
            fi
        fi
        # A database that is marked as a template cannot be dropped. An UPDATE and not ALTER
        # DATABASE: if an earlier drop was interrupted, the database is invalid, and ALTER DATABASE
        # would end the session.
        printf '%s\n' "update pg_database set datistemplate = false where datname = '$name'" \
            "drop database \"$name\"" >> "$instance/commands"
    done < "$instance/databases"
    [ $count -gt 0 ] || return
    [ $changed = yes ] || [ "$(wc -l 2> /dev/null < "$data/ebbtide_templates")" -ne $count ] || return
    # The query again, because it also examines the database in which it runs.
    printf '%s\n' "$inventory" >> "$instance/commands"
    run_single_user template1 || return
    found | grep -q '^template ' && ! found | grep -qv '^template ' || return
    # Replaces all WAL by one segment. Old segments, which PostgreSQL keeps to reuse them, may be
    # larger than the data. https://www.postgresql.org/docs/current/app-pgresetwal.html
    "$bin/pg_resetwal" -D "$data" > /dev/null
}

# Writes the cluster to the file `prepared`. The file may take a quarter of the free space.
archive() {
    rm -rf "$data/ebbtide_lanes"
    mv "$instance/templates" "$data/ebbtide_templates" || return
    size=$(du -sk "$data")
    size=${size%%[!0-9]*}
    free=$(df -Pk "$instance" | sed -n '2s/^.* \([0-9][0-9]*\)  *[0-9][0-9]*% .*$/\1/p')
    [ "$size" -le $max_file_kb ] && [ "$size" -le $((${free:-0} / 4)) ] || return
    run_until_stopped /dev/null tar -cf "$instance/prepared" -C "$data" . \
        && run_until_stopped "$instance/prepared" cksum > "$instance/sum"
}

# Gives the file its name. Of two servers with one key that save their data at once, the file of the
# later one stays.
publish() {
    read -r sum rest < "$instance/sum" && [ $stop = no ] \
        && mv -f "$instance/prepared" "$prefix-$sum.tar" || return
    set +f
    for file in "$prefix"-*.tar; do
        [ "$file" = "$prefix-$sum.tar" ] || rm -f "$file"
    done
    set -f
    limit_files
}

# Deletes the files that were used longest ago, until the others are within the limits.
limit_files() {
    while :; do
        set +f
        set -- "${prefix%/*}"/prepared-*.tar
        set -f
        oldest=$1 total=0
        for file; do
            size=$(du -k "$file") && total=$((total + ${size%%[!0-9]*}))
            if [ "$oldest" -nt "$file" ]; then oldest=$file; fi
        done
        [ $# -gt $max_files ] || [ $total -gt $max_total_kb ] || return 0
        rm -f "$oldest" || return
    done
}
