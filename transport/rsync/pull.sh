# Runs rsync on a host under the lock of its destination.
# $1: the scratch directory; $2: the lock file; $3: the destination; then rsync and its arguments.
scratch=$1 lock=$2 destination=$3
shift 3
export LC_ALL=C
for program in flock rsync; do
	command -v "$program" >/dev/null || { echo "$program: not found" >&2; exit 127; }
done
for folder in "$scratch" "${destination%/*}/"; do
	[ -d "$folder" ] || mkdir -p -- "$folder" || exit 3
done
if [ ! -d "$destination" ] && { [ -e "$destination" ] || [ -L "$destination" ]; }; then
	echo "$destination: not a directory" >&2
	exit 3
fi
# No fork: the processes that hold the lock are rsync's own, and the last of them to end releases it.
exec flock --no-fork --nonblock --conflict-exit-code 75 "$lock" "$@"
