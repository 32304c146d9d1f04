# Keeps the instance folder of one container. The container looks after itself: it ends when it has been without a
# connection for as long. What it cannot see is a client that was killed between creating it and starting it.
#
#   ... NAME ENGINE
name=$1 engine=$2

alive() { [ -e "$instance/serving" ]; }

withdraw() { :; }

clean_up() {
    forget_pointer
    if [ -e "$instance/creating" ]; then discard; fi
    remove_instance
}

# Only what never ran can be removed so. The engine may still be busy with the creation when its client is gone.
discard() {
    for attempt in 1 2 3 4 5; do
        remove_created && return
        nap
    done
}

# With whatever this machine has to talk to an engine. Where there is nothing, the next start sweeps.
remove_created() {
    if command -v docker; then
        docker --host "$engine" rm --volumes "$name"
    elif command -v podman; then
        podman --url "$engine" rm --volumes "$name"
    elif command -v curl; then
        case $engine in
            unix://*) curl -sf -X DELETE --unix-socket "${engine#unix://}" "http://engine/containers/$name?v=true" ;;
            tcp://*) curl -sf -X DELETE "http://${engine#tcp://}/containers/$name?v=true" ;;
        esac
    fi > /dev/null
}

make_instance
mkdir "$instance/lanes" || { clean_up; exit 1; }
exec 2> /dev/null
watch
